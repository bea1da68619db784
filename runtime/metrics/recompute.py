"""Scores computed again from `predictions.ndjson`, by the definitions that gave them in the run.

No model and no token stream is needed: a line of that file holds what a row expects and what each model said of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from ftc.runtime.metrics import LOSSES, Predictions, Rewarded, loss_statistics, of_figures, statistics_of
from ftc.runtime.metrics.classes import Decisions, Tags
from ftc.runtime.metrics.numbers import Numbers
from ftc.runtime.metrics.slices import Apart, slice_result
from ftc.runtime.metrics.statistics import RESAMPLING, Statistics, certainty
from ftc.runtime.metrics.texts import Found, Written
from ftc.spec.documents.audit import Recomputed
from ftc.spec.documents.outcomes import NO_ANSWER, Outcome, Said, as_label
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, SliceResult
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.slices import LABEL
from ftc.spec.metrics import metric_named
from ftc.spec.storage.wordnet import lacking_data

__all__ = ["recompute"]

_By = Mapping[str, Statistics]


def recompute(plan: Plan, measured: Evaluation, rows: Sequence[Outcome]) -> Recomputed:
    """Metrics, intervals, gains and groups of an evaluation, as far as its rows give them.

    Args:
        plan: What was measured, and how.
        measured: The evaluation, for which metrics and groups it has.
        rows: What the models made of each test row, in the order of the split.
    """
    left_out = _left_out(plan, measured, rows)
    names = [name for name in measured.tuned.metrics if name not in left_out]
    tuned = _statistics(names, plan.settings, [(row, row.tuned) for row in rows])
    before = [(row, row.base) for row in rows if row.base is not None]
    base = _statistics(names, plan.settings, before) if measured.base is not None and len(before) == len(rows) else {}
    sure = certainty(base, tuned)
    slices = [_slice(one, plan.settings, rows, base, tuned) for one in measured.slices]
    return Recomputed(
        tuned={name: one.observed for name, one in tuned.items()},
        base={name: one.observed for name, one in base.items()},
        tuned_intervals=sure.tuned,
        base_intervals=sure.base,
        gains=sure.gains,
        slices=tuple(one for one in slices if one is not None),
        resampling=RESAMPLING,
        numpy=np.__version__,
        not_computed={
            **left_out,
            **{
                f"groups by {one.slice}": "the rows don't hold their lengths"
                for one, found in zip(measured.slices, slices, strict=True)
                if found is None
            },
        },
    )


def _left_out(plan: Plan, measured: Evaluation, rows: Sequence[Outcome]) -> dict[str, str]:
    """Metrics that the rows don't give here, and why."""
    found = {}
    absent = lacking_data(plan.settings.eval)
    for name in measured.tuned.metrics:
        card = metric_named(name)
        if card is None:
            found[name] = "this release doesn't know it"
        elif card.needs is not None and card.needs in absent:
            found[name] = f"{card.needs.data} is not on this machine"
        elif card.of_loss and plan.data["test"].rows != len(rows):
            found[name] = "it counts every window of a question, and the file holds the first one"
    return found


def _statistics(names: Sequence[str], settings: Settings, said: Sequence[tuple[Outcome, Said]]) -> _By:
    found = {name: loss_statistics(name, [one for _, one in said]) for name in names if name in LOSSES}
    others = [name for name in names if name not in LOSSES]
    if others:
        predictions = _predictions(settings, said)
        found |= {name: statistics_of(name, predictions) for name in others}
    return {name: found[name] for name in names}


def _predictions(settings: Settings, said: Sequence[tuple[Outcome, Said]]) -> Predictions:
    """What the rows expect, and what a model said, in the form that metrics take.

    Raises:
        ValueError: A row names a class or lacks an answer that the plan asks for.
    """
    labels, wanted = settings.text.labels, [row.expected or "" for row, _ in said]
    texts = [one.text or "" for _, one in said]
    numbers = [[int(number) for number in one.predicted] for _, one in said]
    match settings.answer:
        case "label":
            expected, chosen = ([labels.index(name) for name in side] for side in (wanted, texts))
            return Decisions.single(labels, expected, chosen, np.array([one.confidence for _, one in said], np.float64))
        case "labels":
            return Decisions.several(labels, [row.targets for row, _ in said], numbers)
        case "tags":
            return Tags(labels, [row.targets for row, _ in said], numbers)
        case "numbers":
            return Numbers(
                np.array([[float(number) for number in row.right] for row, _ in said], np.float64),
                np.array([one.predicted for _, one in said], np.float64),
            )
        case "span":
            return Found([row.right for row, _ in said], ["" if text == NO_ANSWER else text for text in texts])
        case "written label":
            return Decisions.named(labels, wanted, [as_label(text, labels) for text in texts])
        case "pair" | "rated" | "rank":
            return of_figures(settings.answer, [one.predicted for _, one in said])
        case "rewarded":
            assert settings.train.sampling is not None, "the plan says what answers earn"
            return Rewarded.of(settings.train.sampling.rewards, zip(texts, wanted, strict=True))
        case "text" if said and said[0][0].right:
            return Found([row.right for row, _ in said], texts)
        case "text":
            return Written(wanted, texts, settings.eval.wordnet)
        case _:
            assert_never(settings.answer)


def _slice(
    measured: SliceResult, settings: Settings, rows: Sequence[Outcome], base: _By, tuned: _By
) -> SliceResult | None:
    """A slice by a column or by the class; None for one by length, which the rows don't hold."""
    name, numbers = measured.slice, list(range(len(rows)))
    if all(name in row.slices for row in rows):
        of_rows = [row.slices[name] for row in rows]
        groups = sorted(set(of_rows))
    elif name == LABEL:
        of_rows = [row.expected or "" for row in rows]
        groups = [label for label in settings.text.labels if label in set(of_rows)]
    else:
        return None
    before, after = (_apart(one, numbers) for one in (base, tuned))
    return slice_result(name, of_rows, groups, {}, before, after)


def _apart(statistics: _By, numbers: list[int]) -> Apart:
    return {name: (one, numbers) for name, one in statistics.items()}
