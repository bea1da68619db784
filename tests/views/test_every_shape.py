"""Every page is drawn whatever a run measured: each task, texts of any script, numbers of any size, and none at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ftc.spec.documents.attributions import Attribution, TokenWeight
from ftc.spec.documents.events import Evaluated, Event, StepDone
from ftc.spec.documents.outcomes import OTHER_LABEL, Outcome, Said
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, Prediction
from ftc.spec.heads import head_card
from ftc.spec.metrics import METRICS
from ftc.spec.tasks import TASKS
from ftc.spec.tasks.card import EVERY_FAMILY, Mode
from ftc.views.card import model_card
from ftc.views.report.charts import drawer
from ftc.views.report.run_report import report_html
from ftc.views.run import run_html, run_text
from tests.spec.test_task_cards import every_option
from tests.support import documents

MODES = {
    (mode.head, mode.form, mode.traits): mode
    for task in TASKS
    for one in every_option(task)
    for mode in (one.mode_for(family) for family in EVERY_FAMILY)
}
"""Every way to do a task."""
LABELS = ("", "money", "`spört`", OTHER_LABEL, "<b>", "长" * 40)
words = st.text(max_size=30) | st.sampled_from(["", "\x00", "\u202e", "a@b.example", "</script>", "x" * 3000, *LABELS])
reals = st.floats(allow_nan=False, allow_infinity=False)
losses = st.floats(0, 1e300)


def plan_of(mode: Mode) -> Plan:
    plain = documents.plan().settings.model_dump(mode="python")
    has_labels = head_card(mode.head).is_labeled or mode.writes_labels
    return documents.plan(
        settings=plain
        | {
            "model": plain["model"] | {"head": mode.head},
            "text": plain["text"] | {"form": mode.form, "labels": LABELS if has_labels else ()},
        }
    )


@st.composite
def said(draw: Any, mode: Mode) -> Said:
    head = head_card(mode.head)
    number = st.integers(0, len(LABELS) - 1).map(float)
    return Said(
        text=draw(st.none() | words) if not head.is_labeled else draw(st.sampled_from(LABELS)),
        loss_sum=draw(losses),
        targets=draw(st.integers(0, 9)),
        confidence=draw(st.floats(0, 1)) if head.has_confidence else None,
        predicted=tuple(draw(st.lists(number, max_size=4))) if head.keeps_targets else (),
    )


@st.composite
def outcomes(draw: Any, mode: Mode) -> list[Outcome]:
    has_base, has_text = draw(st.booleans()), draw(st.booleans())
    expected = st.sampled_from(LABELS) if head_card(mode.head).is_labeled or mode.writes_labels else words
    return [
        Outcome(
            row=row,
            prompt=draw(words),
            expected=draw(expected) if has_text else None,
            targets=tuple(draw(st.lists(st.integers(0, len(LABELS) - 1), max_size=4))),
            right=tuple(draw(st.lists(words, max_size=2))),
            base=draw(said(mode)) if has_base else None,
            tuned=draw(said(mode)),
        )
        for row in range(draw(st.integers(0, 8)))
    ]


@st.composite
def evaluations(draw: Any, mode: Mode) -> Evaluation | None:
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    names = draw(st.lists(st.sampled_from([one.name for one in METRICS]), max_size=4, unique=True))
    metrics = {name: draw(reals) for name in names}
    tuned = {"metrics": metrics, "rows": draw(st.integers(0, 10**12)), "seconds": draw(losses)}
    base = {**tuned, "metrics": {name: draw(reals) for name in names}} if draw(st.booleans()) else None
    texts = st.lists(st.tuples(words, words, words, words), max_size=3)
    return documents.evaluation(
        tuned=tuned,
        base=base,
        gains={},
        gates=(),
        predictions=tuple(
            Prediction(row=row, text=a, expected=b, base=c if base else None, tuned=d)
            for row, (a, b, c, d) in enumerate(draw(texts))
        ),
        attributions=tuple(
            Attribution(row=0, label=label, tokens=tuple(TokenWeight(text=text, weight=draw(reals)) for text in tokens))
            for label, tokens in draw(
                st.lists(st.tuples(st.sampled_from(LABELS), st.lists(words, max_size=3)), max_size=2)
            )
        ),
    )


@st.composite
def events(draw: Any) -> list[Event]:
    found: list[Event] = []
    for step in range(1, draw(st.integers(0, 5))):
        fields = {name: draw(losses) for name in ("epoch", "loss", "learning_rate", "grad_norm", "seconds")}
        found.append(StepDone(step=step, tokens=draw(st.integers(0, 10**15)), supervised=0, **fields))
        if draw(st.booleans()):
            found.append(
                Evaluated(step=step, metrics={"val_loss": draw(losses)}, best=draw(st.booleans()), seconds=0.0)
            )
    return found


@pytest.mark.parametrize(
    "mode", MODES.values(), ids=[f"{head}-{form}-{'-'.join(traits)}" for head, form, traits in MODES]
)
@given(data=st.data())
@settings(max_examples=4, derandomize=True, phases=(Phase.generate,))
def test_every_page_is_drawn(mode: Mode, data: st.DataObject) -> None:
    plan = plan_of(mode)
    record, evaluation = documents.record(plan), data.draw(evaluations(mode))
    page = report_html(plan, record, evaluation, data.draw(events()), data.draw(outcomes(mode)))
    assert page.startswith("<!doctype html>")
    assert "</script>" not in page
    assert "a@b.example" not in page
    assert model_card(plan, record, evaluation)
    assert run_text(plan, record, evaluation, "runs/x")
    assert run_html(plan, record, evaluation)


@pytest.mark.charts
@given(data=st.data())
@settings(max_examples=2, derandomize=True, phases=(Phase.generate,))
def test_every_chart_is_drawn(data: st.DataObject) -> None:
    mode = next(one for one in MODES.values() if head_card(one.head).has_confidence)
    plan = plan_of(mode)
    rows, happened = data.draw(outcomes(mode)), data.draw(events())
    page = report_html(plan, documents.record(plan), data.draw(evaluations(mode)), happened, rows, drawer())
    assert page.startswith("<!doctype html>")
