"""Every figure of an evaluation that a gate may be about, by its name."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.record import Evaluation, Interval
from ftc.spec.documents.slices import measured

__all__ = ["Figure", "figures", "plain_name"]

Figure = tuple[float, Interval | None]
"""A value and its interval; None where the rows can't tell."""


def figures(evaluation: Evaluation) -> dict[str, Figure]:
    """Metrics of the tuned model, of groups and gaps between them, and what was measured beside them."""
    tuned = evaluation.tuned
    found: dict[str, Figure] = {name: (value, tuned.intervals.get(name)) for name, value in tuned.metrics.items()}
    found |= dict(_of_slices(evaluation))
    if evaluation.retention is not None:
        gain = evaluation.retention.forgetting
        found["forgetting"] = (gain.value, gain.interval)
    if evaluation.swaps is not None:
        found["swapped"] = (evaluation.swaps.share, evaluation.swaps.interval)
    if evaluation.judge is not None and evaluation.judge.tuned is not None:
        found["judge"] = (evaluation.judge.tuned, evaluation.judge.interval)
    if evaluation.classifier is not None:
        found["flagged"] = (evaluation.classifier.tuned, evaluation.classifier.interval)
    return found


def plain_name(name: str) -> str:
    """A gate's name in the one spelling that `figures` has, whatever the spaces in it."""
    about = measured(name)
    if about.slice is None:
        return name
    return _gap(about.metric, about.slice) if about.group is None else _group(about.metric, about.slice, about.group)


def _of_slices(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    for one in evaluation.slices:
        yield from ((_gap(name, one.slice), (gap.value, gap.interval)) for name, gap in one.gaps.items())
        for group in one.groups:
            for name, value in group.tuned.items():
                yield _group(name, one.slice, group.group), (value, group.intervals.get(name))


def _gap(metric: str, of: str) -> str:
    return f"{metric} gap on {of}"


def _group(metric: str, of: str, group: str) -> str:
    return f"{metric} on {of} = {group}"
