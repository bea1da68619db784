"""How much of what a micro-batch holds: the quantities in which arithmetic and traffic of a model are linear.

A matrix product costs so much a token, attention so much a pair of tokens, the head so much a scored place, and reading
the weights so much a pass. So a whole run costs what the sum of its micro-batches' amounts does, whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ftc.compiler.time.attention_pairs import Attending

__all__ = [
    "ALL_PAIRS",
    "Amounts",
    "Rates",
    "batch_amounts",
    "cost",
    "decode_amounts",
    "prompt_amounts",
    "target_amounts",
]

ALL_PAIRS = Attending()
"""Attention that computes every pair."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Quantities of one micro-batch, or sums over many.

    Attributes:
        passes: Micro-batches.
        rows: Sequences.
        tokens: Tokens with padding; of an encoder-decoder those of the encoder.
        pairs: Pairs of tokens that attention computes, with padding; see `attended`.
        near_pairs: Those of a layer that looks back through a window alone.
        target_tokens: Tokens of the decoder of an encoder-decoder, with padding.
        target_pairs: Pairs of these that attention computes.
        cross_pairs: Pairs of a decoder's and an encoder's token.
        scored: Places for which the head is computed.
    """

    passes: float = 0
    rows: float = 0
    tokens: float = 0
    pairs: float = 0
    near_pairs: float = 0
    target_tokens: float = 0
    target_pairs: float = 0
    cross_pairs: float = 0
    scored: float = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __mul__(self, factor: float) -> Amounts:
        return Amounts(*(getattr(self, one.name) * factor for one in fields(self)))


Rates = Amounts
"""What one unit of each quantity costs."""


def batch_amounts(
    rows: int,
    length: int,
    *,
    target_length: int = 0,
    scored: float = 0,
    attending: Attending = ALL_PAIRS,
    target_attending: Attending = ALL_PAIRS,
    padded: bool = False,
) -> Amounts:
    """One micro-batch of rows that are padded to a length.

    Args:
        rows: Sequences.
        length: Tokens of the longest; of an encoder-decoder those of the encoder.
        target_length: Tokens of the longest target of an encoder-decoder.
        scored: Places for which the head is computed.
        attending: How rows attend to themselves.
        target_attending: The same of targets.
        padded: Whether rows differ in length.
    """
    return Amounts(
        passes=1,
        rows=rows,
        tokens=rows * length,
        pairs=rows * attending.pairs(length, padded=padded),
        near_pairs=rows * attending.near_pairs(length, padded=padded),
        target_tokens=rows * target_length,
        target_pairs=rows * target_attending.pairs(target_length),
        cross_pairs=rows * length * target_length,
        scored=scored,
    )


def prompt_amounts(
    rows: int, length: int, *, attending: Attending = ALL_PAIRS, padded: bool = False, known: int = 0
) -> Amounts:
    """Prompts that a decoder reads at once before it writes; of each the last place is scored.

    Args:
        rows: Rows at once.
        length: Tokens of the longest prompt.
        attending: How a prompt attends to itself.
        padded: Whether prompts differ in length.
        known: Tokens at the begin of all prompts whose keys and values are known already.
    """
    if not known:
        return batch_amounts(rows, length, scored=rows, attending=attending, padded=padded)
    fresh = length - known
    pairs = rows * fresh * length  # what stands before a row's own tokens makes a mask necessary
    return Amounts(passes=1, rows=rows, tokens=rows * fresh, pairs=pairs, near_pairs=pairs, scored=rows)


def decode_amounts(rows: int, length: int, new_tokens: int, *, window: int | None = None) -> Amounts:
    """So many tokens, each a pass of its own, behind prompts of a length that a decoder has read.

    The prompt's pass gives the first one. The others look at everything before them, or at as much as a window holds.
    """
    more = max(0, new_tokens - 1)
    return Amounts(
        passes=more,
        tokens=rows * more,
        pairs=rows * _looked_back_at(length, more),
        near_pairs=rows * _looked_back_at(length, more, window),
        scored=rows * more,
    )


def target_amounts(rows: int, length: int, new_tokens: int) -> Amounts:
    """So many tokens of the decoder of an encoder-decoder, each a pass of its own, for sources of a length."""
    return Amounts(
        passes=new_tokens,
        target_tokens=rows * new_tokens,
        target_pairs=rows * _looked_back_at(0, new_tokens),
        cross_pairs=rows * new_tokens * length,
        scored=rows * new_tokens,
    )


def _looked_back_at(length: int, tokens: int, window: int | None = None) -> int:
    """Pairs of so many tokens, one after the other behind a length, with themselves and those before them."""
    inside = tokens if window is None else min(tokens, max(0, window - length))
    return inside * length + inside * (inside + 1) // 2 + (tokens - inside) * (window or 0)


def cost(rates: Rates, amounts: Amounts) -> float:
    """What the amounts cost at so much a unit."""
    total: float = sum(getattr(rates, one.name) * getattr(amounts, one.name) for one in fields(Amounts))
    return total
