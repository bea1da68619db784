"""Means of what a reward model makes of answers, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.runtime.metrics.statistics import mean_of, means
from ftc.spec.documents.record import RewardModelResult

__all__ = ["mean_scores"]


def mean_scores(name: str, columns: Sequence[Sequence[float]], cut: int) -> RewardModelResult:
    """Means with their intervals, and what tuning gained.

    Args:
        name: What the reward model is called.
        columns: Scores of the tuned model's answers, then of the base's to the same rows where these were scored.
        cut: Answers that it could not read whole.
    """
    found = means([mean_of(column) for column in columns])
    return RewardModelResult(
        name=name,
        rows=len(columns[0]),
        tuned=found.tuned,
        interval=found.interval,
        base=found.base,
        gain=found.gain,
        cut=cut,
    )
