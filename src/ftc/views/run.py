"""A run's result: the tuned model beside the base, gates, memory and time against the plan, and the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from ftc.spec.documents.expected import planned_by_phase
from ftc.spec.documents.ledger import Merged
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, Gain, GateResult, Interval, RunRecord
from ftc.spec.metrics import metric_named
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.headline import metric_title
from ftc.views.honesty import reservations
from ftc.views.memory import planned_peak
from ftc.views.page import PLAIN, Page, table, visible_width
from ftc.views.probes import probe_blocks
from ftc.views.slices import slice_blocks
from ftc.views.tasks import learnt_noun
from ftc.views.teacher import teacher_parts
from ftc.views.times import phase_seconds_words

__all__ = ["Comparison", "Trend", "change_words", "comparisons", "evaluation_text", "run_text", "wall_seconds"]


Trend = Literal["better", "worse", "equal", "no difference shown"]


class Comparison(NamedTuple):
    """One metric of the tuned model beside the base."""

    name: str
    base: float | None
    tuned: float
    gate: GateResult | None
    gain: Gain | None = None
    interval: Interval | None = None
    """Of the tuned model's value."""

    @property
    def change(self) -> float | None:
        """Tuned minus base."""
        return None if self.base is None else self.tuned - self.base

    @property
    def higher_is_better(self) -> bool:
        """Which way is up."""
        kind = metric_named(self.name)
        return kind.higher_is_better if kind else True

    @property
    def trend(self) -> Trend | None:
        """Whether tuning helped, as far as the rows can show it; None without a base."""
        if self.change is None:
            return None
        if self.change == 0:
            return "equal"
        if self.gain is not None and not self.gain.is_shown:
            return "no difference shown"
        return "better" if (self.change > 0) == self.higher_is_better else "worse"


def change_words(one: Comparison) -> str:
    """Such as `+0.746, 95 % interval +0.685 to +0.803 (better)`; empty without a base."""
    if one.change is None:
        return ""
    return f"{numbers.signed(one.change)}{_interval_words(one, ', 95 % interval {} to {}')} ({one.trend})"


def _interval_words(one: Comparison, form: str) -> str:
    found = one.gain.interval if one.gain else None
    return form.format(numbers.signed(found.low), numbers.signed(found.high)) if found else ""


def comparisons(evaluation: Evaluation) -> tuple[Comparison, ...]:
    """Every metric, in the order in which it was measured."""
    base = evaluation.base.metrics if evaluation.base else {}
    gates = {gate.metric: gate for gate in evaluation.gates}
    return tuple(
        Comparison(
            name,
            base.get(name),
            value,
            gates.get(name),
            evaluation.gains.get(name),
            evaluation.tuned.intervals.get(name),
        )
        for name, value in evaluation.tuned.metrics.items()
    )


def run_text(
    plan: Plan,
    record: RunRecord,
    evaluation: Evaluation | None,
    folder: str,
    *,
    has_report: bool = False,
    curves: str = "",
    looks: Sequence[str] = (),
    merges: Sequence[Merged] = (),
    page: Page = PLAIN,
) -> str:
    """The run for people.

    Args:
        plan: The plan that it executed.
        record: What it recorded.
        evaluation: The measurement on the test split, if it came to that.
        folder: The run's folder as the user would type it.
        has_report: Whether the folder holds a report.
        curves: What the curves say of overfitting, in words.
        looks: Purpose of each look at the test rows, by whichever run.
        merges: What was made of its adapter, by the ledger.
        page: Width and colours.
    """
    title = f"evaluated on test, {numbers.plural(evaluation.tuned.rows, 'row')}, once" if evaluation else ""
    blocks = (
        _evaluation(evaluation, page, title) if evaluation else [],
        _reservations(plan, evaluation, page) if evaluation else [],
        *(slice_blocks(evaluation, page) if evaluation else ()),
        *(probe_blocks(evaluation, page) if evaluation else ()),
        [
            *_state(record, plan, page),
            *_curves(curves, page),
            *_files(record, folder, has_report, page),
            *_against_plan(plan, record, page),
            *_looks(looks, page),
            *_merges(merges, page),
        ],
    )
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def evaluation_text(plan: Plan, evaluation: Evaluation, title: str, *, page: Page = PLAIN) -> str:
    """A measurement by itself.

    Args:
        plan: The run's plan.
        evaluation: The measurement.
        title: Which model, and on which rows.
        page: Width and colours.
    """
    title = f"{escaped(title)}, {numbers.plural(evaluation.tuned.rows, 'row')}"
    doubts = _reservations(plan, evaluation, page)
    blocks = (
        _evaluation(evaluation, page, title),
        doubts,
        *slice_blocks(evaluation, page),
        *probe_blocks(evaluation, page),
    )
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def wall_seconds(record: RunRecord) -> float | None:
    """Seconds over all segments, or None while one of them has no end."""
    from datetime import datetime

    total = 0.0
    for segment in record.segments:
        if segment.ended_at is None:
            return None
        total += (datetime.fromisoformat(segment.ended_at) - datetime.fromisoformat(segment.started_at)).total_seconds()
    return total if record.segments else None


def _evaluation(evaluation: Evaluation, page: Page, title: str) -> list[str]:
    """The metrics with as many intervals as the page has room for, then the gates, each with its own."""
    found = comparisons(evaluation)
    forms = (_metric_table(found, page, shows) for shows in (("tuned", "change"), ("change",)))
    fitting = (lines for lines in forms if max(map(visible_width, lines)) <= page.columns)
    header, *body = next(fitting, None) or _metric_table(found, page, ())
    gates = _gates(evaluation, page)
    return [title, page.faint(header), *body, *(["", *gates] if gates else [])]


def _gates(evaluation: Evaluation, page: Page) -> list[str]:
    rows = [
        (
            f"gate {metric_title(gate.metric)}",
            _gated_value(gate, page),
            escaped(gate.bound),
            page.good("passed") if gate.passed else page.bad("failed"),
        )
        for gate in evaluation.gates
    ]
    return table(rows, right=(2,), indent=2) if rows else []


def _gated_value(gate: GateResult, page: Page) -> str:
    if gate.value is None:
        return "not measured"
    between = gate.interval
    words = f" ({numbers.metric(between.low)} to {numbers.metric(between.high)})" if between else ""
    return page.strong(numbers.metric(gate.value)) + words


def _metric_table(found: Sequence[Comparison], page: Page, shows: Sequence[str]) -> list[str]:
    """Base, tuned and change of each metric, with the intervals of those that `shows` names; a verdict stands behind
    the change where one is called for.
    """
    has_base = any(one.base is not None for one in found)
    titles = [""] + ["base"] * has_base
    for name in ("tuned", "change")[: 1 + has_base]:
        is_sure = name in shows and any(_interval_of(one, name) for one in found)
        titles.append(f"{name} (95 % interval)" if is_sure else name)
    rows = [(*titles, ""), *(_metric_row(one, page, shows, has_base=has_base) for one in found)]
    return table(rows, right=range(1, 2 + 2 * has_base), indent=2)


def _metric_row(one: Comparison, page: Page, shows: Sequence[str], *, has_base: bool) -> tuple[str, ...]:
    paint = {"better": page.good, "worse": page.bad, "no difference shown": page.alert}.get(one.trend or "", str)
    tuned = page.strong(numbers.metric(one.tuned)) + _between(
        _interval_of(one, "tuned"), numbers.metric, shows, "tuned"
    )
    title = metric_title(one.name) + ("" if one.higher_is_better else " (lower is better)")
    if not has_base:
        return title, tuned, ""
    change = "" if one.change is None else numbers.signed(one.change)
    change += _between(_interval_of(one, "change"), numbers.signed, shows, "change")
    base = "-" if one.base is None else numbers.metric(one.base)
    return title, base, tuned, paint(change), paint(one.trend) if one.trend in ("worse", "no difference shown") else ""


def _interval_of(one: Comparison, name: str) -> Interval | None:
    return one.interval if name == "tuned" else one.gain.interval if one.gain else None


def _between(interval: Interval | None, words: Callable[[float], str], shows: Sequence[str], name: str) -> str:
    return f" ({words(interval.low)} to {words(interval.high)})" if interval and name in shows else ""


def _state(record: RunRecord, plan: Plan, page: Page) -> list[str]:
    """Which run it is and how it stands."""
    words = {
        "running": page.accent("running"),
        "interrupted": page.alert("interrupted"),
        "failed": page.bad("failed"),
        "finished": page.good("finished"),
        "gate_failed": page.bad("finished, gate failed"),
    }
    steps = f"{numbers.count(record.steps_done)} of {numbers.plural(plan.settings.train.num_steps, 'step')}"
    parts = [f"{page.strong(record.id)} {words[record.status]}", steps]
    if record.selected_step is not None and record.selected_step != record.steps_done:
        parts.append(f"weights of step {numbers.count(record.selected_step)}, the best on validation")
    if any(segment.ended_by == "early_stop" for segment in record.segments):
        parts.append("stopped early")
    parts.append(f"plan {numbers.digest(record.plan_sha256)}")
    return page.flow("run", parts)


def _reservations(plan: Plan, evaluation: Evaluation, page: Page) -> list[str]:
    return [page.alert(line) for one in reservations(plan, evaluation) for line in page.wrap(one)]


def _curves(words: str, page: Page) -> list[str]:
    return page.flow("curves", [words]) if words else []


def _files(record: RunRecord, folder: str, has_report: bool, page: Page) -> list[str]:
    """The result's size, and where to look."""
    parts = []
    for kind in ("adapter", "model"):
        size = sum(facts.size for path, facts in record.outputs.items() if path.startswith(f"{kind}/"))
        if size:
            parts.append(f"{kind} {numbers.byte_size(size)}")
    parts.append(f"report {escaped(folder)}/report.html" if has_report else escaped(folder))
    return page.flow("files", parts)


def _against_plan(plan: Plan, record: RunRecord, page: Page) -> list[str]:
    teacher = teacher_parts(plan)
    lines: list[str] = page.flow("teacher", teacher) if teacher else []
    if record.peak_memory_bytes is not None:
        lines += page.flow("memory", _memory_words(plan, record.peak_memory_bytes, record.memory_method))
        if record.memory_by_phase:
            lines += page.flow("", _memory_phases(plan, record))
    lines += page.flow("time", _time_words(plan, record))
    return lines + (page.flow("", map(phase_seconds_words, record.time_by_phase)) if record.time_by_phase else [])


def _looks(purposes: Sequence[str], page: Page) -> list[str]:
    if not purposes:
        return []
    each = [f"{escaped(purpose)} {purposes.count(purpose)}" for purpose in dict.fromkeys(purposes)]
    whole = f"the test rows were looked at {numbers.plural(len(purposes), 'time')} in all"
    return page.flow("looks", [f"{whole}: {', '.join(each)}"])


def _merges(merges: Sequence[Merged], page: Page) -> list[str]:
    each = [
        f"{escaped(one.folder)} in {one.weight_type}, tensors {numbers.digest(one.content_sha256)}, {one.at[:10]}"
        for one in merges
    ]
    return page.flow("merged", each) if each else []


def _memory_words(plan: Plan, peak: int, method: str) -> Sequence[str]:
    planned = planned_peak(plan)
    beside = numbers.change_percent(peak, planned)
    return f"{numbers.byte_size(peak)} (planned {numbers.byte_size(planned)}, {beside})", escaped(method)


def _memory_phases(plan: Plan, record: RunRecord) -> Iterable[str]:
    """Each phase as it was measured, beside the plan where that has it."""
    planned = planned_by_phase(plan)
    for one in record.memory_by_phase:
        beside = f" (planned {numbers.byte_size(planned[one.phase])})" if one.phase in planned else ""
        yield f"{one.phase} {numbers.byte_size(one.peak_bytes)}{beside}"


def _time_words(plan: Plan, record: RunRecord) -> Iterable[str]:
    whole = wall_seconds(record)
    if whole is not None:
        time = plan.time
        planned = f" (planned {numbers.duration_range(time.low_seconds, time.high_seconds)})" if time else ""
        whole = sum(one.seconds for one in record.time_by_phase) or whole  # with what came before the first file
        yield f"{numbers.duration(whole)}{planned}"
    if not record.time_by_phase:
        yield f"training {numbers.duration(record.train_seconds)}"
    if record.train_seconds > 0:
        yield f"{numbers.count(round(record.tokens / record.train_seconds))} tok/s"
    noun = learnt_noun(plan)
    yield f"{numbers.magnitude(record.supervised_tokens)} {f'{noun} learnt' if noun else 'supervised tokens'}"
