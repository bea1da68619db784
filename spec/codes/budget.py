"""Codes 4xx, memory, time, money and policy."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC401",
        title="licence is not allowed",
        cause="The base model's licence is none of those that `model.license.allow` lists, or it states none.",
        wrong="model: {base: models/private, license: {allow: [apache-2.0]}}",
        right="model: {base: models/open, license: {allow: [apache-2.0]}}",
        exit_code=4,
    ),
    Code(
        id="FTC402",
        title="does not fit in memory",
        cause="The peak memory of the run is larger than the budget or the device. The help lists changes that fit.",
        wrong="train: {batch_size: 64, micro_batch: 64}\nbudget: {vram: 8GiB}",
        right="train: {batch_size: 64, micro_batch: 8}\nbudget: {vram: 8GiB}",
        exit_code=4,
    ),
    Code(
        id="FTC403",
        title="takes longer than the budget",
        cause="By earlier runs on this device even the fastest estimate is over `budget.time`.",
        exit_code=4,
    ),
    Code(
        id="FTC404",
        title="costs more than the budget",
        cause="By earlier runs and the given price even the lowest estimate is over `budget.cost`.",
        exit_code=4,
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
        exit_code=4,
    ),
    Code(
        id="FTC415",
        title="a card with two descriptions",
        cause="`budget.device` gives figures for a name that the catalogue knows, whose figures are others.",
        wrong="budget: {device: {name: rtx-4090, memory: 48GiB}}",
        right="budget: {device: {name: my-card, memory: 48GiB}}",
    ),
)
