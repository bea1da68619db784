"""Whether a result is one that its job gives: the interval that other seeds span, and the verdict from it."""

from __future__ import annotations

import statistics

import pytest

from ftc.compiler.audit.replay import judged_by_seeds, prediction, reseeded
from ftc.spec.documents.audit import AuditReport, Repetition
from ftc.spec.documents.plan import EvaluateStep
from tests.support import documents


def report(*values: float, recorded: float = 0.9) -> AuditReport:
    static = documents.audit_report(verdict="CONSISTENT", findings=(), exit_code=0)
    measured = documents.evaluation()
    tuned = measured.tuned.model_copy(update={"metrics": {"accuracy": recorded}, "rows": 1000})
    repetitions = [
        Repetition(number=at, metrics={"accuracy": value}, seconds=1.0) for at, value in enumerate(values, 1)
    ]
    return judged_by_seeds(static, measured.model_copy(update={"tuned": tuned}), repetitions, [])


def test_the_interval_is_students() -> None:
    """Checked against the formula: mean ± t · s · √(1 + 1/n), with t(2) = 4.303."""
    values = (0.90, 0.92, 0.94)
    found = prediction(values, resolution=0.0)
    assert found.high - 0.92 == pytest.approx(4.303 * statistics.stdev(values) * (4 / 3) ** 0.5)
    assert found.low + found.high == pytest.approx(2 * 0.92)
    equal = prediction((0.9, 0.9, 0.9), resolution=0.01)
    assert (equal.low, equal.high) == pytest.approx((0.89, 0.91))


def test_a_score_inside_is_reproduced_and_one_outside_is_named() -> None:
    inside = report(0.89, 0.90, 0.92)
    assert (inside.verdict, inside.exit_code, inside.findings) == ("REPRODUCED_STATISTICAL", 0, ())
    assert "whether the same bits come out again" in inside.not_checked
    outside = report(0.70, 0.71, 0.72)
    assert (outside.verdict, outside.exit_code) == ("NOT_REPRODUCED", 7)
    (finding,) = outside.findings
    assert (finding.code, finding.subject, finding.expected) == ("FTC530", "accuracy of tuned", "0.9")
    assert report().verdict == "INCONCLUSIVE"


def test_every_repetition_has_seeds_of_its_own_and_looks_at_the_base_no_more() -> None:
    plan = documents.plan()
    others = [reseeded(plan, number) for number in (1, 2)]
    assert len({one.settings.seeds.digest() for one in (plan, *others)}) == 3
    assert others[0] == reseeded(plan, 1)
    for one in others:
        assert one.sha256 == one.expected_sha256()
        assert [step.subject for step in one.steps if isinstance(step, EvaluateStep)] == ["tuned"]
