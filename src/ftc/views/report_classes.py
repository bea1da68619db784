"""The report's part on classes: how each is recognised, base beside tuned, and what is mistaken for what."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.outcomes import OTHER_LABEL, Outcome, Said, as_label
from ftc.spec.plan import Plan
from ftc.views import numbers
from ftc.views.confusion import Confusion, confusion
from ftc.views.report_charts import Axis, Drawer, Range, Ranges, figure
from ftc.views.report_elements import details, matrix, section, table, text

__all__ = ["classes_section"]

_MOST_CLASSES = 20
"""Classes whose matrix still fits on a page; where there are more, the most frequent mistakes are listed."""
_MOST_MISTAKES = 20


def classes_section(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer) -> str:
    """Scores by class, then the confusion matrix; empty for a task without classes, or where nothing was measured."""
    labels = plan.settings.text.labels
    chooses_one = plan.settings.model.head in ("classification", "lm") and labels
    if not chooses_one or not outcomes or outcomes[0].expected is None:
        return ""
    tuned = _counted(labels, outcomes, [one.tuned for one in outcomes])
    base = _counted(labels, outcomes, [one.base for one in outcomes]) if outcomes[0].base else None
    return section(
        "classes",
        "Classes",
        figure(_chart(base, tuned), drawn),
        _scores(base, tuned),
        _mistakes("What the tuned model mistakes for what", tuned),
        details("The same of the base model", _mistakes("What the base model mistakes for what", base)) if base else "",
    )


def _counted(labels: Sequence[str], outcomes: Sequence[Outcome], said: Sequence[Said | None]) -> Confusion:
    """Counts by class; what a model wrote beside the classes is one more, which no row has."""
    pairs = [
        (one.expected or "", as_label(answer.text or "", labels))
        for one, answer in zip(outcomes, said, strict=True)
        if answer
    ]
    others = (OTHER_LABEL,) if any(chosen == OTHER_LABEL for _, chosen in pairs) else ()
    return confusion((*labels, *others), pairs)


def _scores(base: Confusion | None, tuned: Confusion) -> str:
    after = tuned.scores()
    before = base.scores() if base else after
    names = ("precision", "recall", "f1")
    sides = ("base", "tuned") if base else ("tuned",)
    rows = [
        (
            text(label),
            *(numbers.metric(getattr(score, name)) for name in names for score in ((old, new) if base else (new,))),
            numbers.count(new.support),
        )
        for label, old, new in zip(tuned.labels, before, after, strict=True)
    ]
    titles = [f"{'F1' if name == 'f1' else name}, {side}" for name in names for side in sides]
    header = ("class", *titles, "test rows")
    return table("How each class is recognised", header, rows, right=range(1, len(header)))


def _chart(base: Confusion | None, tuned: Confusion) -> Ranges:
    """F1 of each class; nothing where there are too many for a picture."""
    sides = [found.scores() for found in (base, tuned) if found] if len(tuned.labels) <= _MOST_CLASSES else []
    names = ("base", "tuned") if base else ("", "tuned")
    rows = [
        (
            label,
            [
                Range(side + (not base), score.f1, None, f"{label}, {name}: {numbers.metric(score.f1)}")
                for side, (name, score) in enumerate(zip(names[-len(sides) :], scores, strict=True))
            ],
        )
        for label, *scores in zip(tuned.labels, *sides, strict=True)
        if sides
    ]
    ranked = sorted(zip(tuned.labels, sides[-1], strict=True), key=lambda one: one[1].f1) if sides else []
    words = "; ".join(f"{label} {numbers.metric(score.f1)}" for label, score in ranked)
    return Ranges(
        key="class-scores",
        title="F1 of each class",
        description=f"F1 of the tuned model, from the lowest: {words}.",
        rows=rows,
        names=names,
        axis=Axis("F1", limits=(0.0, 1.0)),
    )


def _mistakes(caption: str, found: Confusion) -> str:
    """The whole matrix, or the most frequent mistakes where it would be too large to read."""
    if len(found.labels) <= _MOST_CLASSES:
        return matrix(f"{caption}: rows are what is expected, columns what was chosen", found.labels, found.counts)
    mistakes = found.mistakes()
    shown = mistakes[:_MOST_MISTAKES]
    rows = [(text(expected), text(chosen), numbers.count(count)) for count, expected, chosen in shown]
    left = f", the {len(shown)} most frequent of {numbers.count(len(mistakes))}" if len(mistakes) > len(shown) else ""
    return table(f"{caption}{left}", ("expected", "chosen", "test rows"), rows, right=(2,))
