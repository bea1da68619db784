"""How much of what a micro-batch holds: the quantities in which arithmetic and traffic of a model are linear.

A matrix product costs so much a token, attention so much a pair of tokens, the head so much a scored place, and reading
the weights so much a pass. So a whole run costs what the sum of its micro-batches' amounts does, whatever their order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Amounts", "Rates", "batch_amounts", "cost", "decode_amounts"]


@dataclass(frozen=True, slots=True)
class Amounts:
    """Quantities of one micro-batch, or sums over many.

    Attributes:
        passes: Micro-batches.
        rows: Sequences.
        tokens: Tokens with padding; of an encoder-decoder those of the encoder.
        pairs: Pairs of tokens that attention compares, with padding.
        target_tokens: Tokens of the decoder of an encoder-decoder, with padding.
        target_pairs: Pairs of these.
        cross_pairs: Pairs of a decoder's and an encoder's token.
        scored: Places for which the head is computed.
    """

    passes: float = 0
    rows: float = 0
    tokens: float = 0
    pairs: float = 0
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


def batch_amounts(rows: int, length: int, *, target_length: int = 0, scored: float = 0) -> Amounts:
    """One micro-batch of rows that are padded to a length.

    Args:
        rows: Sequences.
        length: Tokens of the longest; of an encoder-decoder those of the encoder.
        target_length: Tokens of the longest target of an encoder-decoder.
        scored: Places for which the head is computed.
    """
    return Amounts(
        passes=1,
        rows=rows,
        tokens=rows * length,
        pairs=rows * length**2,
        target_tokens=rows * target_length,
        target_pairs=rows * target_length**2,
        cross_pairs=rows * length * target_length,
        scored=scored,
    )


def decode_amounts(rows: int, length: int, new_tokens: int, *, has_encoder: bool) -> Amounts:
    """Writing so many tokens behind prompts of a length: the prompt at once, then token by token.

    Each token is a pass of its own that looks at everything before it. A decoder's first one comes from the prompt's
    pass; an encoder gives none.
    """
    if has_encoder:
        return batch_amounts(rows, length) + Amounts(
            passes=new_tokens,
            target_tokens=rows * new_tokens,
            target_pairs=rows * _before(new_tokens),
            cross_pairs=rows * new_tokens * length,
            scored=rows * new_tokens,
        )
    more = max(0, new_tokens - 1)
    return batch_amounts(rows, length, scored=rows) + Amounts(
        passes=more, tokens=rows * more, pairs=rows * (more * length + _before(more)), scored=rows * more
    )


def _before(tokens: int) -> int:
    """Pairs of so many tokens with themselves and those before them."""
    return tokens * (tokens + 1) // 2


def cost(rates: Rates, amounts: Amounts) -> float:
    """What the amounts cost at so much a unit."""
    total: float = sum(getattr(rates, one.name) * getattr(amounts, one.name) for one in fields(Amounts))
    return total
