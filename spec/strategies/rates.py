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
        head_power: The same where a new head is trained beside it, for narrower models. 0.85 leads from LoRA's 2e-4 at
            4,096 to 1.5e-3 at 384, which in `benchmarks/defaults.py` gave 3.8 points more than the root's 6.5e-4 in the
            mean of four tasks with three seeds each (95 % interval -1.7 to 9.4); no other width was measured.
    """

    rate: float
    low: float
    high: float
    source: str
    width: int | None
    power: float
    head_power: float

    def at(self, width: int, *, has_new_head: bool) -> float:
        """What `auto` takes for a model of a hidden size, to two digits."""
        if self.width is None or width <= 0:
            return self.rate
        power = self._power(width, has_new_head=has_new_head)
        factor = min(_FASTEST, max(_SLOWEST, (self.width / width) ** power))
        return float(f"{min(self.high, max(self.low, self.rate * factor)):.2g}")

    def reason(self, width: int, usual: str, *, has_new_head: bool) -> str:
        """Why, in words; `usual` says whose middle it is."""
        if self.width is None or self.at(width, has_new_head=has_new_head) == self.rate:
            return usual
        power = self._power(width, has_new_head=has_new_head)
        law = {1: "inversely by", 0.5: "by the inverse root of"}.get(power, f"by the inverse power {power:g} of")
        beside = "beside a new head " if power != self.power else ""
        return f"{usual}, {self.rate:g} at a hidden size of {self.width:,}, and {beside}{law} the model's {width:,}"

    def _power(self, width: int, *, has_new_head: bool) -> float:
        """Of the width's inverse: a new head has a say in narrower models, which were measured."""
        return self.head_power if has_new_head and self.width is not None and width < self.width else self.power
