"""A gate of each kind that fails tells its bound, the value and the interval, and fails the verbs."""

from __future__ import annotations

import pytest

from ftc.spec.documents.outcomes import gate_results
from ftc.spec.documents.record import Evaluation
from ftc.spec.sections.evaluation import Gate
from ftc.views.run import run_text
from tests.support import documents
from tests.support.measured import BY_REGION, FLAGGED, JUDGED, RETENTION, SWAPS


def evaluation() -> Evaluation:
    return documents.evaluation(slices=(BY_REGION,), retention=RETENTION, swaps=SWAPS, judge=JUDGED, classifier=FLAGGED)


@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [
        ("accuracy", 0.9437, (0.9061, 0.9695)),
        ("accuracy on region = north", 0.9, (0.8, 0.95)),
        ("accuracy gap on region", 0.15, (0.01, 0.3)),
        ("forgetting", 0.2, (0.1, 0.3)),
        ("swapped", 0.25, None),
        ("judge", 7.5, None),
        ("flagged", 0.01, (0.001, 0.036)),
    ],
)
def test_a_gate_of_each_kind_tells_what_broke_it(name: str, value: float, interval: tuple[float, float] | None) -> None:
    (gate,) = gate_results(evaluation(), {name: Gate(comparison=">", bound=99)})
    failed = evaluation().model_copy(update={"gates": (gate,)})
    assert (gate.metric, gate.bound, gate.value, gate.passed) == (name, "> 99", value, False)
    assert (gate.interval and (gate.interval.low, gate.interval.high)) == interval
    plan = documents.plan()
    shown = run_text(plan, documents.record(plan), failed, "runs/x")
    (line,) = [line for line in shown.splitlines() if "> 99" in line]
    assert name in line
    assert f"{value:.3f}" in line
    assert interval is None or f"({interval[0]:.3f} to {interval[1]:.3f})" in line
    assert "failed" in line
    (held,) = gate_results(evaluation(), {name: Gate(comparison="<", bound=99)})
    assert held.passed


def test_what_was_not_measured_breaks_its_gate() -> None:
    (gate,) = gate_results(documents.evaluation(), {"judge": Gate(comparison=">", bound=0)})
    assert (gate.value, gate.interval, gate.passed) == (None, None, False)
