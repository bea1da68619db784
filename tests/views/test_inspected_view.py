"""What an inspection says on a terminal and on its page."""

from __future__ import annotations

import pytest

from ftc.spec.documents.inspected import InspectedRun
from ftc.views.inspected import inspected_text
from ftc.views.page import Page, visible_width
from ftc.views.report.charts import Drawer
from ftc.views.report.inspected import inspected_html
from tests.support import documents


@pytest.mark.parametrize("columns", [60, 100])
def test_the_report_on_a_terminal(columns: int) -> None:
    text = inspected_text(documents.inspected(), page=Page(columns=columns))
    flat = " ".join(text.split())
    assert "2,176 of 100,000 parameters" in flat
    assert "the weights moved by 5.0 % of their norm" in flat
    assert "cosine of 0.8900" in flat
    assert all(visible_width(line) <= columns for line in text.splitlines())
    for words in ("q_proj", "3.2", "new", "'<b>' 0.3"):
        assert words in flat


def test_the_page_shows_the_same_and_escapes_tokens() -> None:
    html = inspected_html(documents.inspected(), Drawer())
    for words in ("What training changed in tickets", "model.layers.1.self_attn.q_proj", "&lt;b&gt;", "0.8900"):
        assert words in html
    assert "'<b>'" not in html
    bare = inspected_html(documents.inspected(changes=(), states=(), tokens=(), notes=("a note",)), Drawer())
    assert "Changes of weights" not in bare
    assert "a note" in bare


def test_the_document_reads_back() -> None:
    found = documents.inspected()
    assert InspectedRun.model_validate_json(found.to_text()) == found
