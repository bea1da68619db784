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
        "adapter, or that are quantized.",
        wrong="strategy: {kind: lora, also_train: [embed_tokens]}   # a model with tied embeddings",
        right="strategy: {kind: lora, also_train: [norm]}",
    ),
    Code(
        id="FTC272",
        title="a strategy finds nothing to train",
        cause="The model has none of the modules that the strategy changes: no biases, no layer that is known by its "
        "name, or fewer layers than asked for.",
        wrong="strategy: {kind: bitfit}   # with a Llama, which has no biases",
        right="strategy: {kind: ln_tuning}",
    ),
    Code(
        id="FTC273",
        title="no room for virtual tokens",
        cause="Virtual tokens take places of their own before every row. The longest row together with them has more "
        "tokens than the model has positions.",
        wrong="data: {max_length: 512}   # of 512 positions\nstrategy: {kind: prompt_tuning, virtual_tokens: 20}",
        right="data: {max_length: 492}\nstrategy: {kind: prompt_tuning, virtual_tokens: 20}",
    ),
    Code(
        id="FTC274",
        title="a strategy that this kind of model doesn't take",
        cause="The method needs a part that the task's model doesn't have, such as keys and values of earlier tokens, "
        "which only a model that writes keeps.",
        wrong="task: {kind: classification}\nstrategy: {kind: prefix_tuning}",
        right="task: {kind: classification}\nstrategy: {kind: prompt_tuning}",
    ),
    Code(
        id="FTC275",
        title="an optimizer that needs a card",
        cause="Paged optimizers let CUDA's driver move their memory between card and processor; without a card there "
        "is nothing to move.",
        wrong="train: {optimizer: {kind: adamw_8bit_paged}}\nbudget: {device: cpu}",
        right="train: {optimizer: {kind: adamw_8bit}}\nbudget: {device: cpu}",
    ),
    Code(
        id="FTC277",
        title="a schedule beside an optimizer that replaces it",
        cause="A schedule-free optimizer averages the weights of all steps in place of letting the learning rate fall; "
        "a rate that falls as well would weigh the last steps less and less.",
        wrong="train: {optimizer: {kind: adamw_schedule_free}, schedule: {kind: cosine}}",
        right="train: {optimizer: {kind: adamw_schedule_free}}",
    ),
    Code(
        id="FTC276",
        title="label smoothing without a choice",
        cause="Label smoothing spreads a share of the right choice over all of them. Several labels at once, places in "
        "a context and two answers beside each other have no such choice.",
        wrong="task: {kind: preference}\ntrain: {label_smoothing: 0.1}",
        right="task: {kind: preference}\ntrain: {label_smoothing: 0}",
    ),
)
