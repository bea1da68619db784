"""Bounds held against what was measured."""

from __future__ import annotations

from collections.abc import Mapping

from ftc.spec.documents.outcomes import Figure, figures, plain_name
from ftc.spec.documents.record import Evaluation, GateResult
from ftc.spec.sections.evaluation import Gate

__all__ = ["with_gates"]


def with_gates(evaluation: Evaluation, gates: Mapping[str, Gate]) -> Evaluation:
    """The evaluation with every gate, kept or broken; what can't be measured breaks its gate."""
    known = figures(evaluation)
    found = tuple(_result(name, gate, known.get(plain_name(name))) for name, gate in sorted(gates.items()))
    return evaluation.model_copy(update={"gates": found})


def _result(name: str, gate: Gate, figure: Figure | None) -> GateResult:
    value, interval = figure or (None, None)
    bound = f"{gate.comparison} {gate.bound:g}"
    passed = value is not None and gate.holds(value)
    return GateResult(metric=name, bound=bound, value=value, interval=interval, passed=passed)
