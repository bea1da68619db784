"""What the plan expected and what happened: steps, memory, time and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ftc.spec.documents.estimates import part_words
from ftc.spec.documents.expected import phase_groups, planned_by_phase
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.views import numbers
from ftc.views.estimates import judge_rows, phase_word, planned_components, planned_peak
from ftc.views.report.charts import Axis, Bar, Bars, Drawer, Lines, Part, Range, Ranges, figure
from ftc.views.report.elements import details, facts, section, table, text
from ftc.views.report.training import STEPS, History, range_words, raw_and_smoothed, short
from ftc.views.run import wall_seconds
from ftc.views.words import learned_noun

__all__ = ["memory_section", "resources_section"]

_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_WHOLE = -1
"""Name of a part that is told by its bar's label."""
_FARTHEST = 2.5
"""A limit beyond this many times what is drawn would leave the bars too short to read."""


def memory_section(plan: Plan, record: RunRecord, drawn: Drawer) -> str:
    """The part of the report."""
    memory, planned = plan.memory, planned_by_phase(plan)
    limit, over = numbers.byte_size(memory.limit_bytes), memory.peak_bytes - memory.limit_bytes
    share = (
        numbers.byte_size(over) + " over"
        if over > 0
        else numbers.percent(memory.peak_bytes, memory.limit_bytes) + " of"
    )
    words = f"Planned peak during {memory.peak_words}: {share} the limit of {limit} ({memory.limit_source})."
    pairs = []
    for one in record.memory_by_phase:
        expected = planned.get(one.phase)
        label = None if expected is None else f"{one.phase}, planned: {numbers.byte_size(expected)}"
        values = [] if expected is None or label is None else [Range(0, float(expected), None, label)]
        label = f"{one.phase}, measured: {numbers.byte_size(one.peak_bytes)}"
        pairs.append((one.phase, [*values, Range(1, float(one.peak_bytes), None, label)]))
    highest = max((value.value for _, values in pairs for value in values), default=0.0)
    phases = _pairs("memory-phases", "Peak of each phase of the run", "planned", _bytes_axis(round(highest)), pairs)
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
    memory_phases = table(f"Memory by phase: {record.memory_method}", header, rows, right=(1, 2, 3, 4)) if rows else ""
    components = [
        (text(part_words(name)), numbers.byte_size(size), numbers.percent(size, memory.peak_bytes))
        for name, size in memory.components.items()
    ]
    by_component = table(
        "Planned memory by content", ("component", "size", "share of the peak"), components, right=(1, 2)
    )
    held = (planned_components(plan), *(peak.components for peak in phase_groups(plan.memory.phases).values()))
    numbered = {name: number for number, name in enumerate(dict.fromkeys(name for one in held for name in one))}
    timeline, figures = _timeline(plan, numbered)
    charts = "".join(figure(chart, drawn) for chart in (_peaks(plan, record, numbered), timeline, phases))
    return f"<p>{text(words)}</p>{charts}{memory_phases}{by_component}{figures}"


def _pairs(key: str, title: str, planned: str, axis: Axis, rows: Sequence[tuple[str, Sequence[Range]]]) -> Ranges:
    """What was measured in each phase beside what was planned."""
    return Ranges(
        key=key,
        title=title,
        description="; ".join(value.label for _, values in rows for value in values),
        rows=rows,
        names=(planned, "measured"),
        axis=replace(axis, from_zero=True),
    )


def _peaks(plan: Plan, record: RunRecord, numbered: Mapping[str, int]) -> Bars:
    """The planned peak by what it holds, and under it the measured one."""
    planned, measured, peak = plan.memory, record.peak_memory_bytes, planned_peak(plan)
    parts = planned_components(plan)
    bars = [Bar(f"planned {numbers.byte_size(peak)} ({planned.method_words})", _parts(parts, numbered))]
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
        names=_legend(parts, numbered),
        axis=_bytes_axis(highest),
        mark=(float(limit), f"limit {numbers.byte_size(limit)}") if limit <= _FARTHEST * highest else None,
    )


def _timeline(plan: Plan, numbered: Mapping[str, int]) -> tuple[Bars, str]:
    """Tensors at the peak of each phase, in the order of a step, by what they hold; and the figures of that picture."""
    groups = phase_groups(plan.memory.phases)
    if len(groups) < 2:
        groups = {}
    names = list(dict.fromkeys(name for peak in groups.values() for name in peak.components))
    bars = [
        Bar(f"{group}: {numbers.byte_size(peak.peak_bytes)}", _parts(peak.components, numbered))
        for group, peak in groups.items()
    ]
    chart = Bars(
        key="phases",
        title="Planned tensors during the run",
        description="; ".join(bar.label for bar in bars),
        bars=bars,
        names=_legend(names, numbered),
        axis=_bytes_axis(max((peak.peak_bytes for peak in groups.values()), default=0)),
    )
    rows = [
        (
            text(group),
            *(numbers.byte_size(size) if (size := peak.components.get(name)) else "–" for name in names),
            numbers.byte_size(peak.peak_bytes),
        )
        for group, peak in groups.items()
    ]
    header = ("phase", *map(part_words, names), "sum")
    grid = table("Planned tensors during the run, by content", header, rows, right=range(1, len(header)))
    return chart, details("Values of the chart of planned tensors", grid)


def _parts(sizes: Mapping[str, int], numbered: Mapping[str, int]) -> list[Part]:
    """One part for each component, in the order of their numbers."""
    return [
        Part(number, f"{part_words(name)}: {numbers.byte_size(sizes[name])}", float(sizes[name]))
        for name, number in numbered.items()
        if sizes.get(name)
    ]


def _legend(names: Iterable[str], numbered: Mapping[str, int]) -> dict[int, str]:
    """The names that a picture has, by the numbers that they have in every picture of the page."""
    return {numbered[name]: part_words(name) for name in sorted(names, key=numbered.__getitem__)}


def _bytes_axis(highest: int) -> Axis:
    """An axis in the unit that suits its far end."""
    unit, size = next((one for one in _UNITS if highest >= one[1]), _UNITS[-1])
    return Axis(unit, lambda value: f"{value / size:,.4g}", unit=float(size))


def resources_section(plan: Plan, record: RunRecord, evaluation: Evaluation | None, run: History, drawn: Drawer) -> str:
    """The plan's figures beside the run's, then memory and time one by one."""
    beside = table(
        "Planned vs actual resources",
        ("what", "planned", "actual", "difference"),
        [*_beside(plan, record), *judge_rows(plan, evaluation)],
        right=(1, 2, 3),
    )
    memory = f"<h3>Memory</h3>{memory_section(plan, record, drawn)}"
    speeds = run.throughput()
    speed_chart = Lines(
        key="speed",
        title="Throughput",
        description=range_words(speeds, "throughput"),
        series=raw_and_smoothed("", speeds, 0),
        x=STEPS,
        y=Axis("tokens per second", short, from_zero=True),
        is_wide=True,
        is_full=True,
    )
    whole = wall_seconds(record)
    rows = []
    if plan.time is not None:
        planned = numbers.duration_range(plan.time.low_seconds, plan.time.high_seconds)
        rows.append(("planned", f"{planned} ({text(plan.time.method)})"))
    if whole is not None:
        several = f", in {len(record.segments)} segments" if len(record.segments) > 1 else ""
        rows.append(("measured", f"{numbers.duration(whole)} from start to end{several}"))
    rows.append(("training steps", numbers.duration(record.train_seconds)))
    if record.train_seconds and record.tokens is not None:
        speed = f"{numbers.count(round(record.tokens / record.train_seconds))} tokens/s"
        rows.append(("mean throughput", f"{speed}, without padding"))
    noun = learned_noun(plan)
    supervised = f"{numbers.known(record.supervised_tokens)} {noun or 'target tokens'}"
    rows.append(("tokens", f"{numbers.known(record.tokens)}; {supervised}"))
    phases: dict[str, float] = {}
    for phase in () if record.time_by_phase else run.phases:
        phases[phase.phase] = phases.get(phase.phase, 0.0) + phase.seconds
    rows += [(f"phase: {name}", numbers.duration(seconds)) for name, seconds in phases.items()]
    time = f"<h3>Time</h3>{facts(rows)}{_time_phases(record, drawn)}{figure(speed_chart, drawn)}"
    return section("resources", "Planned vs actual", beside, memory, time)


def _time_phases(record: RunRecord, drawn: Drawer) -> str:
    """Seconds of each phase beside the planned range; no picture where no phase was planned."""
    rows, pairs = [], []
    for one in record.time_by_phase:
        word, took, planned = phase_word(one.phase), numbers.duration(one.seconds), one.planned
        values = [Range(1, one.seconds, None, f"{word}, measured: {took}")]
        expected = apart = "–"
        if planned:
            expected = numbers.duration_range(planned.low, planned.high)
            apart = numbers.change_percent(one.seconds, planned.expected)
            label = f"{word}, planned: {expected}"
            values.insert(0, Range(0, planned.expected, (planned.low, planned.high), label))
        rows.append((text(word), expected, took, apart))
        pairs.append((word, values))
    shown = pairs if any(one.planned for one in record.time_by_phase) else []
    chart = _pairs("time-phases", "Time by phase", "planned, with its range", Axis("seconds", "{:,.3g}".format), shown)
    header = ("phase", "planned", "measured", "difference")
    return figure(chart, drawn) + table("Time by phase", header, rows, right=(1, 2, 3))


def _beside(plan: Plan, record: RunRecord) -> Iterator[tuple[str, str, str, str]]:
    steps, whole = plan.settings.train.num_steps, wall_seconds(record)
    early = any(segment.ended_by == "early_stop" for segment in record.segments)
    ended = "stopped early" if early else "–" if record.steps_done == steps else f"{steps - record.steps_done:,} left"
    if plan.settings.model.fetched is None:
        yield "training steps", numbers.count(steps), numbers.count(record.steps_done), ended
    if record.peak_memory_bytes is not None:
        planned, measured = planned_peak(plan), record.peak_memory_bytes
        sizes = numbers.byte_size(planned), numbers.byte_size(measured)
        yield "peak memory", *sizes, numbers.change_percent(measured, planned)
    if whole is not None:
        time = plan.time
        expected = numbers.duration_range(time.low_seconds, time.high_seconds) if time else "–"
        apart = numbers.change_percent(whole, time.expected_seconds) if time else "–"
        yield "time from start to end", expected, numbers.duration(whole), apart
    if record.outputs:
        held = sum(one.size for one in record.outputs.values())
        yield "files of the run", f"at most {numbers.byte_size(plan.disk_bytes)}", numbers.byte_size(held), "–"
