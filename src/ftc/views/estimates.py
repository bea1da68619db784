"""Estimates of memory, of time, and of what a judge takes, for plan, run and report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, assert_never

from ftc.spec.documents.estimates import NCCL_BUFFERS, MemoryEstimate, Phase, PhasePeak
from ftc.spec.documents.expected import phase_groups
from ftc.spec.documents.judging import JudgeEstimate, JudgeUse
from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.page import INDENT, Page, escaped, pad, table, visible_width

if TYPE_CHECKING:
    from ftc.spec.documents.phases import PhaseSeconds
    from ftc.spec.documents.record import Evaluation

__all__ = [
    "judge_lines",
    "judge_rows",
    "memory_lines",
    "phase_seconds_words",
    "phase_word",
    "planned_components",
    "planned_peak",
    "time_lines",
    "use_words",
    "verdict_words",
]

_BAR_CELLS = 30
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "weights": ("weights", "gathered weights", "quantisation state"),
    "adapter": ("adapter",),
    "teacher": ("teacher",),
    "reward model": ("reward model",),
    "gradients": ("gradients",),
    "optimizer": ("optimiser state",),
    "activations": ("saved activations",),
    "logits": ("logits",),
}
"""Columns of the table, each with the components that it sums; what is left is in the last one."""
_REST = "other"


def memory_lines(memory: MemoryEstimate, page: Page, *, devices: int = 1) -> list[str]:
    """The block of a plan's page, in GiB; of several devices for each."""
    cells = (
        max(1, round(_BAR_CELLS * min(1.0, memory.peak_bytes / memory.limit_bytes)))
        if memory.limit_bytes
        else _BAR_CELLS
    )
    bar = _paint(memory, page, "█" * cells) + page.faint("░" * (_BAR_CELLS - cells))
    figures = f"{numbers.gibibytes(memory.peak_bytes)} of {numbers.gibibytes(memory.limit_bytes)} GiB"
    how = [
        f"{memory.method_words}{f', on each of {devices} devices' if devices > 1 else ''}",
        f"Peak during {escaped(memory.peak_words)}. Limit: {escaped(memory.limit_source)}.",
    ]
    if memory.ways > 1:
        traced = f", {memory.traces} traced" if memory.method == "trace" else ""
        fits = "fastest that fits" if memory.verdict != "does not fit" else "smallest"
        how.append(f"{fits} of {memory.ways:,} candidates{traced}")
    # How tensors become what the device reports, with the range where there is one.
    held = sum(phase.peak_bytes for phase in memory.phases if phase.phase == memory.peak_phase)
    beside = {name: size for name, size in memory.components.items() if name not in _tensor_parts(memory)}
    parts = [f"tensors {numbers.gibibytes(held)}"]
    for name, size in beside.items():
        source = f" {escaped(memory.context_source)}" if name == "context" and memory.context_source else ""
        if name == NCCL_BUFFERS and memory.exchange_buffers:
            ends = memory.exchange_buffers.low, memory.exchange_buffers.high
            source = f" ({' to '.join(map(numbers.gibibytes, ends))})"
        parts += [f"{escaped(name)} {numbers.gibibytes(size)}{source}"] if size else []
    low, process, high = map(numbers.gibibytes, (memory.process.low, memory.process.expected, memory.process.high))
    process += "" if low == high else f" ({low} to {high})"
    return [
        *page.flow("Memory", [f"{bar}   {figures}   {_paint(memory, page, memory.verdict)}"]),
        *page.flow("", how),
        *_phase_table(memory.phases, page),
        *page.flow("", [*parts, f"process {process}"]),
    ]


def verdict_words(memory: MemoryEstimate) -> str:
    """The verdict as a sentence."""
    match memory.verdict:
        case "fits":
            return "Fits."
        case "tight":
            return "Fits, but within the margin of error."
        case "does not fit":
            return "Does not fit."
        case _:
            assert_never(memory.verdict)


def planned_peak(plan: Plan) -> int:
    """The plan's peak in the sense in which a run measures it."""
    return plan.memory.allocated_bytes if plan.settings.device.kind == "cuda" else plan.memory.peak_bytes


def planned_components(plan: Plan) -> dict[str, int]:
    """What `planned_peak` is made of."""
    if plan.settings.device.kind == "cpu":
        return plan.memory.components
    tensors = _tensor_parts(plan.memory)
    return {name: size for name, size in plan.memory.components.items() if name in tensors}


def _phase_table(phases: Sequence[PhasePeak], page: Page) -> list[str]:
    """A line for each group of phases; several, without columns, where the page is too narrow for them."""
    groups = phase_groups(phases)
    sums: dict[str, dict[str, int]] = {}
    for name, peak in groups.items():
        sums[name] = {column: sum(peak.components.get(part, 0) for part in parts) for column, parts in _COLUMNS.items()}
        sums[name][_REST] = sum(peak.components.values()) - sum(sums[name].values())
    shown = [name for name in (*_COLUMNS, _REST) if any(one[name] for one in sums.values())]
    rows = [["GiB", *shown, "sum"]]
    for name, columns in sums.items():
        figures = [_cell(columns[part]) if columns[part] else "" for part in shown]
        rows.append([escaped(name), *figures, _cell(groups[name].peak_bytes)])
    head, *lines = table(rows, right=range(1, len(rows[0])), indent=INDENT)
    most = max(groups, key=lambda name: groups[name].peak_bytes)
    if max(map(visible_width, [head, *lines])) > page.columns:
        width = max(map(visible_width, sums)) + 2
        stacked = [page.faint(f"{'':{INDENT}}{pad('GiB', width)}sum: parts")]
        for name, columns in sums.items():
            title, total = pad(escaped(name), width), _cell(groups[name].peak_bytes)
            label = f"{'':{INDENT}}{page.strong(title) if name == most else title}"
            first, *parts = [f"{part} {_cell(columns[part])}" for part in shown if columns[part]] or [""]
            stacked += page.flow(label, [f"{total}: {first}", *parts], indent=INDENT + width)
        return stacked
    strong = [page.strong(line) if name == most else line for name, line in zip(groups, lines, strict=True)]
    return [page.faint(head), *strong]


def _cell(size: int) -> str:
    """GiB in few columns."""
    return numbers.gibibytes(size).replace("under ", "<")


def _tensor_parts(memory: MemoryEstimate) -> set[str]:
    return {name for phase in memory.phases for name in phase.components}


def _paint(memory: MemoryEstimate, page: Page, text: str) -> str:
    match memory.verdict:
        case "fits":
            return page.good(text)
        case "tight":
            return page.alert(text)
        case "does not fit":
            return page.bad(text)
        case _:
            assert_never(memory.verdict)


_KILOWATT_HOUR = 3.6e6
_FILES = ("load", "save")


def time_lines(plan: Plan, page: Page) -> list[str]:
    """The block of a plan's page: traffic of several devices, time, cost and energy, the parts of the run, and disk."""
    traffic = _traffic_lines(plan, page)
    disk = f"up to {numbers.byte_size(plan.disk_bytes)} on disk"
    time = plan.time
    if time is None:
        return traffic + page.flow("Time", [f"not estimated on {escaped(plan.device.label)}", disk])
    parts = [
        f"{numbers.duration_range(time.low_seconds, time.high_seconds)} on {escaped(plan.device.label)}",
        f"by {escaped(time.method)}",
    ]
    if time.cost_low and time.cost_high:
        parts.append(numbers.amount_range(time.cost_low.amount, time.cost_high.amount, time.cost_high.currency))
    if time.energy_low_joules is not None and time.energy_high_joules is not None:
        low, high = time.energy_low_joules / _KILOWATT_HOUR, time.energy_high_joules / _KILOWATT_HOUR
        parts.append(numbers.amount_range(low, high, "kWh"))
    # The parts that take much of it, each with what it rests on where that isn't what the training rests on.
    usual = next((one.method for one in time.phases if one.phase == "train"), "")
    phases = []
    for one in time.phases:
        if one.seconds.high >= 0.05 * time.high_seconds or one.phase == "train":
            by = f" by {escaped(one.method)}" if one.method not in ("", usual) and one.phase not in _FILES else ""
            phases.append(f"{phase_word(one.phase)} {numbers.duration_range(one.seconds.low, one.seconds.high)}{by}")
    return [*traffic, *page.flow("Time", [*parts, disk]), *page.flow("", phases)]


def _traffic_lines(plan: Plan, page: Page) -> list[str]:
    """The block of a plan's page on what devices send to each other; none where one trains."""
    traffic = plan.work.traffic if plan.work else None
    if traffic is None:
        return []
    sides = [
        ("device", traffic.device_bytes, "within its machine"),
        ("machine", traffic.machine_bytes, "to the others"),
    ]
    sent = [f"each {side} sends {numbers.byte_size(size)} {where}" for side, size, where in sides if size]
    return page.flow("Traffic", [*sent, "per optimizer step"])


_PHASE_WORDS: Mapping[Phase, str] = {
    "load": "libraries and files",
    "prove": "proof",
    "reference": "reference",
    "train": "training",
    "sample": "sampling",
    "validate": "validation",
    "save": "saving",
    "evaluate": "test",
    "generate": "answers",
    "judge": "judge",
    "grade": "grading",
}


def phase_word(phase: Phase) -> str:
    """A part of a run in a word or two."""
    return _PHASE_WORDS[phase]


def phase_seconds_words(one: PhaseSeconds) -> str:
    """What a part of a run took, beside what was planned: `training 41 s (planned 38–55 s)`."""
    planned = one.planned
    beside = f" (planned {numbers.duration_range(planned.low, planned.high)})" if planned else ""
    return f"{phase_word(one.phase)} {numbers.duration(one.seconds)}{beside}"


_MILLION = 1_000_000
Row = tuple[str, str, str, str]


def judge_lines(plan: Plan, page: Page) -> list[str]:
    """The block of a plan's page; nothing where nobody is asked."""
    judge, found = plan.settings.eval.judge, plan.judge
    if judge is None or found is None:
        return []
    at_once = f", {found.at_once} at once" if found.at_once > 1 else ""
    parts = [
        f"{escaped(judge.model)} at {escaped(judge.host)}",
        f"{numbers.plural(found.requests, 'request')}{at_once}",
        f"{_tokens_range(found)} tokens sent, by {found.method}",
        f"at most {numbers.magnitude(found.received_high)} received",
    ]
    if found.seconds is not None:
        parts.append(f"{numbers.duration_range(found.seconds.low, found.seconds.high)} by {found.seconds_method}")
    if found.cost_low is not None and found.cost_high is not None:
        cost = found.cost_low.amount, found.cost_high.amount, found.cost_high.currency
        parts.append(numbers.amount_range(*cost))
    return page.flow("Judge", parts)


def _tokens_range(found: JudgeEstimate) -> str:
    low, high = numbers.magnitude(found.sent.low), numbers.magnitude(found.sent.high)
    return low if low == high else f"{low}–{high}"


def use_words(use: JudgeUse) -> str:
    """What asking took, in a sentence: `40 requests in 12 s, 6,512 tokens sent and 40 received by its own count`."""
    if not use.answered:
        usage = "none answered"
    elif not use.with_usage:
        usage = "tokens not reported by the endpoint"
    else:
        usage = f"{use.sent_tokens:,} tokens sent and {use.received_tokens:,} received, as reported by the endpoint"
        if use.with_usage != use.answered:
            usage += f" for {use.with_usage:,} of {use.answered:,} answers"
    return f"{numbers.plural(use.requests, 'request')} in {numbers.duration(use.seconds)}, {usage}"


def judge_rows(plan: Plan, evaluation: Evaluation | None) -> Iterator[Row]:
    """Planned, happened and the difference, row by row; nothing where nobody was asked."""
    found, result = plan.judge, evaluation.judge if evaluation else None
    use = result.use if result else None
    if found is None or use is None:
        return
    more = use.requests - found.requests
    yield (
        "requests to the judge",
        numbers.count(found.requests),
        numbers.count(use.requests),
        f"{more:+,}" if more else "–",
    )
    is_told = use.answered > 0 and use.with_usage == use.answered
    sent = numbers.count(use.sent_tokens) if is_told else "not estimated"
    apart = numbers.change_percent(use.sent_tokens, found.sent.expected) if is_told and found.sent.expected else "–"
    yield "tokens sent to the judge", _tokens_range(found), sent, apart
    received = numbers.count(use.received_tokens) if is_told else "not estimated"
    yield "tokens from the judge", f"at most {numbers.magnitude(found.received_high)}", received, "–"
    price = plan.recipe.budget.price_per_million_tokens
    if found.cost_low is not None and found.cost_high is not None and price is not None:
        planned = numbers.amount_range(found.cost_low.amount, found.cost_high.amount, found.cost_high.currency)
        amount = (use.sent_tokens * price.sent.amount + use.received_tokens * price.received.amount) / _MILLION
        paid = numbers.amount_range(amount, amount, price.sent.currency)
        yield "cost of the judge", planned, paid if is_told else "not estimated", "–"
