"""Groups side by side, in the terminal and in the report."""

from __future__ import annotations

from ftc.spec.record import (
    Gain,
    Gap,
    GateResult,
    GroupResult,
    Interval,
    RetentionResult,
    SliceResult,
    SwapExample,
    SwapPair,
    SwapsResult,
)
from ftc.views.page import Page
from ftc.views.probes import retention_section, swaps_section
from ftc.views.report_slices import slices_section
from ftc.views.run import run_text
from ftc.views.slices import slice_blocks
from tests.support import documents

GROUPS = (
    GroupResult(
        group="north",
        rows=60,
        tuned={"accuracy": 0.9, "macro_f1": 0.88},
        base={"accuracy": 0.2, "macro_f1": 0.1},
        intervals={"accuracy": Interval(low=0.8, high=0.95)},
    ),
    GroupResult(group="<south>", rows=12, tuned={"accuracy": 0.75, "macro_f1": 0.7}),
)
GAP = Gap(value=0.15, interval=Interval(low=0.01, high=0.3), base=None, lowest="<south>", highest="north")
BY_REGION = SliceResult(slice="region", groups=GROUPS, gaps={"accuracy": GAP, "macro_f1": GAP})
GATE = GateResult(metric="accuracy gap on region", bound="<= 0.1", value=0.15, interval=GAP.interval, passed=False)


def test_in_the_terminal() -> None:
    evaluation = documents.evaluation(slices=(BY_REGION,))
    (lines,) = slice_blocks(evaluation, Page(columns=100))
    assert [line.split() for line in lines] == [
        "tuned, by region".split(),
        "rows accuracy macro F1".split(),
        "north 60 0.900 0.880".split(),
        "<south> 12 0.750 0.700 few rows".split(),
        "largest gap 0.150 (0.010 to 0.300) 0.150 (0.010 to 0.300)".split(),
    ]
    assert len({line.index("0.") for line in lines[2:4]}) == 1, "figures stand under each other"
    (narrow,) = slice_blocks(evaluation, Page(columns=60))
    assert narrow[0] == "tuned, by region; 1 metric more than fit here"


def test_a_gate_on_a_group_stands_under_the_metrics() -> None:
    evaluation = documents.evaluation(slices=(BY_REGION,), gates=(GATE,))
    text = run_text(plan := documents.plan(), documents.record(plan), evaluation, "runs/x")
    assert "  accuracy gap on region  0.150  0.010 to 0.300  gate <= 0.1  failed" in text


def test_in_the_report() -> None:
    html = slices_section(documents.evaluation(slices=(BY_REGION,)))
    assert "&lt;south&gt; <small>(few rows)</small>" in html
    assert "<south>" not in html
    assert "0.800 to 0.950" in html
    assert slices_section(documents.evaluation()) == ""


def test_forgetting_and_exchanged_phrases() -> None:
    gain = Gain(value=0.2, interval=Interval(low=0.1, high=0.3))
    retention = RetentionResult(blocks=3, tokens=1200, base=2.5, tuned=2.7, forgetting=gain)
    pairs = (
        SwapPair(phrase="he", other="<she>", rows=4, changed=1),
        SwapPair(phrase="x", other="y", rows=0, changed=0),
    )
    example = SwapExample(row=7, phrase="he", other="<she>", before="tech", after="sports")
    swaps = SwapsResult(rows=4, share=0.25, interval=None, pairs=pairs, examples=(example,))
    evaluation = documents.evaluation(retention=retention, swaps=swaps)
    plan = documents.plan()
    text = run_text(plan, documents.record(plan), evaluation, "runs/x")
    assert "2.500 nats a token before tuning, 2.700 after" in text
    assert "forgetting +0.200 (+0.100 to +0.300)" in text
    assert "25.0 % of 4 predictions change" in text
    assert "  he → <she>  1 of 4\n" in text
    assert "+0.200" in retention_section(evaluation)
    html = swaps_section(evaluation)
    assert "&lt;she&gt;" in html
    assert "<she>" not in html
    assert retention_section(documents.evaluation()) == swaps_section(None) == ""
