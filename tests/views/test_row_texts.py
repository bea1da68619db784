"""Texts of rows that match a rule for personal data don't get into pages, unless somebody asks for them."""

from __future__ import annotations

import pytest

from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.personal_data import in_decoded
from ftc.views.report.run_report import report_html
from ftc.views.row_texts import RowTexts
from tests.support import documents

WRITTEN = [
    ("best, tom becker, + 49 170 5551234", "telephone numbers"),
    ("my router call + 49 170 5551234", "telephone numbers"),
    ("j. smith @ example. com", "e-mail addresses"),
    ("write to ada@example.com", "e-mail addresses"),
    ("IBAN DE89 3704 0044 0532 0130 00", "IBANs"),
]


@pytest.mark.parametrize(("text", "words"), WRITTEN)
def test_what_a_tokenizer_made_of_it_is_found_too(text: str, words: str) -> None:
    assert in_decoded(text) == (words,)


def test_other_rows_are_shown() -> None:
    texts = RowTexts(labels=("billing",))
    assert texts.row("a", "the goal at 5. then", None) == ("the goal at 5. then", "")
    assert texts.note == ""


def test_a_row_is_masked_as_a_whole_and_its_class_is_not() -> None:
    texts = RowTexts(labels=("billing",))
    shown = texts.row("data/tickets.csv:38", "tom becker, tom@example.com", "billing", "Dear Tom")
    assert shown == ("[masked: e-mail addresses]", "billing", "[masked: e-mail addresses]")
    texts.row("data/tickets.csv:38", "tom@example.com")
    assert texts.note.startswith("1 row is masked")
    assert RowTexts(shows_all=True).row("a", "tom@example.com") == ("tom@example.com",)


def test_a_report_masks_rows_wherever_it_shows_them() -> None:
    plan = documents.plan()
    private = "ask j. smith @ example. com"
    plain = documents.evaluation()
    sample = plain.predictions[0].model_copy(update={"text": private})
    evaluation = plain.model_copy(update={"predictions": (sample,)})
    said = Said(text="sport", loss_sum=1.0, targets=1, confidence=0.5)
    outcomes = [Outcome(row=row, prompt=private, expected="sport", base=said, tuned=said) for row in range(4)]
    page = report_html(plan, documents.record(plan), evaluation, (), outcomes)
    assert "smith" not in page
    assert "[masked: e-mail addresses]" in page
    assert "rows are masked because of personal data" in page
    asked = report_html(plan, documents.record(plan), evaluation, (), outcomes, shows_personal_data=True)
    assert private in asked
