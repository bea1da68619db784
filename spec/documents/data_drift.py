"""New rows beside a finished run's own: what differs, by which test, and what the tests could have seen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.intervals import Interval
from ftc.spec.documents.streams import Split
from ftc.spec.heads import Head, head_card
from ftc.spec.text_forms import FormName, form_card

__all__ = [
    "MOST_ROWS",
    "DataDrift",
    "DriftAspect",
    "DriftTest",
    "MetricDrift",
    "NovelRow",
    "Verdict",
    "has_own_form",
    "keeps_answers",
]

MOST_ROWS = 1_000
"""Most rows of each side that are compared, unless more are asked for, and most that a run keeps something of."""


def has_own_form(form: FormName, head: Head) -> bool:
    """Whether rows are compared in the form that was trained on, since a row alone has none of its own: blocks of
    text, and pairs of answers that are scored.
    """
    card = form_card(form)
    return card.is_self_supervised or (card.is_pair and head_card(head).is_new)


def keeps_answers(form: FormName, head: Head) -> bool:
    """Whether a run keeps its answers to validation rows: a head gives them at once, and writing takes too long."""
    return not head_card(head).writes and not has_own_form(form, head)


DriftAspect = Literal["inputs", "damage", "answers", "metrics"]
"""What a test looks at: what the model is given, rows that it can't read, what it answers, or how good that is."""

Verdict = Literal["drift", "no drift", "too few rows"]


class DriftTest(Document):
    """One statistical test."""

    name: str
    """What is compared, such as `predicted classes`."""
    aspect: DriftAspect
    method: str
    reference_rows: int
    new_rows: int
    value: Real
    """What the method measures: its size is the size of the difference."""
    unit: str
    """What that is, in words."""
    minimum_detectable: Real | None
    """A difference that these many rows show in 80 of 100 cases; None where that isn't known."""
    p: Real
    adjusted_p: Real
    """By Holm, over all tests of the report."""
    drifted: bool
    detail: str
    """Both sides in words."""


class NovelRow(Document):
    """One of the new rows that are least like the run's own."""

    place: str
    """Its name, such as `new.jsonl:38`."""
    distance: Real
    """Mean cosine distance to the five nearest of the run's rows: 0 is the same words, 1 is none in common. Where the
    run's words are gone, it is that of the model's states."""
    p: Real
    """Share of the run's rows that are as far from the others, with this one."""
    text: str
    """The beginning of what the model is given; masked as a whole where it holds personal data or secrets."""


class MetricDrift(Document):
    """A metric on the new rows that have labels, beside the run's test rows."""

    rows: int
    value: Real
    interval: Interval | None
    test_value: Real | None
    """None where the run was not measured by it."""
    test_interval: Interval | None


class DataDrift(Document):
    """New rows beside those of a run."""

    schema_: Literal["ftc.data-drift/1"] = Field(default="ftc.data-drift/1", alias="schema")
    run_id: str
    name: str
    """The recipe's."""
    data: str
    """The new rows' file as the user calls it."""
    rows: int
    """Rows of the file."""
    reference: Split
    """Which of the run's rows the new ones are compared with."""
    reference_rows: int
    """Rows that are compared."""
    new_rows: int
    significance_level: Real
    """Share of reports without any drift that say `drift` at most."""
    verdict: Verdict
    minimum_detectable_auc: Real | None
    """How well a classifier has to tell new rows from the run's for this report to notice in 80 of 100 cases; 0.5 is
    not at all. None where there are too few rows to try."""
    tests: tuple[DriftTest, ...]
    novel: tuple[NovelRow, ...]
    """The least alike first."""
    classes: dict[str, tuple[Real, Real]] = Field(default_factory=dict)
    """Share of rows with each predicted class, of the run's rows and of the new ones; empty for tasks without."""
    metrics: dict[str, MetricDrift] = Field(default_factory=dict)
    """Empty where no row has a label."""
    failed_gates: tuple[str, ...] = ()
    """The recipe's gates that fail on the new rows, in words."""
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> tuple[DriftTest, ...]:
        """The tests that say so."""
        return tuple(one for one in self.tests if one.drifted)
