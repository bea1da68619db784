"""An evaluation computed again from `predictions.ndjson`, by the definitions that gave it in the run.

No model is needed: a line of that file holds what a row expects and what each model said of it. Groups by length and
the baseline of the most frequent class come from the token streams besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from ftc.runtime.evaluation.findings import result_findings
from ftc.runtime.evaluation.simple_guesses import METHODS, baseline_metrics, fitted_rows
from ftc.runtime.evaluation.split_rows import SplitRows
from ftc.runtime.metrics import (
    LOSSES,
    ClassCounts,
    Predictions,
    Rewarded,
    class_counts,
    loss_statistics,
    of_figures,
    statistics_of,
)
from ftc.runtime.metrics.classes import Decisions, Tags
from ftc.runtime.metrics.numbers import Numbers
from ftc.runtime.metrics.scored_answers import mean_scores
from ftc.runtime.metrics.slices import Apart, length_groups, slice_result
from ftc.runtime.metrics.statistics import RESAMPLING, Statistics, certainty, difference, intervals
from ftc.runtime.metrics.texts import Found, Written
from ftc.runtime.training.findings import training_findings
from ftc.spec.documents.audit import Recomputed
from ftc.spec.documents.events import Event, without_repeats
from ftc.spec.documents.findings import BaselineResult, RunFinding
from ftc.spec.documents.intervals import Gain
from ftc.spec.documents.outcomes import NO_ANSWER, Outcome, Said, as_label
from ftc.spec.documents.package_metrics import package_metrics
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.prompted import PromptedResult
from ftc.spec.documents.record import Evaluation, RewardModelResult, SliceResult
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.slices import LABEL
from ftc.spec.metrics import metric_named
from ftc.spec.storage.wordnet import lacking_data

__all__ = ["FinishedRun", "recompute"]

_By = Mapping[str, Statistics]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What a finished run left of its training and its evaluation.

    Attributes:
        plan: What was to be done.
        steps_done: Steps that were done.
        events: What the run said, in order.
        measured: The evaluation.
        rows: What the models made of each test row, in the order of the split.
    """

    plan: Plan
    steps_done: int
    events: Sequence[Event]
    measured: Evaluation
    rows: Sequence[Outcome]


def recompute(run: FinishedRun, splits: Mapping[str, SplitRows]) -> Recomputed:
    """Metrics, intervals, gains, groups, baselines and findings, as far as rows, events and splits give them.

    Args:
        run: What the run left.
        splits: Parts of the data as they were trained on and measured on; those that are here.
    """
    plan, measured, rows = run.plan, run.measured, run.rows
    left_out = _left_out(plan, measured, rows)
    names = [name for name in measured.tuned.metrics if name not in left_out]
    tuned = _statistics(names, plan.settings, [(row, row.tuned) for row in rows])
    before = [(row, row.base) for row in rows if row.base is not None]
    base = _statistics(names, plan.settings, before) if measured.base is not None and len(before) == len(rows) else {}
    sure = certainty(base, tuned)
    slices = [_slice(one, plan.settings, rows, base, tuned, splits.get("test")) for one in measured.slices]
    baselines = [_majority(plan, tuned, splits) if one.kind == "majority" else None for one in measured.baselines]
    prompted = _prompted(run, names, tuned)
    missing = {
        **{
            f"groups by {one.slice}": "the token streams, which hold the rows' lengths, are not here"
            for one, found in zip(measured.slices, slices, strict=True)
            if found is None
        },
        **{
            f"the baseline {one.kind}": "it was fitted to the training rows"
            for one, found in zip(measured.baselines, baselines, strict=True)
            if found is None
        },
    }
    return Recomputed(
        tuned={name: one.observed for name, one in tuned.items()},
        base={name: one.observed for name, one in base.items()},
        tuned_intervals=sure.tuned,
        base_intervals=sure.base,
        gains=sure.gains,
        slices=tuple(one for one in slices if one is not None),
        baselines=tuple(one for one in baselines if one is not None),
        prompted=tuple(prompted),
        reward_model=_scored(measured, rows),
        findings=tuple(_findings(run)),
        resampling=RESAMPLING,
        numpy=np.__version__,
        not_computed={**left_out, **missing},
    )


def _scored(measured: Evaluation, rows: Sequence[Outcome]) -> RewardModelResult | None:
    """Means of the scores that the rows hold of a reward model; None where a row has none."""
    said = measured.reward_model
    sides: list[list[Said | None]] = [[row.tuned for row in rows]]
    sides += [[row.base for row in rows]] if said is not None and said.base is not None else []
    columns = [[one.reward for one in side if one is not None and one.reward is not None] for side in sides]
    if said is None or not rows or any(len(column) < len(rows) for column in columns):
        return None
    return mean_scores(said.name, columns, said.cut)


def _findings(run: FinishedRun) -> Iterator[RunFinding]:
    """What the run should have said of its result and of its training."""
    settings = run.plan.settings
    by_class: ClassCounts = {}
    if settings.text.labels:
        by_class = class_counts(settings.text.labels, _predictions(settings, [(row, row.tuned) for row in run.rows]))
    names = [name for name in settings.eval.metrics if name in run.measured.tuned.metrics]
    yield from result_findings(names, by_class, run.measured)
    steps, evaluations = without_repeats(run.events)
    is_short = run.steps_done < settings.train.num_steps
    yield from training_findings(settings.train, steps, evaluations, stopped_early=is_short)


def _majority(plan: Plan, tuned: _By, splits: Mapping[str, SplitRows]) -> BaselineResult | None:
    """The most frequent class of the training rows, on the test rows; None where a split is not here."""
    if not splits.keys() >= {"train", "test"}:
        return None
    every = splits["train"].expected_classes()
    words, guess = METHODS["majority"]
    classes = [every[number] for number in fitted_rows(len(every))]
    expected = splits["test"].expected_classes()
    decisions = splits["test"].decisions(guess([], classes, [[]] * len(expected)))
    names = baseline_metrics(plan.recipe.task, tuned)
    measured = {name: statistics_of(name, decisions) for name in names}
    apart = intervals([difference(measured[name], tuned[name]) for name in names])
    values = {name: one.observed for name, one in measured.items()}
    gains = {
        name: Gain(value=tuned[name].observed - values[name], interval=interval)
        for name, interval in zip(names, apart, strict=True)
    }
    return BaselineResult(kind="majority", method=words, rows=len(classes), metrics=values, gains=gains, seconds=0.0)


def _prompted(run: FinishedRun, names: Sequence[str], tuned: _By) -> Iterator[PromptedResult]:
    """The base with each of the plan's prompts, by what the rows hold of its answers."""
    for asked in run.plan.settings.eval.baselines:
        said = [(row, row.prompted[asked.name]) for row in run.rows if asked.name in row.prompted]
        if len(said) == len(run.rows):
            found = _statistics(names, run.plan.settings, said)
            sure = certainty(found, tuned)
            yield PromptedResult(
                name=asked.name,
                title=asked.title,
                metrics={name: one.observed for name, one in found.items()},
                intervals=sure.base,
                gains=sure.gains,
                rows=len(said),
                prompt_tokens=asked.prompt_tokens,
                own_tokens=asked.own_tokens,
                seconds=0.0,
            )


def _left_out(plan: Plan, measured: Evaluation, rows: Sequence[Outcome]) -> dict[str, str]:
    """Metrics that the rows don't give here, and why."""
    found = {}
    absent, of_packages = lacking_data(plan.settings.eval), package_metrics(plan.settings)
    for name in measured.tuned.metrics:
        card = metric_named(name)
        if card is None:
            found[name] = "this release doesn't know it"
        elif name in of_packages:
            found[name] = "a package computes it, which an audit doesn't run"
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
            given = [one.predicted for _, one in said]
            return Rewarded.of(settings.train.sampling.rewards, zip(texts, wanted, strict=True), given)
        case "text" if said and said[0][0].right:
            return Found([row.right for row, _ in said], texts)
        case "filled" | "text":
            return Written(wanted, texts, settings.eval.wordnet)
        case _:
            assert_never(settings.answer)


def _slice(
    measured: SliceResult, settings: Settings, rows: Sequence[Outcome], base: _By, tuned: _By, split: SplitRows | None
) -> SliceResult | None:
    """A slice by a column, by the class or by length; None for the last where the test split is not here."""
    name, numbers = measured.slice, list(range(len(rows)))
    details: Mapping[str, str] = {}
    if all(name in row.slices for row in rows):
        of_rows = [row.slices[name] for row in rows]
        groups = sorted(set(of_rows))
    elif name == LABEL:
        of_rows = [row.expected or "" for row in rows]
        groups = [label for label in settings.text.labels if label in set(of_rows)]
    elif split is not None and len(split.counted) == len(rows):
        of_places, groups, details = length_groups(split.lengths)
        of_rows = [of_places[place] for place in split.counted]
    else:
        return None
    before, after = (_apart(one, numbers) for one in (base, tuned))
    return slice_result(name, of_rows, groups, details, before, after)


def _apart(statistics: _By, numbers: list[int]) -> Apart:
    return {name: (one, numbers) for name, one in statistics.items()}
