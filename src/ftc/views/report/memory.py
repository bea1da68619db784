"""Memory as it was planned and as it was measured: in all, along the run's phases, and by what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ftc.spec.documents.expected import phase_groups, planned_by_phase
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.views import numbers
from ftc.views.memory import planned_components, planned_peak
from ftc.views.report.charts import Axis, Bar, Bars, Drawer, Part, Range, Ranges, figure
from ftc.views.report.elements import details, table, text

__all__ = ["memory_section"]

_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_WHOLE = -1
"""Name of a part that is told by its bar's label."""
_FARTHEST = 2.5
"""A limit beyond this many times what is drawn would leave the bars too short to read."""


def memory_section(plan: Plan, record: RunRecord, drawn: Drawer) -> str:
    """The part of the report."""
    charts = "".join(
        figure(chart, drawn) for chart in (_peaks(plan, record), _timeline(plan), _phases_chart(plan, record))
    )
    return f"<p>{text(_words(plan))}</p>{charts}{_phases(plan, record)}{_components(plan)}{_along(plan)}"


def _words(plan: Plan) -> str:
    planned = plan.memory
    limit = f"{numbers.byte_size(planned.limit_bytes)} ({planned.limit_source})"
    over = planned.peak_bytes - planned.limit_bytes
    beside = f"{numbers.percent(planned.peak_bytes, planned.limit_bytes)} of the limit of {limit}"
    if over > 0:
        beside = f"{numbers.byte_size(over)} over the limit of {limit}"
    return f"The plan expected the peak in {planned.peak_phase}, {beside}."


def _peaks(plan: Plan, record: RunRecord) -> Bars:
    """The planned peak by what it holds, and under it the measured one."""
    planned, measured, peak = plan.memory, record.peak_memory_bytes, planned_peak(plan)
    parts = planned_components(plan)
    bars = [Bar(f"planned {numbers.byte_size(peak)} ({planned.method})", _parts(parts, list(parts)))]
    if measured is not None:
        label = f"measured {numbers.byte_size(measured)} ({record.memory_method})"
        bars.append(Bar(label, [Part(_WHOLE, label, float(measured))]))
    highest = max(peak, measured or 0)
    limit = planned.limit_bytes
    return Bars(
        key="memory",
        title="Planned and measured peak",
        description="; ".join(bar.label for bar in bars),
        bars=bars,
        names=list(parts),
        axis=_bytes_axis(highest),
        mark=(float(limit), f"limit {numbers.byte_size(limit)}") if limit <= _FARTHEST * highest else None,
    )


def _timeline(plan: Plan) -> Bars:
    """Tensors at the peak of each phase, in the order of a step, by what they hold."""
    groups = phase_groups(plan.memory.phases)
    if len(groups) < 2:
        groups = {}
    names = list(dict.fromkeys(name for peak in groups.values() for name in peak.components))
    bars = [
        Bar(f"{group}: {numbers.byte_size(peak.peak_bytes)}", _parts(peak.components, names))
        for group, peak in groups.items()
    ]
    return Bars(
        key="phases",
        title="Planned tensors along the run",
        description="; ".join(bar.label for bar in bars),
        bars=bars,
        names=names,
        axis=_bytes_axis(max((peak.peak_bytes for peak in groups.values()), default=0)),
    )


def _along(plan: Plan) -> str:
    """The figures of that picture."""
    groups = phase_groups(plan.memory.phases)
    if len(groups) < 2:
        return ""
    names = list(dict.fromkeys(name for peak in groups.values() for name in peak.components))
    rows = [
        (
            text(group),
            *(numbers.byte_size(size) if (size := peak.components.get(name)) else "–" for name in names),
            numbers.byte_size(peak.peak_bytes),
        )
        for group, peak in groups.items()
    ]
    header = ("phase", *names, "sum")
    grid = table("Planned tensors along the run, by what they hold", header, rows, right=range(1, len(header)))
    return details("Figures behind the tensors along the run", grid)


def _parts(sizes: Mapping[str, int], names: Sequence[str]) -> list[Part]:
    """One part for each component, numbered as in the legend."""
    return [
        Part(number, f"{name}: {numbers.byte_size(sizes[name])}", float(sizes[name]))
        for number, name in enumerate(names)
        if sizes.get(name)
    ]


def _bytes_axis(highest: int) -> Axis:
    """An axis in the unit that suits its far end."""
    unit, size = next((one for one in _UNITS if highest >= one[1]), _UNITS[-1])
    return Axis(unit, lambda value: f"{value / size:.3g}", unit=float(size))


def _phases_chart(plan: Plan, record: RunRecord) -> Ranges:
    """Measured peaks along the run beside the planned ones."""
    planned = planned_by_phase(plan)
    rows = []
    for one in record.memory_by_phase:
        label = f"{one.phase}, measured: {numbers.byte_size(one.peak_bytes)}"
        values = [Range(1, float(one.peak_bytes), None, label)]
        if one.phase in planned:
            label = f"{one.phase}, planned: {numbers.byte_size(planned[one.phase])}"
            values.insert(0, Range(0, float(planned[one.phase]), None, label))
        rows.append((one.phase, values))
    highest = max((value.value for _, values in rows for value in values), default=0.0)
    return Ranges(
        key="memory-phases",
        title="Peak of each phase of the run",
        description="; ".join(value.label for _, values in rows for value in values),
        rows=rows,
        names=("planned", "measured"),
        axis=replace(_bytes_axis(round(highest)), from_zero=True),
    )


def _phases(plan: Plan, record: RunRecord) -> str:
    """Planned and measured side by side, where the run could tell its phases apart."""
    planned = planned_by_phase(plan)
    rows = [
        (
            text(one.phase),
            numbers.byte_size(planned[one.phase]) if one.phase in planned else "–",
            numbers.byte_size(one.peak_bytes),
            numbers.change_percent(one.peak_bytes, planned[one.phase]) if one.phase in planned else "–",
            "–" if one.reserved_bytes is None else numbers.byte_size(one.reserved_bytes),
        )
        for one in record.memory_by_phase
    ]
    header = ("phase", "planned", "measured", "difference", "reserved")
    return table(f"Memory by phase: {record.memory_method}", header, rows, right=(1, 2, 3, 4)) if rows else ""


def _components(plan: Plan) -> str:
    memory = plan.memory
    rows = [
        (
            text(name),
            numbers.byte_size(size),
            numbers.percent(size, memory.peak_bytes),
        )
        for name, size in memory.components.items()
    ]
    return table("Planned memory by what it holds", ("component", "size", "share of the peak"), rows, right=(1, 2))
