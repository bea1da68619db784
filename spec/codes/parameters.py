"""Codes 452 to 454: parameters that patterns of names choose."""

from ftc.spec.codes._code import Code

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC452",
        title="pattern that fits no parameter",
        cause="A pattern in `strategy.parameters`, `strategy.freeze` or `train.parameter_groups` fits no parameter "
        "that it could choose: the model has no such name, another key keeps the parameter from training, or an "
        "earlier group has it already. Patterns consist of whole parts of a name: `embed_tokens` fits "
        "`model.embed_tokens.weight`, `embed` does not, `embed*` does.",
        wrong="strategy: {kind: full, freeze: [embed]}",
        right="strategy: {kind: full, freeze: [embed_tokens]}",
    ),
    Code(
        id="FTC453",
        title="some experts of a layer",
        cause="transformers holds all experts of a layer in one tensor or two, so that they are trained together, at "
        "one learning rate.",
        wrong="strategy: {kind: partial, parameters: [experts.0]}",
        right="strategy: {kind: partial, parameters: [experts]}",
    ),
    Code(
        id="FTC454",
        title="no layers for a decay",
        cause="`layer_decay` lowers the learning rate from layer to layer towards the embeddings. The strategy trains "
        "nothing that lies in a layer or in the embeddings.",
        wrong="strategy: {kind: prompt_tuning}\ntrain: {layer_decay: 0.9}",
        right="strategy: {kind: lora}\ntrain: {layer_decay: 0.9}",
    ),
)
