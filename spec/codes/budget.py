"""Codes 4xx: the budget, and a project's policy."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC401",
        title="license is not allowed",
        cause="`model.license.allow` does not list the base model's license, or the model states none.",
        wrong="model: {base: models/private, license: {allow: [apache-2.0]}}",
        right="model: {base: models/open, license: {allow: [apache-2.0]}}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC402",
        title="does not fit in memory",
        cause="The expected peak memory is larger than the budget or the device. The help lists changes that fit.",
        wrong="train: {batch_size: 64, micro_batch: 64}\nbudget: {vram: 8GiB}",
        right="train: {batch_size: 64, micro_batch: 8}\nbudget: {vram: 8GiB}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC403",
        title="takes longer than the budget",
        cause=(
            "Even the low end of the time estimate is over `budget.time`. The notes give the estimate's method and "
            "the time of each part."
        ),
        wrong="train: {epochs: 30}\nbudget: {time: 1min}",
        right="train: {epochs: 1}\nbudget: {time: 1h}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC404",
        title="costs more than the budget",
        cause="Even the low end of the estimated cost is over `budget.cost`.",
        wrong="train: {epochs: 30}\nbudget: {cost: 1 USD, price_per_hour: 90 USD}",
        right="train: {epochs: 1}\nbudget: {cost: 1 USD, price_per_hour: 0.90 USD}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC405",
        title="memory estimate is within its margin of error",
        cause=(
            "The memory estimate is within its margin of error: the expected peak fits, but the high end of the "
            "estimate does not. Such a run can fail hours later. Accept the risk with `allow_tight`, or make the job "
            "smaller."
        ),
        wrong="budget: {vram: 6GiB}",
        right="budget: {vram: 6GiB, allow_tight: true}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC406",
        title="may take longer than the budget",
        cause=(
            "The high end of the time estimate is over `budget.time`, the low end is not. `ftc device calibrate` and "
            "earlier runs on the device narrow the range."
        ),
        wrong="budget: {time: 1min}",
        right="budget: {time: 1h}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC407",
        title="may cost more than the budget",
        cause="The high end of the estimated cost is over `budget.cost`, the low end is not.",
        wrong="budget: {cost: 1 USD, price_per_hour: 90 USD}",
        right="budget: {cost: 5 USD, price_per_hour: 90 USD}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC408",
        title="does not fit on the disk",
        cause=(
            "Checkpoints, results and reports may need more space than the disk of the run's folder has free. A "
            "checkpoint contains the trained weights and two optimizer moments. The newest checkpoints, the best one "
            "and the one being written are on disk at the same time."
        ),
        wrong="strategy: {kind: full}\ntrain: {keep_checkpoints: 20}",
        right="strategy: {kind: full}\ntrain: {keep_checkpoints: 1}",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC415",
        title="GPU name with two descriptions",
        cause="`budget.device` describes a GPU under a name that ftc's list already has with other figures.",
        wrong="budget: {device: {name: rtx-4090, memory: 48GiB}}",
        right="budget: {device: {name: my-gpu, memory: 48GiB}}",
    ),
    Code(
        id="FTC430",
        title="policy can't be read",
        cause="`ftc.policy.yaml` is read as strictly as a recipe: a misspelled rule would apply to nothing.",
        wrong="rules: {licenses: {allow: [mit]}}",
        right="rules: {licenses: {allow: [mit]}}",
    ),
    Code(
        id="FTC431",
        title="hard policy rule violated",
        cause="The plan violates a rule of the project's policy that can't be waived. Nothing was written.",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC432",
        title="soft policy rule violated",
        cause="The plan violates a rule of the project's policy that can be waived only with a reason. The plan "
        "keeps the reason for reviewers.",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC433",
        title="policy rule not met",
        cause="The rule is advisory and stops nothing, or it was waived with a reason.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC434",
        title="nothing to waive",
        cause="`--waive RULE=REASON` waives a soft rule that the plan violates, and needs a reason. A waiver that "
        "does nothing would hide the next violation.",
        exit_code=ExitCode.USAGE,
    ),
)
