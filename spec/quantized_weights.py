"""Weights of linear layers in 8 bits and fewer, as torchao writes them: one card each. The torch half is
`ftc.runtime.models.quantized_layers`.

A weight w is kept as a number q of few bits and a scale that it shares with others of its row: w is about q * scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ftc.spec.module_names import part_of

__all__ = [
    "QUANTIZED_WEIGHTS",
    "TORCHAO",
    "ImitatedKind",
    "QuantizedKind",
    "QuantizedWeights",
    "is_quantized",
    "quantized_weights",
]

QuantizedKind = Literal["int8", "int4", "float8"]

TORCHAO = "torchao"
"""The package that quantizes, and the extra of ftc that installs it."""


class QuantizedWeights(NamedTuple):
    """One kind of weights.

    Attributes:
        kind: What recipes and `--type` call it.
        bits: Bits of a number.
        stored_bits: Bits that a number takes in a file: torchao packs 4 bits for kernels of GPUs alone.
        group_size: Weights that share a scale, side by side in a row, unless another number is asked for; None where
            all of a row share one.
        rounds: What rounding is worst by: half a step of the scale, which is the same for all numbers, or a share of
            each number.
        worst: That half step, or that share.
        smallest: Half the distance between the smallest numbers, in scales, where rounding goes by a share; else 0.
        is_imitated: Whether torchao rounds weights so in training, with the very numbers that it writes.
    """

    kind: QuantizedKind
    bits: int
    stored_bits: int
    group_size: int | None
    rounds: Literal["by the scale", "by the number"]
    worst: float
    smallest: float
    is_imitated: bool


QUANTIZED_WEIGHTS: tuple[QuantizedWeights, ...] = (
    QuantizedWeights(
        kind="int8",
        bits=8,
        stored_bits=8,
        group_size=None,
        rounds="by the scale",
        worst=0.5,
        smallest=0.0,
        is_imitated=True,
    ),
    QuantizedWeights(
        kind="float8",
        bits=8,
        stored_bits=8,
        group_size=None,
        rounds="by the number",
        worst=2.0**-4,  # three bits behind the leading one
        smallest=2.0**-10,
        is_imitated=False,
    ),
    QuantizedWeights(
        kind="int4",
        bits=4,
        stored_bits=8,
        group_size=32,
        rounds="by the scale",
        worst=0.5,
        smallest=0.0,
        is_imitated=True,
    ),
)
"""From the most exact to the least."""

if TYPE_CHECKING:
    ImitatedKind = str
else:
    ImitatedKind = Literal[tuple(card.kind for card in QUANTIZED_WEIGHTS if card.is_imitated)]
"""What a recipe may train for; the cards decide, so that mypy sees a text and pydantic the names."""


def quantized_weights(kind: str) -> QuantizedWeights:
    """The card of a kind, which is that of one.

    Raises:
        StopIteration: There is none.
    """
    return next(card for card in QUANTIZED_WEIGHTS if card.kind == kind)


def is_quantized(name: str, inputs: int, group_size: int | None) -> bool:
    """Whether a linear layer's weights are among those that are quantized.

    Those of the model's own layers: embeddings, the output over the vocabulary and new heads stay as they are, as
    transformers has it, and so does a layer whose rows are no whole number of groups.

    Args:
        name: The layer's full name.
        inputs: Weights of a row.
        group_size: Weights that share a scale; None for all of a row.
    """
    return part_of(f"{name}.weight").kind == "layer" and inputs % (group_size or 1) == 0
