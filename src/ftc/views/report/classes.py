"""The report's part on classes: what is mistaken for what, scores by class, and how sure the model is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from ftc.spec.documents.outcomes import CONFIDENCE_BINS, OTHER_LABEL, Outcome, Said, as_label, confidence_bin
from ftc.spec.documents.plan import Plan
from ftc.spec.heads import head_card
from ftc.views import numbers
from ftc.views.report.charts import Axis, Drawer, Lines, Range, Ranges, Series, figure
from ftc.views.report.elements import details, matrix, section, table, text

__all__ = ["ClassScore", "Confusion", "classes_section", "confidence_section", "confusion", "label_scores"]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class is recognized. A ratio of nothing is 0, as scikit-learn has it with `zero_division=0`."""

    precision: float
    """Share of what was given this class that has it."""
    recall: float
    """Share of what has this class that was given it."""
    f1: float
    """The harmonic mean of the two."""
    support: int
    """Rows, or words, that have this class."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of rows by the class that they have and the class that they were given."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Lines by the expected class, columns by the chosen one, both in the order of the labels."""

    def scores(self) -> tuple[ClassScore, ...]:
        """The score of each class, in the order of the labels."""
        chosen = [sum(line[place] for line in self.counts) for place in range(len(self.labels))]
        return tuple(_score(line[place], chosen[place], sum(line)) for place, line in enumerate(self.counts))

    def mistakes(self) -> list[tuple[int, str, str]]:
        """Rows, expected and chosen class of every sort of mistake that was made, the most frequent first."""
        found = [
            (count, expected, chosen)
            for expected, line in zip(self.labels, self.counts, strict=True)
            for chosen, count in zip(self.labels, line, strict=True)
            if count and expected != chosen
        ]
        return sorted(found, key=lambda one: (-one[0], one[1], one[2]))


def confusion(labels: Sequence[str], pairs: Iterable[tuple[str, str]]) -> Confusion:
    """Counts pairs of an expected and a chosen class."""
    counted = Counter(pairs)
    return Confusion(tuple(labels), tuple(tuple(counted[row, column] for column in labels) for row in labels))


def label_scores(size: int, pairs: Iterable[tuple[Collection[int], Collection[int]]]) -> tuple[ClassScore, ...]:
    """The score of each of `size` labels where a row has several or none, from numbers of right and chosen ones."""
    expected, chosen, right = Counter[int](), Counter[int](), Counter[int]()
    for has, given in pairs:
        expected.update(set(has))
        chosen.update(set(given))
        right.update(set(has) & set(given))
    return tuple(_score(right[label], chosen[label], expected[label]) for label in range(size))


def _score(right: int, chosen: int, expected: int) -> ClassScore:
    return ClassScore(
        precision=right / chosen if chosen else 0.0,
        recall=right / expected if expected else 0.0,
        f1=2 * right / (chosen + expected) if chosen + expected else 0.0,
        support=expected,
    )


_MOST_CLASSES = 20
"""Classes whose matrix still fits on a page; where there are more, the most frequent mistakes are listed."""
_MOST_MISTAKES = 20


@dataclass(frozen=True, slots=True)
class _Recognized:
    """How each class is recognized by both models.

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
            before, after = _classes(labels, base, tuned)
            return _exclusive("class", "test rows", before, after, drawn)
        case "words":
            by_word = [
                [
                    (labels[target], labels[int(chosen)])
                    for one, answer in said
                    for target, chosen in zip(one.targets, answer.predicted, strict=False)
                ]
                for said in (base, tuned)
            ]
            before, after = (confusion(labels, pairs) if pairs else None for pairs in by_word)
            return _exclusive("tag", "words", before, after, drawn)
        case "several":
            scores = [
                label_scores(len(labels), ((one.targets, [*map(int, answer.predicted)]) for one, answer in said))
                if said
                else ()
                for said in (base, tuned)
            ]
            return section("classes", "Classes", *_scores(_Recognized("label", "test rows", labels, *scores), drawn))
        case _:
            assert_never(kind)


def _exclusive(noun: str, counted: str, base: Confusion | None, tuned: Confusion | None, drawn: Drawer) -> str:
    """Classes of which each row, or word, has one; empty where no row has a word."""
    if tuned is None:
        return ""
    before = base.scores() if base else ()
    return section(
        "classes",
        "Classes",
        *_scores(_Recognized(noun, counted, tuned.labels, before, tuned.scores()), drawn),
        _mistakes("Confusion matrix of the tuned model", counted, tuned),
        details("Confusion matrix of the base model", _mistakes("Confusion matrix of the base model", counted, base))
        if base
        else "",
    )


def _classes(
    labels: Sequence[str], *models: Sequence[tuple[Outcome, Said]]
) -> tuple[Confusion | None, Confusion | None]:
    """Counts by class of each model. What one of them wrote beside the classes is one more class of all, which no row
    has.
    """
    pairs = [[(one.expected or "", as_label(said.text or "", labels)) for one, said in model] for model in models]
    is_other = any(chosen == OTHER_LABEL for found in pairs for _, chosen in found)
    named = (*labels, OTHER_LABEL) if is_other and OTHER_LABEL not in labels else tuple(labels)
    before, after = (confusion(named, found) if found else None for found in pairs)
    return before, after


def _scores(found: _Recognized, drawn: Drawer) -> tuple[str, str]:
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
    grid = table(f"Precision, recall and F1 of each {found.noun}", header, rows, right=range(1, len(header)))
    chart_rows = [
        (
            label,
            [
                Range(side, score.f1, None, f"{label}, {name}: {numbers.metric(score.f1)}")
                for side, name, score in ((0, "base", old), (1, "tuned", new))
                if side or found.base
            ],
        )
        for label, old, new in zip(found.labels, before, found.tuned, strict=True)
    ]
    ranked = sorted(zip(found.labels, found.tuned, strict=True), key=lambda one: one[1].f1)
    words = "; ".join(f"{label} {numbers.metric(score.f1)}" for label, score in ranked)
    chart = Ranges(
        key="class-scores",
        title=f"F1 of each {found.noun}",
        description=f"F1 of the tuned model, from the lowest: {words}.",
        rows=chart_rows if len(chart_rows) <= _MOST_CLASSES else [],
        names=("base", "tuned") if found.base else (),
        axis=Axis("F1", limits=(0.0, 1.0)),
    )
    return figure(chart, drawn), grid


def _mistakes(caption: str, counted: str, found: Confusion) -> str:
    """The whole matrix, or the most frequent mistakes where it would be too large to read."""
    if len(found.labels) <= _MOST_CLASSES:
        return matrix(f"{caption} (rows: true class, columns: predicted class)", found.labels, found.counts)
    mistakes = found.mistakes()
    shown = mistakes[:_MOST_MISTAKES]
    rows = [(text(expected), text(chosen), numbers.count(count)) for count, expected, chosen in shown]
    left = f", the {len(shown)} most frequent of {numbers.count(len(mistakes))}" if len(mistakes) > len(shown) else ""
    return table(f"{caption}{left}", ("expected", "chosen", counted), rows, right=(2,))


_SHARE = Axis("accuracy", limits=(0.0, 1.0))


class _Group(NamedTuple):
    """Rows whose confidence lies in one interval."""

    number: int
    rows: int
    confidence: float
    """Mean probability of the class that was chosen."""
    right: float
    """Share of the rows whose class is right."""


def confidence_section(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer) -> str:
    """Confidence beside what came of it; empty where no class is chosen by probability."""
    if not head_card(plan.settings.model.head).has_confidence or not any(
        one.tuned.confidence is not None for one in outcomes
    ):
        return ""
    tuned = _groups([(one, one.tuned) for one in outcomes])
    base = _groups([(one, one.base) for one in outcomes if one.base])
    rows = sum(one.rows for one in tuned)
    sure = math.fsum(one.rows * one.confidence for one in tuned) / rows
    right = math.fsum(one.rows * one.right for one in tuned) / rows
    side = "over-confident" if sure > right else "under-confident"
    side = "well calibrated" if abs(sure - right) < 0.005 else side
    words = (
        f"Mean confidence {numbers.percent(sure)}, accuracy {numbers.percent(right)}: the model is {side}. Rows "
        f"are grouped by confidence, in {CONFIDENCE_BINS} intervals of equal width."
    )
    return section("confidence", "Confidence", f"<p>{text(words)}</p>", *_shown(base, tuned, drawn))


def _groups(said: Sequence[tuple[Outcome, Said]]) -> list[_Group]:
    found: dict[int, list[tuple[float, bool]]] = {}
    for row, answer in said:
        if answer.confidence is not None:
            pair = (answer.confidence, answer.text == row.expected)
            found.setdefault(confidence_bin(answer.confidence), []).append(pair)
    return [
        _Group(
            number,
            len(pairs),
            math.fsum(confidence for confidence, _ in pairs) / len(pairs),
            sum(is_right for _, is_right in pairs) / len(pairs),
        )
        for number, pairs in sorted(found.items())
    ]


def _shown(base: Sequence[_Group], tuned: Sequence[_Group], drawn: Drawer) -> tuple[str, str]:
    chart = Lines(
        key="reliability",
        title="Reliability diagram",
        description="; ".join(
            f"confidence {numbers.percent(one.confidence)}: accuracy {numbers.percent(one.right)} on "
            f"{numbers.plural(one.rows, 'row')}"
            for one in tuned
        ),
        series=[
            Series("perfect calibration", [(0.0, 0.0), (1.0, 1.0)], "ideal", 7),
            Series("base", [(one.confidence, one.right) for one in base], "squares", 7),
            Series("tuned", [(one.confidence, one.right) for one in tuned], "dots", 0),
        ],
        x=Axis("confidence", limits=(0.0, 1.0)),
        y=_SHARE,
        is_wide=True,
    )
    sides = [("base", base)] if base else []
    rows = [
        (
            f"{one.number / CONFIDENCE_BINS:.2f} to {(one.number + 1) / CONFIDENCE_BINS:.2f}",
            side,
            numbers.count(one.rows),
            numbers.metric(one.confidence),
            numbers.metric(one.right),
        )
        for side, groups in [*sides, ("tuned", tuned)]
        for one in groups
    ]
    header = ("interval", "model", "test rows", "mean confidence", "accuracy")
    grid = table("Reliability diagram", header, rows, right=(2, 3, 4))
    return figure(chart, drawn), details("Values of the reliability diagram", grid)
