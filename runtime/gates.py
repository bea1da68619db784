"""Bounds held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ftc.runtime.certainty import Certainty
from ftc.runtime.evaluate import Measurement
from ftc.spec.evaluation import Gate
from ftc.spec.record import GateResult, Interval, JudgeResult, RetentionResult, SliceResult, SwapsResult
from ftc.spec.slices import measured

__all__ = ["gate_results"]

_Figure = tuple[float, Interval | None]


def gate_results(
    gates: Mapping[str, Gate],
    tuned: Measurement,
    sure: Certainty,
    slices: Sequence[SliceResult],
    others: tuple[RetentionResult | None, SwapsResult | None, JudgeResult | None],
) -> tuple[GateResult, ...]:
    """Every gate, kept or broken; what can't be measured breaks its gate."""
    figures: dict[str, _Figure] = {name: (value, sure.tuned.get(name)) for name, value in tuned.result.metrics.items()}
    figures |= dict(_of_slices(slices))
    retention, swaps, judge = others
    if retention is not None:
        figures["forgetting"] = (retention.forgetting.value, retention.forgetting.interval)
    if swaps is not None:
        figures["swapped"] = (swaps.share, swaps.interval)
    if judge is not None and judge.tuned is not None:
        figures["judge"] = (judge.tuned, judge.interval)
    return tuple(_result(name, gate, figures.get(_plain(name))) for name, gate in sorted(gates.items()))


def _result(name: str, gate: Gate, figure: _Figure | None) -> GateResult:
    value, interval = figure or (None, None)
    bound = f"{gate.comparison} {gate.bound:g}"
    passed = value is not None and gate.holds(value)
    return GateResult(metric=name, bound=bound, value=value, interval=interval, passed=passed)


def _plain(name: str) -> str:
    """A gate's name in one spelling, whatever the spaces in it."""
    about = measured(name)
    if about.slice is None:
        return name
    return _gap(about.metric, about.slice) if about.group is None else _group(about.metric, about.slice, about.group)


def _of_slices(slices: Sequence[SliceResult]) -> Iterator[tuple[str, _Figure]]:
    for one in slices:
        yield from ((_gap(name, one.slice), (gap.value, gap.interval)) for name, gap in one.gaps.items())
        for group in one.groups:
            for name, value in group.tuned.items():
                yield _group(name, one.slice, group.group), (value, group.intervals.get(name))


def _gap(metric: str, of: str) -> str:
    return f"{metric} gap on {of}"


def _group(metric: str, of: str, group: str) -> str:
    return f"{metric} on {of} = {group}"
