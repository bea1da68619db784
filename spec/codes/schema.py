"""Codes 1xx, keys, types and values on their own."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC101",
        title="missing key",
        cause="A key that has no default is not there.",
        wrong="model: {}",
        right="model: {base: models/my-model}",
    ),
    Code(
        id="FTC102",
        title="wrong type",
        cause="A value is of another type than its key takes. Numbers in quotes are text; `yes` and `no` are text too, "
        "since recipes are YAML 1.2.",
        wrong='train: {seed: "seven"}',
        right="train: {seed: 7}",
    ),
    Code(
        id="FTC103",
        title="value out of range",
        cause="A value is of the right type but outside what makes sense for its key.",
        wrong="train: {batch_size: 0}",
        right="train: {batch_size: 16}",
    ),
    Code(
        id="FTC104",
        title="unknown key",
        cause="A key is misspelled, or it belongs in another section. Nothing is ever ignored in silence, since a run "
        "without the setting that its author believes in is worse than no run.",
        wrong="train: {learning_rat: 2e-4}",
        right="train: {learning_rate: 2e-4}",
    ),
    Code(
        id="FTC105",
        title="no such choice",
        cause="A key takes one of a few words, and the value is none of them.",
        wrong="strategy: {kind: loar}",
        right="strategy: {kind: lora}",
    ),
)
