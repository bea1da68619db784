"""What a drift report says on a terminal and on its page."""

from __future__ import annotations

import pytest

from ftc.spec.documents.data_drift import DataDrift
from ftc.views.drift import drift_text
from ftc.views.page import Page
from ftc.views.report.charts import Drawer
from ftc.views.report.drift import drift_html
from tests.support import documents


def test_the_report_on_a_terminal() -> None:
    text = drift_text(documents.data_drift(failed_gates=("accuracy >= 0.9, and is 0.87",)))
    assert "100 rows of new.jsonl · beside 80 validation rows of run 6b99bb393386" in text
    assert "the new rows differ in length" in text
    assert "with an AUC of 0.66" in " ".join(text.split())
    assert "film 50.0 % -> 60.0 %" in text
    assert "accuracy 0.870 (0.800 to 0.920) on 90 rows; 0.900 on test rows" in text
    assert "accuracy >= 0.9, and is 0.87: failed" in text
    assert "new.jsonl:7" in text
    assert "note       a note" in text
    colored = drift_text(documents.data_drift(), page=Page(color=True))
    assert "\x1b[" in colored


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "no drift", "tests": ()}, "no drift shown"),
        ({"verdict": "too few rows", "minimum_detectable_auc": None, "tests": ()}, "too few rows to see a difference"),
        ({"verdict": "too few rows", "minimum_detectable_auc": None}, "too few rows for tests of inputs and answers"),
    ],
)
def test_other_verdicts(changes: dict[str, object], words: str) -> None:
    assert words in drift_text(documents.data_drift(**changes))


def test_the_page_shows_the_same_and_escapes_rows() -> None:
    html = drift_html(documents.data_drift(), Drawer())
    for words in ("Drift of tickets", "Kolmogorov-Smirnov", "new.jsonl:7", "&lt;b&gt;text", "0.870", "a note"):
        assert words in html
    assert "<b>text" not in html
    assert "the largest change is" in html.lower()
    bare = drift_html(documents.data_drift(tests=(), novel=(), classes={}, metrics={}, notes=()), Drawer())
    assert "Predicted classes" not in bare


def test_the_document_reads_back() -> None:
    found = documents.data_drift()
    assert DataDrift.model_validate_json(found.to_text()) == found
