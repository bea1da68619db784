"""What a profile says on a terminal and on its page."""

from __future__ import annotations

import pytest

from ftc.spec.documents.profiled import ProfiledRun
from ftc.views.page import Page, visible_width
from ftc.views.profiled import profiled_text
from ftc.views.report.charts import Drawer
from ftc.views.report.profiled import profiled_html
from tests.support import documents


@pytest.mark.parametrize("columns", [60, 100])
def test_the_profile_on_a_terminal(columns: int) -> None:
    text = profiled_text(documents.profiled(), page=Page(columns=columns))
    flat = " ".join(text.split())
    for words in (
        *("100 ms under the profiler", "90.00 ms for the step before", "80.00 ms planned", "40,960 tokens a second"),
        *("1,234 kernels", "matrix products", "60.0 %", "the GPU does nothing", "launch-bound: the GPU waits."),
    ):
        assert words in flat
    assert all(visible_width(line) <= columns for line in text.splitlines())


def test_the_page_shows_the_same_and_escapes_names() -> None:
    html = profiled_html(documents.profiled(), Drawer())
    for words in ("Where the time of tickets goes", "Matrix products: 60.0 % of a training step", "gemm&lt;bf16&gt;"):
        assert words in html
    assert "<H100>" not in html


def test_the_document_reads_back() -> None:
    found = documents.profiled()
    assert ProfiledRun.model_validate_json(found.to_text()) == found
