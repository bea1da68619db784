"""Results, lists and verdicts."""

from __future__ import annotations

from collections.abc import Callable

from ftc.spec.codes import CODES
from ftc.spec.documents.audit import Finding
from ftc.views.audit import audit_text
from ftc.views.diagnostics import explain_text
from ftc.views.page import Page, visible_width
from ftc.views.run import plan_html, run_html, run_line, run_text, runs_text
from ftc.views.words import headline
from tests.support import documents

Golden = Callable[[str, str], None]
WORSE = {"metrics": {"perplexity": 31.0, "exact_match": 0.1}, "rows": 213, "seconds": 1.0}
BASE = {"metrics": {"perplexity": 25.5, "exact_match": 0.1}, "rows": 213, "seconds": 1.0}


def test_a_finished_run(golden: Golden) -> None:
    plan = documents.plan()
    golden(
        "run.txt", run_text(plan, documents.record(plan), documents.evaluation(), "runs/bbc-news/x", has_report=True)
    )


def test_a_worse_result_is_called_worse() -> None:
    plan = documents.plan()
    result = documents.evaluation(tuned=WORSE, base=BASE, gates=())
    lines = run_text(plan, documents.record(plan), result, "runs/x").splitlines()
    assert any(
        line.split() == ["perplexity", "(lower", "is", "better)", "25.500", "31.000", "+5.500", "worse"]
        for line in lines
    )
    assert any(line.split() == ["exact", "match", "0.100", "0.100", "0.000"] for line in lines)


def test_an_interrupted_run_has_no_result_and_no_end() -> None:
    plan = documents.plan()
    segment = documents.open_segment("2026-11-24T10:00:00Z", 9)
    changes = {"status": "running", "segments": (segment,), "steps_done": 9, "selected_step": None, "outputs": {}}
    record = documents.record(plan, **changes, peak_memory_bytes=None)
    text = run_text(plan, record, None, "runs/bbc-news/x")
    assert "evaluated" not in text
    assert "memory" not in text
    assert f"{documents.RUN_ID} running · 9 of 162 steps" in text


def test_a_failed_gate_is_said() -> None:
    bounds = {"low": 0.91, "high": 0.965}
    gate = {"metric": "macro_f1", "bound": ">= 0.95", "value": 0.9412, "interval": bounds, "passed": False}
    result = documents.evaluation(gates=(gate,))
    plan = documents.plan()
    assert headline(result) == "macro F1 0.941, 1 gate failed"
    text = run_text(plan, documents.record(plan), result, "x", page=Page(columns=76))
    assert "  gate macro F1  0.941 (0.910 to 0.965)  >= 0.95  failed" in text, "with value, interval and bound"


def test_a_metric_has_its_interval_with_or_without_a_base() -> None:
    plan, result = documents.plan(), documents.evaluation()
    wide, narrow, least = (
        run_text(plan, documents.record(plan), result, "x", page=Page(columns=columns)) for columns in (100, 60, 40)
    )
    assert "0.944 (0.906 to 0.970)  +0.746 (+0.685 to +0.803)" in wide
    lines = narrow.splitlines()
    start = lines.index("  accuracy")
    assert [" ".join(line.split()) for line in lines[start + 1 : start + 4]] == [
        "base 0.197",
        "tuned (95 % interval) 0.944 (0.906 to 0.970)",
        "change (95 % interval) +0.746 (+0.685 to +0.803)",
    ]
    assert "0.944 (0.906 to 0.970) change (95 % interval) +0.746 (+0.685 to +0.803)" in " ".join(least.split())
    alone = run_text(plan, documents.record(plan), documents.evaluation(base=None, gains={}), "x")
    assert "accuracy  0.944 (0.906 to 0.970)" in alone
    assert "base" not in alone.split("run ")[0]


def test_code_that_changed_during_a_run_is_said() -> None:
    plan = documents.plan()
    assert "FTC645" not in run_text(plan, documents.record(plan), None, "x")
    assert "changed during the run (FTC645)" in run_text(plan, documents.record(plan, code_changed=True), None, "x")


def test_runs(golden: Golden) -> None:
    plan = documents.plan()
    older = documents.open_segment("2026-11-23T09:00:00Z", 9)
    stopped = documents.record(plan, status="interrupted", segments=(older,), steps_done=9)
    entries = [(plan, stopped, None), (plan, documents.record(plan), documents.evaluation())]
    golden("runs.txt", runs_text(entries))
    cells = set(runs_text(entries).split()[6:])
    for columns in (80, 60, 40):
        lines = runs_text(entries, page=Page(columns=columns)).splitlines()
        assert max(map(len, lines)) <= columns
        assert cells <= {*" ".join(lines).split(), "(UTC)", "steps", "status", "result"}, "nothing is left out"


def test_no_runs() -> None:
    assert runs_text([]) == "No runs yet. `ftc apply RECIPE` makes one.\n"


def test_an_audit_that_found_something(golden: Golden) -> None:
    golden("audit_tampered.txt", audit_text(documents.audit_report()))


def test_an_audit_that_found_nothing(golden: Golden) -> None:
    golden("audit_consistent.txt", audit_text(documents.audit_report(verdict="CONSISTENT", findings=(), exit_code=0)))


def test_steps_that_were_done_again(golden: Golden) -> None:
    golden("audit_replay.txt", audit_text(documents.replay_report()))


def test_the_first_difference_is_shown_where_the_eye_ends(golden: Golden) -> None:
    report = documents.replay_report(reached_step=12, equal_rungs=(0, 1, 2, 4, 8), first_difference="step 12: loss")
    finding = {
        "code": "FTC530",
        "subject": "step 12: loss",
        "expected": "0x1.2p+0 (1.125)",
        "found": "0x1.4p+0 (1.25)",
        "hint": "the same rows gave another loss; weights were last equal at step 8",
    }
    parted = {"verdict": "NOT_REPRODUCED", "exit_code": 7, "findings": (Finding.model_validate(finding),)}
    golden("audit_not_reproduced.txt", audit_text(report.model_copy(update=parted)))


def test_every_code_can_be_explained() -> None:
    for code in CODES.values():
        text = explain_text(code, page=Page(columns=80))
        assert text.startswith(f"{code.id}: {code.title}\n")
        assert not any(char in text for char in "\t\x1b")


def test_an_explanation(golden: Golden) -> None:
    golden("explain.txt", explain_text(CODES["FTC002"]))


def test_notebook_tables_escape_what_they_show() -> None:
    plan = documents.plan(model=documents.plan().model.model_copy(update={"name": "<script>"}))
    html = plan_html(plan)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_notebook_table_of_a_run() -> None:
    plan = documents.plan()
    html = run_html(plan, documents.record(plan), documents.evaluation())
    assert "+0.829, 95 % interval +0.774 to +0.870 (better)" in html
    assert "&gt;= 0.9 passed" in html
    assert "randomly initialized: its score is chance" in html, "what the report says beside the figures"
    assert f'<code>ftc.load("{documents.record(plan).id}").predict([...])</code>' in html.replace("&quot;", '"')
    assert "<td" not in run_html(plan, documents.record(plan, status="running"), None).replace(
        '<td style="text-align:left">162 of 162', ""
    )


def test_lines_fit() -> None:
    page = Page(columns=70)
    plan = documents.plan()
    text = run_text(plan, documents.record(plan), documents.evaluation(), "runs/x", page=page)
    assert max(map(visible_width, (text + audit_text(documents.audit_report(), page=page)).splitlines())) <= 70


def test_a_gain_inside_its_interval_is_no_difference_shown() -> None:
    gains = {
        "accuracy": {"value": 0.02, "interval": {"low": -0.01, "high": 0.05}},
        "macro_f1": {"value": 0.1, "interval": None},
    }
    base = {"metrics": {"accuracy": 0.92, "macro_f1": 0.84}, "rows": 20, "seconds": 1.0}
    evaluation = documents.evaluation(base=base, gains=gains)
    plan = documents.plan()
    text = run_text(plan, documents.record(plan), evaluation, "runs/x")
    assert "+0.024 (-0.010 to +0.050)  not significant" in text
    assert text.count("not significant") == 2, "nor where the rows are too few or too alike for an interval"


def test_an_audit_quietly() -> None:
    report = documents.audit_report()
    whole, quiet = (audit_text(report, quiet=one).splitlines() for one in (False, True))
    assert quiet[-1] == whole[-1]
    assert len(quiet) < len(whole)
    assert all(finding.code in " ".join(quiet) for finding in report.findings)
    assert not any(line.startswith("static") for line in quiet)


def test_a_run_in_a_line() -> None:
    plan = documents.plan()
    line = run_line(documents.record(plan), documents.evaluation())
    assert line == f"bbc-news: run {documents.RUN_ID} finished, macro F1 0.941, gate passed"
    assert run_line(documents.record(plan, status="failed"), None).endswith("failed")
