"""How sure a measured value is, and what it gained."""

from __future__ import annotations

from ftc.spec.base import Document, Real

__all__ = ["Gain", "Interval"]


class Interval(Document):
    """Where a value would lie, in 95 of 100 repetitions, had other test rows of the same kind been drawn.

    A share of rows, such as accuracy, has its exact interval (Clopper & Pearson), what it gains that of Bonett & Price;
    anything else that of a bootstrap over the rows (BCa, 2,000 resamples with a fixed seed, widened as Student's on few
    rows).
    """

    low: Real
    high: Real


class Gain(Document):
    """What a metric gained from base to tuned, both on the same rows."""

    value: Real
    """Tuned minus base."""
    interval: Interval | None
    """None where the rows can't tell."""

    @property
    def is_shown(self) -> bool:
        """Whether there is a difference beyond the chance of which rows were drawn: zero lies outside the interval."""
        return self.interval is not None and (self.interval.low > 0 or self.interval.high < 0)
