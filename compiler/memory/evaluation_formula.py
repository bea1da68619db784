"""What measuring takes at its largest moments, from shapes alone: scores of rows, keys and values while answers grow.

Nothing is kept for a way back, so what counts is one layer's width, the scores of all supervised places, and what
writing remembers. Rows of validation are scored beside the optimizer's state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ftc.compiler.memory.layer_formula import Numbers, Stack, Trained
from ftc.compiler.memory.stacks import stacks_of
from ftc.compiler.time.network import rotates
from ftc.spec.documents.facts import ModelFacts

__all__ = ["Measuring", "measuring_moments"]

_FP32 = 4


@dataclass(frozen=True)
class Measuring:
    """What decides about memory while rows are measured.

    Attributes:
        rows: Rows at once.
        length: Tokens of the longest, its target included where an encoder-decoder has one.
        target_length: Of these the ones that its decoder gets.
        scored: Places of a row at which the head is computed, at most.
        new_tokens: Tokens of a written answer, at most; 0 where none is written.
        eager: Whether attention holds its scores.
        unpadded: Whether attention gets rows without their padding.
        masked: Whether it gets a mask for padding.
    """

    rows: int
    length: int
    target_length: int
    scored: int
    new_tokens: int
    eager: bool = False
    unpadded: bool = False
    masked: bool = False


def measuring_moments(
    model: ModelFacts, measuring: Measuring, head_width: int, numbers: Numbers, trained: Trained
) -> Iterator[tuple[str, dict[str, int]]]:
    """The moments at which measuring can be largest, each with what it holds beside weights and optimizer.

    Args:
        model: The base model.
        measuring: Rows and lengths.
        head_width: Outputs of the last layer.
        numbers: Bytes of elements.
        trained: What is trained in the layers.
    """
    rows, length, target = measuring.rows, measuring.length, measuring.target_length
    kinds = {"eager": measuring.eager, "unpadded": measuring.unpadded, "masked": measuring.masked}
    stacks = stacks_of(model, rows * length, length, target, **kinds)
    largest = max(stack.going_through_bytes(numbers, trained) for stack in stacks)
    yield "evaluation: layers", {"temporaries": largest}
    scores = rows * measuring.scored * head_width
    wide = head_width == model.vocab_size
    # Scores in float32 and their logarithms; those of a bounded head, or of a narrower number, are gone by then.
    yield "evaluation: head", {"logits": 2 * _FP32 * scores} if wide else {"temporaries": 2 * _FP32 * scores}
    if measuring.new_tokens:
        yield from _writing(model, measuring, stacks, numbers, trained)


def _writing(
    model: ModelFacts, measuring: Measuring, stacks: list[Stack], numbers: Numbers, trained: Trained
) -> Iterator[tuple[str, dict[str, int]]]:
    """The pass over all prompts, and the last token, before which keys and values are most."""
    written = {"optimiser state": 0}  # once training is over
    each = _remembered_bytes(model, numbers, trained)
    rows, more = measuring.rows, max(measuring.new_tokens - 1, 0)
    writer = stacks[-1]
    prompts = rows * (measuring.length - measuring.target_length)
    begun = prompts * writer.layers * each  # of an encoder-decoder what the decoder looks at, in each of its layers
    if model.num_decoder_layers is None:
        reading = writer.going_through_bytes(numbers, trained)
    else:
        yield "generation: encoder", {**written, "temporaries": stacks[0].going_through_bytes(numbers, trained)}
        reading = prompts * numbers.residual * model.hidden_size
    grown = begun + rows * more * writer.layers * each
    longer = grown // max(writer.layers, 1)  # a layer's keys and values are copied to a place for one more token
    yield "generation: prompts", {**written, "temporaries": begun + reading}
    yield "generation: last token", {**written, "temporaries": grown + longer}


def _remembered_bytes(model: ModelFacts, numbers: Numbers, trained: Trained) -> int:
    """Keys and values of one token in one layer: what linear layers give, keys wider where rotation widens them."""
    widens = trained.all_weights and rotates(model) and model.kind.widens_keys is not False
    turned = numbers.residual if widens else numbers.linear
    return model.num_kv_heads * model.head_dim * (turned + numbers.linear)
