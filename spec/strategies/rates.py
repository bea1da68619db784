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
        width: Hidden size of the models that the middle is usual for: narrower models take longer steps (muP, Yang et
            al. 2022). None where the middle is that of every model.
        power: Of the width's inverse. 1 for weights themselves, as muP has it for Adam; 1/2 for low-rank adapters,
            which at 1 diverged on narrow encoders: it leads from QLoRA's 2e-4 at 4,096 to LoRA's own 4e-4 to 5e-4 for
            RoBERTa at 768 (Hu et al. 2021).
    """

    rate: float
    low: float
    high: float
    source: str
    width: int | None
    power: float

    def at(self, width: int) -> float:
        """What `auto` takes for a model of a hidden size, to two digits."""
        if self.width is None or width <= 0:
            return self.rate
        factor = min(_FASTEST, max(_SLOWEST, (self.width / width) ** self.power))
        return float(f"{min(self.high, max(self.low, self.rate * factor)):.2g}")

    def reason(self, width: int, usual: str) -> str:
        """Why, in words; `usual` says whose middle it is."""
        if self.width is None or self.at(width) == self.rate:
            return usual
        law = "inversely by" if self.power == 1 else "by the inverse root of"
        return f"{usual}, {self.rate:g} at a hidden size of {self.width:,}, and {law} the model's {width:,}"
