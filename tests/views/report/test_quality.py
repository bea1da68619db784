"""The report's part on the rows: every finding with its count and place, and nothing that must not be shown."""

from __future__ import annotations

from ftc.views.report.origins import quality_section
from ftc.views.row_texts import RowTexts
from tests.support import documents


def test_findings_places_classes_and_agreement() -> None:
    page = quality_section(documents.plan(), RowTexts())
    for words in ("near copies", "rows.csv:18", "12", "1,701", "IBANs", "not shown here", "0.710", "0.709", "–"):
        assert words in page
    assert "hello <b>" not in page
    assert "hello &lt;b&gt;" in page
    assert "Cohen&#x27;s kappa" in page
