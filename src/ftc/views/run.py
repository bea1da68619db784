"""A run's result beside the base model and the plan, the list of runs, and the small tables for notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from ftc.spec.diagnostics import Diagnostic
from ftc.spec.documents.expected import planned_by_phase
from ftc.spec.documents.ledger import Merged
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.views import numbers
from ftc.views.estimates import phase_seconds_words, planned_peak
from ftc.views.findings import baseline_lines, finding_lines
from ftc.views.page import PLAIN, Page, blocks, escaped, fitted, shorten, table, visible_width
from ftc.views.prompted import prompted_lines
from ftc.views.report.elements import marked_up
from ftc.views.results import Comparison, change_words, comparisons, probe_blocks, reservations, slice_blocks
from ftc.views.tracking import tracked_parts
from ftc.views.words import (
    continued_words,
    headline,
    interruption_words,
    learned_noun,
    metric_title,
    parent_parts,
    size_words,
    skipped_words,
    steps_words,
    teacher_parts,
)

__all__ = ["RunEntry", "evaluation_text", "plan_html", "run_html", "run_line", "run_text", "runs_text", "wall_seconds"]

_CODE_CHANGED = "ftc's own files or the project's commit changed during the run (FTC645)"


def run_text(
    plan: Plan,
    record: RunRecord,
    evaluation: Evaluation | None,
    folder: str,
    *,
    has_report: bool = False,
    curves: str = "",
    evaluations: Sequence[str] = (),
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
        evaluations: Purpose of each evaluation on the test rows, by whichever run.
        merges: What was made of its adapter, by the ledger.
        page: Width and colors.
    """
    title = f"evaluated on test, {numbers.plural(evaluation.tuned.rows, 'row')}, once" if evaluation else ""
    words = {
        "running": page.accent("running"),
        "interrupted": page.alert("interrupted"),
        "paused": page.alert("paused"),
        "pruned": page.alert("pruned"),
        "failed": page.bad("failed"),
        "finished": page.good("finished"),
        "gate_failed": page.bad("finished, gate failed"),
    }
    steps = steps_words(plan, record)
    parts = [f"{page.strong(record.id)} {words[record.status]}", steps, *skipped_words(record)]
    if record.selected_step is not None and record.selected_step != record.steps_done:
        parts.append(f"weights of step {numbers.count(record.selected_step)}, the best on validation")
    parts += ["stopped early"] if any(one.ended_by == "early_stop" for one in record.segments) else []
    parts.append(f"plan {numbers.digest(record.plan_sha256)}")
    merged = [
        f"{escaped(one.folder)} in {one.weight_type}, tensors {numbers.digest(one.content_sha256)}, {one.at[:10]}"
        for one in merges
    ]
    lines = [
        *page.flow("run", parts),
        *page.listed("continues", map(escaped, continued_words(record))),
        *page.listed("stopped", map(escaped, map(interruption_words, record.interruptions))),
        *page.listed("code", [_CODE_CHANGED] if record.code_changed else []),
        *page.listed("curves", filter(None, [curves])),
        *_files(record, folder, has_report, page),
        *_against_plan(plan, record, page),
        *page.listed("test set", [_evaluations_words(evaluations)] if evaluations else []),
        *page.listed("merged", merged),
        *page.listed("trackers", tracked_parts(record)),
        *_next(record, folder, has_report, page),
    ]
    found = finding_lines(record.findings, page)
    return blocks([*(_measured(plan, evaluation, page, title, record) if evaluation else ()), found, lines])


def run_line(record: RunRecord, evaluation: Evaluation | None) -> str:
    """A run's outcome in a line."""
    status = record.status.replace("_", " ")
    return f"{escaped(record.name)}: " + ", ".join(filter(None, [f"run {record.id} {status}", headline(evaluation)]))


def _evaluations_words(purposes: Sequence[str]) -> str:
    """How often the test set was evaluated, by purpose: `Test set evaluated twice: base once, tuned once.`."""
    each = (
        f"{escaped(purpose.removeprefix('evaluate '))} {numbers.times(purposes.count(purpose))}"
        for purpose in dict.fromkeys(purposes)
    )
    return f"Test set evaluated {numbers.times(len(purposes))}: {', '.join(each)}."


def evaluation_text(
    plan: Plan, evaluation: Evaluation, title: str, left_out: Sequence[str] = (), *, page: Page = PLAIN
) -> str:
    """A measurement by itself.

    Args:
        plan: The run's plan.
        evaluation: The measurement.
        title: Which model, and on which rows.
        left_out: What the run's own evaluation has and this one hasn't, each with its reason.
        page: Width and colors.
    """
    title = f"{escaped(title)}, {numbers.plural(evaluation.tuned.rows, 'row')}"
    missing = [line for one in left_out for line in page.wrap(f"Not measured: {escaped(one)}.")]
    return blocks([*_measured(plan, evaluation, page, title), *([missing] if missing else [])])


def wall_seconds(record: RunRecord) -> float | None:
    """How long a run took, over all segments; None while one of them has no end.

    It is the sum of the phases that the record has timed, which begin before the first file is written; of a record
    without phases it is the time between the ends of its segments.
    """
    from datetime import datetime

    if not record.segments or any(segment.ended_at is None for segment in record.segments):
        return None
    if record.time_by_phase:
        return sum(one.seconds for one in record.time_by_phase)
    ends = [(segment.started_at, segment.ended_at or "") for segment in record.segments]
    return sum((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() for start, end in ends)


def _measured(
    plan: Plan, evaluation: Evaluation, page: Page, title: str, record: RunRecord | None = None
) -> Iterator[list[str]]:
    """The metrics with their intervals, the gates, each with its own, then all the rest."""
    gates = [
        (
            f"gate {metric_title(gate.metric)}",
            "not measured"
            if gate.value is None
            else page.strong(numbers.metric(gate.value))
            + (f" ({numbers.interval(gate.interval)})" if gate.interval else ""),
            escaped(gate.bound),
            page.good("passed") if gate.passed else page.bad("failed"),
        )
        for gate in evaluation.gates
    ]
    metrics = _metric_table(comparisons(evaluation), page)
    yield [title, *metrics, *(["", *fitted(None, gates, page, right=(2,), indent=2)] if gates else [])]
    yield [page.alert(line) for one in reservations(plan, evaluation) for line in page.wrap(one)]
    yield prompted_lines(plan, record, evaluation, page)
    yield baseline_lines(evaluation, page)
    yield from slice_blocks(evaluation, page)
    yield from probe_blocks(evaluation, page)


def _metric_table(found: Sequence[Comparison], page: Page) -> list[str]:
    """Base, tuned and change of each metric, with their intervals; a verdict stands behind the change where one is
    called for.
    """
    has_base = any(one.base is not None for one in found)
    sure = {
        "tuned": [one.interval for one in found],
        "change": [one.gain.interval if one.gain else None for one in found],
    }
    titles = [""] + ["base"] * has_base
    for name in ("tuned", "change")[: 1 + has_base]:
        titles.append(f"{name} (95 % interval)" if any(sure[name]) else name)
    rows: list[tuple[str, ...]] = []
    for one, gain in zip(found, sure["change"], strict=True):
        title = metric_title(one.name) + ("" if one.higher_is_better else " (lower is better)")
        tuned = page.strong(numbers.metric(one.tuned))
        if one.interval:
            tuned += f" ({numbers.interval(one.interval)})"
        if not has_base:
            rows.append((title, tuned, ""))
            continue
        change = "" if one.change is None else numbers.signed(one.change)
        if gain:
            change += f" ({numbers.interval(gain, numbers.signed)})"
        base = "-" if one.base is None else numbers.metric(one.base)
        word = page.trend(one.trend, one.trend) if one.trend in ("worse", "not significant") else ""
        rows.append((title, base, tuned, page.trend(one.trend, change), word))
    return fitted((*titles, ""), rows, page, right=range(1, 2 + 2 * has_base), indent=2)


def _files(record: RunRecord, folder: str, has_report: bool, page: Page) -> list[str]:
    """The result's size, and where to look."""
    parts = []
    for kind in ("adapter", "model"):
        size = sum(facts.size for path, facts in record.outputs.items() if path.startswith(f"{kind}/"))
        if size:
            parts.append(f"{kind} {numbers.byte_size(size)}")
    parts.append(f"report {escaped(folder)}/report.html" if has_report else escaped(folder))
    return page.flow("files", parts)


def _next(record: RunRecord, folder: str, has_report: bool, page: Page) -> list[str]:
    """What one does with a finished run."""
    if not record.is_finished:
        return []
    card = [f"its model card is {escaped(folder)}/README.md"] if has_report else []
    return page.flow("next", [f"`ftc predict {record.id} TEXT` uses the model", *card])


def _against_plan(plan: Plan, record: RunRecord, page: Page) -> list[str]:
    lines = page.listed("parent", parent_parts(plan)) + page.listed("teacher", teacher_parts(plan))
    if record.peak_memory_bytes is not None:
        planned = planned_peak(plan)
        beside = numbers.change_percent(record.peak_memory_bytes, planned)
        lines += page.flow(
            "memory",
            (
                f"{numbers.byte_size(record.peak_memory_bytes)} (planned {numbers.byte_size(planned)}, {beside})",
                escaped(record.memory_method),
            ),
        )
        phases = planned_by_phase(plan)
        lines += page.listed(
            "",
            [
                f"{one.phase} {numbers.byte_size(one.peak_bytes)}"
                + (f" (planned {numbers.byte_size(phases[one.phase])})" if one.phase in phases else "")
                for one in record.memory_by_phase
            ],
        )
    lines += page.flow("time", _time_words(plan, record))
    return lines + page.listed("", map(phase_seconds_words, record.time_by_phase))


def _time_words(plan: Plan, record: RunRecord) -> Iterable[str]:
    whole = wall_seconds(record)
    if whole is not None:
        time = plan.time
        planned = f" (planned {numbers.duration_range(time.low_seconds, time.high_seconds)})" if time else ""
        yield f"{numbers.duration(whole)}{planned}"
    if not record.time_by_phase:
        yield f"training {numbers.duration(record.train_seconds)}"
    if record.train_seconds and record.tokens is not None and math.isfinite(record.tokens / record.train_seconds):
        yield f"{numbers.count(round(record.tokens / record.train_seconds))} tok/s"
    noun = learned_noun(plan)
    if record.supervised_tokens is not None:
        yield f"{numbers.magnitude(record.supervised_tokens)} {noun or 'target tokens'}"


RunEntry = tuple[Plan, RunRecord, Evaluation | None]
"""What the list shows of one run."""


def runs_text(entries: Iterable[RunEntry], *, page: Page = PLAIN) -> str:
    """One line a run, the newest first; several on a narrow page."""
    newest = sorted(entries, key=lambda entry: _started(entry[1]), reverse=True)
    if not newest:
        return "No runs yet. `ftc apply RECIPE` makes one.\n"
    paints = {
        "finished": page.good,
        "gate_failed": page.bad,
        "failed": page.bad,
        "interrupted": page.alert,
        "paused": page.alert,
        "pruned": page.alert,
        "running": page.accent,
    }
    header = ("run", "recipe", "started (UTC)", "steps", "status", "result")
    rows = [
        (
            record.id,
            shorten(record.name, _LONGEST_NAME),
            escaped(_started(record)[:_MINUTES].replace("T", " ")),
            steps_words(plan, record, short=True),
            paints[record.status](record.status.replace("_", " ")),
            headline(evaluation),
        )
        for plan, record, evaluation in newest
    ]
    head, *lines = table([header, *rows], right=(3,))
    if all(visible_width(line) <= page.columns for line in (head, *lines)):
        return "\n".join([page.faint(head), *lines]) + "\n"
    narrow = [line for id_, *parts in rows for line in page.flow(id_, filter(None, parts), indent=len(id_) + 2)]
    return "\n".join(narrow) + "\n"


_LONGEST_NAME = 24
_MINUTES = 16
"""Characters of the time at which a run began, to the minute."""


def _started(record: RunRecord) -> str:
    return record.segments[0].started_at if record.segments else ""


_USE = '`ftc.load("{}").predict([...])` uses the model.'
_NUMBER = ' style="text-align:right"'
_LEFT = ' style="text-align:left"'


def plan_html(plan: Plan, findings: Sequence[Diagnostic] = ()) -> str:
    """The plan as a table of its main figures, then findings, then what was not checked."""
    train, memory, time = plan.settings.train, plan.memory, plan.time
    trainable = numbers.percent(plan.model.num_trainable, plan.model.num_parameters)
    rows = [
        ("task", plan.recipe.task.kind),
        ("model", f"{plan.model.name}, {size_words(plan.model, 'parameters')}"),
        ("strategy", f"{plan.settings.strategy.words()}, {trainable} trainable"),
        ("data", ", ".join(f"{name} {numbers.count(split.rows)}" for name, split in plan.splits)),
        ("training", f"{numbers.plural(train.num_steps, 'step')} of {numbers.plural(train.batch_size, 'row')}"),
        ("learning rate", f"{numbers.rate(train.learning_rate)}, {train.schedule.kind}"),
        (
            "memory",
            f"{numbers.byte_size(memory.peak_bytes)} of {numbers.byte_size(memory.limit_bytes)}, " + memory.verdict,
        ),
    ]
    if time:
        rows.append(("time", numbers.duration_range(time.low_seconds, time.high_seconds)))
    grid = _html_table(f"{plan.name}: plan {numbers.digest(plan.sha256)}", (), rows)
    words = [f"{one.severity} {one.code}: {'. '.join((one.summary, *map(_sentence, one.help)))}" for one in findings]
    return grid + _html_list("Findings", words) + _html_list("Not checked", plan.not_checked)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _html_list(title: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{marked_up(line)}</li>" for line in lines)
    return f"<details open><summary>{title}</summary><ul>{items}</ul></details>" if items else ""


def run_html(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> str:
    """The run as a table of its measurements, then what it found about itself, and what comes next."""
    caption = f"{record.name}: run {record.id}, {record.status.replace('_', ' ')}"
    if evaluation is None:
        steps = steps_words(plan, record).removesuffix(" steps")
        return _html_table(caption, (), [("steps", steps)])
    rows = [
        (
            metric_title(one.name),
            "" if one.base is None else numbers.metric(one.base),
            numbers.metric(one.tuned),
            change_words(one),
            "" if one.gate is None else f"{one.gate.bound} {'passed' if one.gate.passed else 'failed'}",
        )
        for one in comparisons(evaluation)
    ]
    grid = _html_table(caption, ("metric", "base", "tuned", "change", "gate"), rows)
    found = [f"{one.severity} {one.code}: {one.text} {one.help}".rstrip() for one in record.findings]
    after = "" if record.final_weights_sha256 is None else f"<p>{marked_up(_USE.format(record.id))}</p>"
    return grid + _html_list("Findings", (*found, *reservations(plan, evaluation))) + after


def _html_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in header)
    head = f"<thead><tr>{titles}</tr></thead>" if header else ""
    align = _NUMBER if header else _LEFT
    body = "".join(
        f'<tr><th scope="row"{_LEFT}>{escape(first)}</th>'
        + "".join(f"<td{align}>{escape(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in rows
    )
    return f"<table><caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"
