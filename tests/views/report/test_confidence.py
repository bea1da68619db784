"""Confidence beside what came of it, and quality over length in the terms of each task."""

from __future__ import annotations

import pytest

from ftc.spec.documents.outcomes import Outcome, Said
from ftc.views.report.charts import Drawer
from ftc.views.report.classes import confidence_section
from ftc.views.report.rows import rows_section
from ftc.views.row_texts import RowTexts
from tests.support import documents


def said(text: str | None, **more: object) -> Said:
    return Said.model_validate({"text": text, "loss_sum": 1.0, "targets": 1, **more})


def test_confidence_stands_beside_the_share_that_is_right() -> None:
    sure = [Outcome(row=n, prompt="p", expected="a", base=None, tuned=said("a", confidence=0.9)) for n in range(3)]
    wrong = Outcome(row=3, prompt="p", expected="b", base=None, tuned=said("a", confidence=0.5))
    shown = confidence_section(documents.plan(), [*sure, wrong], Drawer())
    assert "Mean confidence 80.0 %, accuracy 75.0 %: the model is over-confident." in shown
    assert "confidence 90.0 %: accuracy 100 % on 3 rows" in shown
    assert "0.47 to 0.53" in shown
    assert "0.87 to 0.93" in shown
    assert confidence_section(documents.plan(), [wrong.model_copy(update={"tuned": said("a")})], Drawer()) == ""


@pytest.mark.parametrize(
    ("head", "form", "row", "told"),
    [
        ("token_classification", "tag", {"targets": (1, 2)}, "Share of correct tags, "),
        ("span", "extract", {"right": ("no", "yes")}, "Share of correct rows, "),
        ("lm", "preference", {"expected": " yes"}, "Share of correct rows, "),
    ],
)
def test_quality_over_length_is_what_the_task_calls_right(
    head: str, form: str, row: dict[str, object], told: str
) -> None:
    settings = documents.plan().settings
    changed = {
        "model": settings.model.model_copy(update={"head": head}),
        "text": settings.text.model_copy(update={"form": form}),
    }
    plan = documents.plan().model_copy(update={"settings": settings.model_copy(update=changed)})
    rows = [
        Outcome.model_validate(
            {
                "row": n,
                "prompt": "word " * n,
                "expected": None,
                "base": None,
                "tuned": said("yes" if n < 30 else "other", predicted=(1.0, 2.0 if n < 20 else 3.0)),
                **row,
            }
        )
        for n in range(40)
    ]
    shown = rows_section(plan, rows, Drawer(), RowTexts())
    assert f"{told}from the shortest to the longest rows: tuned from 1.000 to 0.500" in shown
