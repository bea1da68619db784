"""What the plan expected and what happened: steps, memory, time and files."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.views import numbers
from ftc.views.judging import judge_rows
from ftc.views.memory import planned_peak
from ftc.views.report.charts import Axis, Drawer, Lines, Range, Ranges, figure
from ftc.views.report.elements import facts, section, table, text
from ftc.views.report.history import History
from ftc.views.report.memory import memory_section
from ftc.views.report.steps import STEPS, range_words, raw_and_smoothed, short
from ftc.views.run import wall_seconds
from ftc.views.tasks import learnt_noun
from ftc.views.times import phase_word

__all__ = ["resources_section"]


def resources_section(plan: Plan, record: RunRecord, evaluation: Evaluation | None, run: History, drawn: Drawer) -> str:
    """The plan's figures beside the run's, then memory and time one by one."""
    beside = table(
        "What the plan expected, and what happened",
        ("what", "planned", "happened", "difference"),
        [*_beside(plan, record), *judge_rows(plan, evaluation)],
        right=(1, 2, 3),
    )
    memory = f"<h3>Memory</h3>{memory_section(plan, record, drawn)}"
    time = f"<h3>Time</h3>{_time(plan, record, run)}{_phases(record, drawn)}{figure(_speed_chart(run), drawn)}"
    return section("resources", "Planned and happened", beside, memory, time)


def _beside(plan: Plan, record: RunRecord) -> Iterator[tuple[str, str, str, str]]:
    steps, whole = plan.settings.train.num_steps, wall_seconds(record)
    early = any(segment.ended_by == "early_stop" for segment in record.segments)
    ended = "stopped early" if early else "–" if record.steps_done == steps else f"{steps - record.steps_done:,} left"
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


def _speed_chart(run: History) -> Lines:
    speeds = run.throughput()
    return Lines(
        key="speed",
        title="Throughput",
        description=range_words(speeds, "throughput"),
        series=raw_and_smoothed("", speeds, 0),
        x=STEPS,
        y=Axis("tokens per second", short, from_zero=True),
        is_wide=True,
    )


def _time(plan: Plan, record: RunRecord, run: History) -> str:
    whole = wall_seconds(record)
    rows = []
    if plan.time is not None:
        planned = numbers.duration_range(plan.time.low_seconds, plan.time.high_seconds)
        rows.append(("planned", f"{planned} ({text(plan.time.method)})"))
    if whole is not None:
        several = f", over {len(record.segments)} stretches" if len(record.segments) > 1 else ""
        rows.append(("measured", f"{numbers.duration(whole)} from start to end{several}"))
    rows.append(("training steps", numbers.duration(record.train_seconds)))
    if record.train_seconds > 0:
        speed = f"{numbers.count(round(record.tokens / record.train_seconds))} tokens/s"
        rows.append(("mean throughput", f"{speed}, padding not counted"))
    rows.append(("tokens", f"{numbers.count(record.tokens)}; {_supervised(plan, record)}"))
    phases: dict[str, float] = {}
    for phase in () if record.time_by_phase else run.phases:
        phases[phase.phase] = phases.get(phase.phase, 0.0) + phase.seconds
    rows += [(f"phase: {name}", numbers.duration(seconds)) for name, seconds in phases.items()]
    return facts(rows)


def _phases(record: RunRecord, drawn: Drawer) -> str:
    """Planned and measured side by side."""
    rows = [
        (
            text(phase_word(one.phase)),
            numbers.duration_range(one.planned.low, one.planned.high) if one.planned else "–",
            numbers.duration(one.seconds),
            numbers.change_percent(one.seconds, one.planned.expected) if one.planned else "–",
        )
        for one in record.time_by_phase
    ]
    header = ("phase", "planned", "measured", "difference")
    return figure(_phases_chart(record), drawn) + table("Time by phase", header, rows, right=(1, 2, 3))


def _phases_chart(record: RunRecord) -> Ranges:
    """Seconds of each phase beside the planned range; nothing where no phase was planned."""
    rows = []
    for one in record.time_by_phase if any(one.planned for one in record.time_by_phase) else ():
        word, took = phase_word(one.phase), numbers.duration(one.seconds)
        values = [Range(1, one.seconds, None, f"{word}, measured: {took}")]
        if one.planned:
            label = f"{word}, planned: {numbers.duration_range(one.planned.low, one.planned.high)}"
            values.insert(0, Range(0, one.planned.expected, (one.planned.low, one.planned.high), label))
        rows.append((word, values))
    return Ranges(
        key="time-phases",
        title="Time by phase",
        description="; ".join(one.label for _, values in rows for one in values),
        rows=rows,
        names=("planned, with its range", "measured"),
        axis=Axis("seconds", "{:,.3g}".format, from_zero=True),
    )


def _supervised(plan: Plan, record: RunRecord) -> str:
    noun = learnt_noun(plan)
    return f"{numbers.count(record.supervised_tokens)} {f'{noun} learnt' if noun else 'supervised'}"
