"""Codes 27x, strategies and what they can't be combined with."""

from ftc.spec.codes._code import Code

CODES: tuple[Code, ...] = (
    Code(
        id="FTC270",
        title="a strategy with what it can't do",
        cause="Two values of the strategy exclude each other: one changes weights that the other holds in a form in "
        "which they can't be changed, or one has no meaning beside the other.",
        wrong="strategy: {kind: qlora, init: pissa}",
        right="strategy: {kind: lora, init: pissa}",
    ),
    Code(
        id="FTC271",
        title="modules that can't be trained whole",
        cause="`also_train` names modules that the model doesn't store, whose weights are another's too, that hold an "
        "adapter, or that are quantised.",
        wrong="strategy: {kind: lora, also_train: [embed_tokens]}   # a model with tied embeddings",
        right="strategy: {kind: lora, also_train: [norm]}",
    ),
)
