"""Memory as it was planned and as it was measured: in all, along the run's phases, and by what it holds."""

from __future__ import annotations

from ftc.spec.expected import phase_groups, planned_by_phase
from ftc.spec.plan import Plan
from ftc.spec.record import RunRecord
from ftc.views import numbers
from ftc.views.memory import planned_components, planned_peak
from ftc.views.report_charts import Bar, bars
from ftc.views.report_elements import table, text

__all__ = ["memory_section"]

_MEASURED = 8
"""Colour of what was measured."""


def memory_section(plan: Plan, record: RunRecord) -> str:
    """The part of the report."""
    return f"{_memory(plan, record)}{_timeline(plan)}{_phases(plan, record)}{_components(plan)}"


def _memory(plan: Plan, record: RunRecord) -> str:
    planned, measured = plan.memory, record.peak_memory_bytes
    peak = planned_peak(plan)
    whole = float(max(peak, measured or 0))
    parts = [
        (f"{name}: {numbers.byte_size(size)}", float(size), index % 8)
        for index, (name, size) in enumerate(planned_components(plan).items())
    ]
    label = f"planned {numbers.byte_size(peak)} ({planned.method})"
    rows = [Bar(label, parts, whole)]
    if measured is not None:
        label = f"measured {numbers.byte_size(measured)} ({record.memory_method})"
        rows.append(Bar(label, [(label, float(measured), _MEASURED)], whole))
    limit = f"{numbers.byte_size(planned.limit_bytes)} ({planned.limit_source})"
    over = planned.peak_bytes - planned.limit_bytes
    share = numbers.percent(planned.peak_bytes, planned.limit_bytes)
    beside = f"planned peak: {share} of the limit of {limit}"
    if over > 0:
        beside = f"planned peak: {numbers.byte_size(over)} over the limit of {limit}"
    rows.append(Bar(beside, [(beside, float(min(planned.peak_bytes, planned.limit_bytes)), 0)], planned.limit_bytes))
    words = f"The plan expected the peak in: {planned.peak_phase}."
    described = "; ".join(bar.label for bar in rows)
    picture = bars("memory", "Memory", described, rows)
    return f'<p>{text(words)}</p><figure class="bars">{picture}<figcaption>{text(described)}</figcaption></figure>'


def _timeline(plan: Plan) -> str:
    """Tensors at the peak of each phase, in the order of a step, by what they hold."""
    groups = phase_groups(plan.memory.phases)
    if len(groups) < 2:
        return ""
    whole = float(max(peak.peak_bytes for peak in groups.values()))
    names = list(dict.fromkeys(name for peak in groups.values() for name in peak.components))
    rows = [
        Bar(
            f"{group}: {numbers.byte_size(peak.peak_bytes)}",
            [
                (f"{name}: {numbers.byte_size(peak.components[name])}", float(peak.components[name]), index % 8)
                for index, name in enumerate(names)
                if name in peak.components
            ],
            whole,
        )
        for group, peak in groups.items()
    ]
    described = "Planned tensors along a run: " + "; ".join(bar.label for bar in rows)
    legend = "".join(
        f'<li><span class="swatch s{index % 8}" aria-hidden="true"></span>{text(name)}</li>'
        for index, name in enumerate(names)
    )
    picture = bars("memory-phases", "Planned tensors by phase", described, rows)
    return (
        f'<h3>Along the run</h3><figure class="bars"><ul class="legend">{legend}</ul>{picture}'
        f"<figcaption>{text(described)}</figcaption></figure>"
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
            f'<span class="swatch s{index % 8}" aria-hidden="true"></span>{text(name)}',
            numbers.byte_size(size),
            numbers.percent(size, memory.peak_bytes),
        )
        for index, (name, size) in enumerate(memory.components.items())
    ]
    return table("Planned memory by what it holds", ("component", "size", "share of the peak"), rows, right=(1, 2))
