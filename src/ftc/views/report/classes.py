"""The report's part on classes: how each is recognised, base beside tuned, and what is mistaken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from ftc.spec.documents.outcomes import OTHER_LABEL, Outcome, Said, as_label
from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.confusion import ClassScore, Confusion, confusion, label_scores
from ftc.views.report.charts import Axis, Drawer, Range, Ranges, figure
from ftc.views.report.elements import details, matrix, section, table, text

__all__ = ["classes_section"]

_MOST_CLASSES = 20
"""Classes whose matrix still fits on a page; where there are more, the most frequent mistakes are listed."""
_MOST_MISTAKES = 20


@dataclass(frozen=True, slots=True)
class _Recognised:
    """How each class is recognised by both models.

    Attributes:
        noun: What a class is called.
        counted: What has one.
        labels: Their names.
        base: The base model's scores, empty without one.
        tuned: The tuned model's.
    """

    noun: str
    counted: str
    labels: Sequence[str]
    base: Sequence[ClassScore]
    tuned: Sequence[ClassScore]


def classes_section(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer) -> str:
    """Scores by class, then the confusion matrix; empty for a task without classes, or where nothing was measured."""
    labels, kind = plan.settings.text.labels, plan.settings.labels
    if kind is None or not labels or not outcomes:
        return ""
    base = [(one, one.base) for one in outcomes if one.base]
    tuned = [(one, one.tuned) for one in outcomes]
    match kind:
        case "one" if outcomes[0].expected is None:  # labels that nobody had written
            return ""
        case "one":
            return _exclusive("class", "test rows", _classes(labels, base), _classes(labels, tuned), drawn)
        case "words":
            return _exclusive("tag", "words", _tags(labels, base), _tags(labels, tuned), drawn)
        case "several":
            scores = (_labels(labels, base) if base else (), _labels(labels, tuned))
            return section("classes", "Classes", *_scores(_Recognised("label", "test rows", labels, *scores), drawn))
        case _:
            assert_never(kind)


def _exclusive(noun: str, counted: str, base: Confusion | None, tuned: Confusion | None, drawn: Drawer) -> str:
    """Classes of which each row, or word, has one."""
    assert tuned is not None
    before = base.scores() if base else ()
    return section(
        "classes",
        "Classes",
        *_scores(_Recognised(noun, counted, tuned.labels, before, tuned.scores()), drawn),
        _mistakes("What the tuned model mistakes for what", counted, tuned),
        details("The same of the base model", _mistakes("What the base model mistakes for what", counted, base))
        if base
        else "",
    )


def _classes(labels: Sequence[str], said: Sequence[tuple[Outcome, Said]]) -> Confusion | None:
    """Counts by class; what a model wrote beside the classes is one more, which no row has."""
    pairs = [(one.expected or "", as_label(answer.text or "", labels)) for one, answer in said]
    others = (OTHER_LABEL,) if any(chosen == OTHER_LABEL for _, chosen in pairs) else ()
    return confusion((*labels, *others), pairs) if pairs else None


def _tags(labels: Sequence[str], said: Sequence[tuple[Outcome, Said]]) -> Confusion | None:
    """Counts by tag, word by word."""
    pairs = [
        (labels[target], labels[int(chosen)])
        for one, answer in said
        for target, chosen in zip(one.targets, answer.predicted, strict=False)
    ]
    return confusion(labels, pairs) if pairs else None


def _labels(labels: Sequence[str], said: Sequence[tuple[Outcome, Said]]) -> tuple[ClassScore, ...]:
    return label_scores(
        len(labels), ((one.targets, [int(label) for label in answer.predicted]) for one, answer in said)
    )


def _scores(found: _Recognised, drawn: Drawer) -> tuple[str, str]:
    """A picture and a table."""
    before = found.base or found.tuned
    names = ("precision", "recall", "f1")
    sides = ("base", "tuned") if found.base else ("tuned",)
    rows = [
        (
            text(label),
            *(
                numbers.metric(getattr(score, name))
                for name in names
                for score in ((old, new) if found.base else (new,))
            ),
            numbers.count(new.support),
        )
        for label, old, new in zip(found.labels, before, found.tuned, strict=True)
    ]
    titles = [f"{'F1' if name == 'f1' else name}, {side}" for name in names for side in sides]
    header = (found.noun, *titles, found.counted)
    grid = table(f"How each {found.noun} is recognised", header, rows, right=range(1, len(header)))
    return figure(_chart(found), drawn), grid


def _chart(found: _Recognised) -> Ranges:
    """F1 of each class; nothing where there are too many for a picture."""
    before: Sequence[ClassScore | None] = found.base or [None] * len(found.tuned)
    rows = [
        (
            label,
            [
                Range(side, score.f1, None, f"{label}, {name}: {numbers.metric(score.f1)}")
                for side, (name, score) in enumerate((("base", old), ("tuned", new)))
                if score is not None
            ],
        )
        for label, old, new in zip(found.labels, before, found.tuned, strict=True)
    ]
    ranked = sorted(zip(found.labels, found.tuned, strict=True), key=lambda one: one[1].f1)
    words = "; ".join(f"{label} {numbers.metric(score.f1)}" for label, score in ranked)
    return Ranges(
        key="class-scores",
        title=f"F1 of each {found.noun}",
        description=f"F1 of the tuned model, from the lowest: {words}.",
        rows=rows if len(rows) <= _MOST_CLASSES else [],
        names=("base", "tuned") if found.base else (),
        axis=Axis("F1", limits=(0.0, 1.0)),
    )


def _mistakes(caption: str, counted: str, found: Confusion) -> str:
    """The whole matrix, or the most frequent mistakes where it would be too large to read."""
    if len(found.labels) <= _MOST_CLASSES:
        return matrix(f"{caption}: rows are what is expected, columns what was chosen", found.labels, found.counts)
    mistakes = found.mistakes()
    shown = mistakes[:_MOST_MISTAKES]
    rows = [(text(expected), text(chosen), numbers.count(count)) for count, expected, chosen in shown]
    left = f", the {len(shown)} most frequent of {numbers.count(len(mistakes))}" if len(mistakes) > len(shown) else ""
    return table(f"{caption}{left}", ("expected", "chosen", counted), rows, right=(2,))
