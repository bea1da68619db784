"""Usual learning rates, as strategies' cards state them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["UsualRate"]

_FASTEST, _SLOWEST = 10.0, 0.5
"""Times the usual middle, the most and the least that the width of a model makes of it."""


class UsualRate(NamedTuple):
    """Peak learning rates with AdamW.

    Attributes:
        rate: The usual middle.
        low: The least that is usual.
        high: The most.
        source: Who says so.
        width: Hidden size of the models that the middle is usual for: narrower models take longer steps, in inverse
            proportion, as muP has it for Adam (Yang et al. 2022). None where the middle is that of every model.
    """

    rate: float
    low: float
    high: float
    source: str
    width: int | None

    def at(self, width: int) -> float:
        """What `auto` takes for a model of a hidden size, to two digits."""
        if self.width is None or width <= 0:
            return self.rate
        factor = min(_FASTEST, max(_SLOWEST, self.width / width))
        return float(f"{min(self.high, max(self.low, self.rate * factor)):.2g}")

    def reason(self, width: int, usual: str) -> str:
        """Why, in words; `usual` says whose middle it is."""
        if self.width is None or self.at(width) == self.rate:
            return usual
        bound = f", at most {_FASTEST:g} times as much" if self.width > width * _FASTEST else ""
        return f"{usual}, {self.rate:g} at a hidden size of {self.width:,}, by the model's {width:,}{bound}"
