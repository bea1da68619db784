"""What the curves of a run say of overfitting, in words."""

from __future__ import annotations

from ftc.spec.documents.record import RunRecord
from ftc.views import numbers
from ftc.views.report.history import History, smoothed

__all__ = ["overfitting_words"]

_FEWEST_LOOKS = 3
_RISE = 0.02
"""Share by which validation loss has to rise above its lowest point before it is more than its usual wavering."""


def overfitting_words(run: History, record: RunRecord) -> str:
    """Where validation loss turned while training loss went on falling; empty where the curves can't or don't tell.

    The looks at validation are compared with the lowest of them, and the training loss with what it was there, both as
    a mean of the steps around.
    """
    looks, losses = run.validation("val_loss"), run.points("loss")
    if len(looks) < _FEWEST_LOOKS or not losses:
        return ""
    turn, lowest = min(looks, key=lambda look: (look[1], look[0]))
    last, end = looks[-1]
    if end <= lowest * (1 + _RISE):
        near = f"within {100 * _RISE:.0f} % of its lowest, at step {_step(turn)}"
        return f"No overfitting shows: validation loss ends {near}."
    means = smoothed(losses, max(5, len(losses) // 12))
    at_turn, at_end = (min(means, key=lambda point: abs(point[0] - step))[1] for step in (turn, last))
    if at_end >= at_turn:
        rise = f"from {lowest:.3f} to {end:.3f} after step {_step(turn)}"
        return f"Validation loss rose {rise}, and training loss with it."
    kept = record.selected_step
    result = f" The result has the weights of step {_step(kept)}." if kept is not None else ""
    return (
        f"Overfitting from step {_step(turn)} on: validation loss rose from {lowest:.3f} to {end:.3f}, while training "
        f"loss fell from {at_turn:.3f} to {at_end:.3f}.{result}"
    )


def _step(number: float) -> str:
    return numbers.count(round(number))
