"""Codes 4xx: the budget, and a project's policy."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC401",
        title="license is not allowed",
        cause="The base model's license is none of those that `model.license.allow` lists, or it states none.",
        wrong="model: {base: models/private, license: {allow: [apache-2.0]}}",
        right="model: {base: models/open, license: {allow: [apache-2.0]}}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC402",
        title="does not fit in memory",
        cause="The peak memory of the run is larger than the budget or the device. The help lists changes that fit.",
        wrong="train: {batch_size: 64, micro_batch: 64}\nbudget: {vram: 8GiB}",
        right="train: {batch_size: 64, micro_batch: 8}\nbudget: {vram: 8GiB}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC403",
        title="takes longer than the budget",
        cause=(
            "Even the lowest figure of the time estimate is over `budget.time`. The notes say what it rests on and "
            "which part of the run takes how long."
        ),
        wrong="train: {epochs: 30}\nbudget: {time: 1min}",
        right="train: {epochs: 1}\nbudget: {time: 1h}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC404",
        title="costs more than the budget",
        cause="By the given price even the lowest figure of the time estimate is over `budget.cost`.",
        wrong="train: {epochs: 30}\nbudget: {cost: 1 USD, price_per_hour: 90 USD}",
        right="train: {epochs: 1}\nbudget: {cost: 1 USD, price_per_hour: 0.90 USD}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC405",
        title="fits in memory only by luck",
        cause=(
            "The tensors of the run fit, but what the allocator may take beside them at most does not. Such a run can "
            "end out of memory after hours, so it needs a word of consent, or a change that makes it smaller."
        ),
        wrong="budget: {vram: 6GiB}",
        right="budget: {vram: 6GiB, allow_tight: true}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC406",
        title="may take longer than the budget",
        cause=(
            "The highest figure of the time estimate is over `budget.time`, the lowest is not. `ftc device calibrate` "
            "and runs on the device make the range narrower."
        ),
        wrong="budget: {time: 1min}",
        right="budget: {time: 1h}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC407",
        title="may cost more than the budget",
        cause="By the given price the highest figure of the time estimate is over `budget.cost`, the lowest is not.",
        wrong="budget: {cost: 1 USD, price_per_hour: 90 USD}",
        right="budget: {cost: 5 USD, price_per_hour: 90 USD}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC408",
        title="does not fit on the disk",
        cause=(
            "Checkpoints, result and reports can take more than is free where the run's folder lies. A checkpoint "
            "holds the trained weights and the optimizer's two moments; the newest ones, the best one and the one that "
            "is being written lie there at the same time."
        ),
        wrong="strategy: {kind: full}\ntrain: {keep_checkpoints: 20}",
        right="strategy: {kind: full}\ntrain: {keep_checkpoints: 1}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC415",
        title="a card with two descriptions",
        cause="`budget.device` gives figures for a name that the catalog knows, whose figures are others.",
        wrong="budget: {device: {name: rtx-4090, memory: 48GiB}}",
        right="budget: {device: {name: my-card, memory: 48GiB}}",
    ),
    Code(
        id="FTC430",
        title="policy can't be read",
        cause="`ftc.policy.yaml` is read as strictly as a recipe: a rule that is misspelled would bind nobody.",
        wrong="rules: {licenses: {allow: [mit]}}",
        right="rules: {licenses: {allow: [mit]}}",
    ),
    Code(
        id="FTC431",
        title="hard rule of the policy is broken",
        cause="The project's policy has a rule that no plan may break. Nothing was written.",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC432",
        title="soft rule of the policy is broken",
        cause="The project's policy has a rule that is passed over only with a reason, which the plan keeps and a "
        "review reads.",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC433",
        title="rule of the policy is not kept",
        cause="The rule advises and stops nothing, or it was passed over with a reason.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC434",
        title="nothing to pass over",
        cause="`--waive RULE=REASON` passes over a soft rule that the plan breaks, and needs a reason. A waiver that "
        "does nothing would hide the next breach.",
        exit_code=ExitCode.USAGE,
    ),
)
