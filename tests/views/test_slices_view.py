"""Groups side by side, in the terminal and in the report."""

from __future__ import annotations

from ftc.views.page import Page
from ftc.views.report.charts import Drawer
from ftc.views.report.rows import slices_section
from ftc.views.results import classifier_section, judge_section, retention_section, slice_blocks, swaps_section
from ftc.views.row_texts import RowTexts
from ftc.views.run import run_text
from tests.support import documents
from tests.support.measured import BY_REGION, FLAGGED, GATE, JUDGED, RETENTION, SWAPS


def test_in_the_terminal() -> None:
    evaluation = documents.evaluation(slices=(BY_REGION,))
    (lines,) = slice_blocks(evaluation, Page(columns=100))
    assert [line.split() for line in lines] == [
        "tuned, by region".split(),
        "rows accuracy macro F1".split(),
        "north 60 0.900 0.880".split(),
        "<south> 12 0.750 0.700 few rows".split(),
        "largest gap 0.150 (0.010 to 0.300) 0.150 (0.010 to 0.300)".split(),
        "expected by chance 0.110 0.110".split(),
    ]
    assert len({line.index("0.") for line in lines[2:4]}) == 1, "figures stand under each other"
    (narrow,) = slice_blocks(evaluation, Page(columns=60))
    assert max(map(len, narrow)) <= 60
    assert set(" ".join(lines).split()) == set(" ".join(narrow).split()), "nothing is left out"


def test_a_gate_on_a_group_stands_under_the_metrics() -> None:
    evaluation = documents.evaluation(slices=(BY_REGION,), gates=(GATE,))
    text = run_text(plan := documents.plan(), documents.record(plan), evaluation, "runs/x")
    assert "  gate accuracy gap on region  0.150 (0.010 to 0.300)  <= 0.1  failed" in text


def test_in_the_report() -> None:
    html = slices_section(documents.evaluation(slices=(BY_REGION,)), Drawer(), RowTexts())
    assert "&lt;south&gt; <small>(few rows)</small>" in html
    assert "<south>" not in html
    assert "0.800 to 0.950" in html
    assert slices_section(documents.evaluation(), Drawer(), RowTexts()) == ""


def test_forgetting_and_exchanged_phrases() -> None:
    evaluation = documents.evaluation(retention=RETENTION, swaps=SWAPS)
    plan = documents.plan()
    text = run_text(plan, documents.record(plan), evaluation, "runs/x")
    assert "2.500 nats per token before tuning, 2.700 after" in text
    assert "forgetting +0.200 (+0.100 to +0.300)" in text
    assert "25.0 % of 4 predictions change" in text
    change = "50.0 % before tuning, change -0.250 (-0.750 to +0.250, not significant)"
    assert change in " ".join(text.split()).replace("\u2212", "-")
    assert "  he → <she>  1 of 4\n" in text
    assert "+0.200" in retention_section(evaluation)
    html = swaps_section(evaluation, RowTexts())
    assert "&lt;she&gt;" in html
    assert "<she>" not in html
    assert retention_section(documents.evaluation()) == swaps_section(None, RowTexts()) == ""


def test_a_judges_grades() -> None:
    evaluation = documents.evaluation(judge=JUDGED)
    plan = documents.plan()
    text = " ".join(run_text(plan, documents.record(plan), evaluation, "runs/x").split())
    assert "<large> gives 7.50 of 10 to the tuned model" in text
    assert "5.50 to the base, gain +2.000 (+1.000 to +3.000)" in text
    assert "1 of 9 rows not graded: no number" in text
    assert "20 requests in 4.0 s, tokens not reported by the endpoint" in text
    html = judge_section(evaluation)
    assert "&lt;large&gt;" in html
    assert "<large>" not in html
    assert judge_section(documents.evaluation()) == ""


def test_a_classifiers_share() -> None:
    evaluation = documents.evaluation(classifier=FLAGGED)
    plan = documents.plan()
    text = " ".join(run_text(plan, documents.record(plan), evaluation, "runs/x").split())
    assert "1.0 % of 200 answers are `toxic` (0.10 % to 3.6 %) by <tox>" in text
    assert "3.0 % before tuning, change -0.020 (-0.050 to +0.010, not significant)" in text.replace("\u2212", "-")
    assert "1 answer truncated: too long for it" in text
    html = classifier_section(evaluation)
    assert "&lt;tox&gt;" in html
    assert "<tox>" not in html
    assert "4, 91" in html
    assert classifier_section(documents.evaluation()) == ""
