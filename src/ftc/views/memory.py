"""A memory estimate: a bar against the limit, and a table of what is held in each phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from ftc.spec.documents.expected import phase_groups
from ftc.spec.documents.memory import ByteRange, MemoryEstimate, PhasePeak
from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import INDENT, Page, table, visible_width

__all__ = [
    "memory_lines",
    "planned_components",
    "planned_peak",
    "verdict_words",
]

_BAR_CELLS = 30
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "weights": ("weights", "gathered weights", "quantisation state"),
    "adapter": ("adapter",),
    "teacher": ("teacher",),
    "gradients": ("gradients",),
    "optimiser": ("optimiser state",),
    "activations": ("saved activations",),
    "logits": ("logits",),
}
"""Columns of the table, each with the components that it sums; what is left is in the last one."""
_REST = "other"


def memory_lines(memory: MemoryEstimate, page: Page, *, devices: int = 1) -> list[str]:
    """The block of a plan's page, in GiB; of several devices for each."""
    cells = _filled(memory.peak_bytes, memory.limit_bytes)
    bar = _paint(memory, page, "█" * cells) + page.faint("░" * (_BAR_CELLS - cells))
    figures = f"{numbers.gibibytes(memory.peak_bytes)} of {numbers.gibibytes(memory.limit_bytes)} GiB"
    how = [
        f"by {memory.method}{f', on each of {devices} devices' if devices > 1 else ''}",
        f"peak in {escaped(memory.peak_phase)}",
        f"limit: {escaped(memory.limit_source)}",
        *_choice(memory),
    ]
    return [
        *page.flow("Memory", [f"{bar}   {figures}   {_paint(memory, page, memory.verdict)}"]),
        *page.flow("", how),
        *_phase_table(memory.phases, page),
        *page.flow("", _in_all(memory)),
    ]


def _choice(memory: MemoryEstimate) -> list[str]:
    """Among how many ways to run the job this one was chosen, and how many of them were traced."""
    if memory.ways == 1:
        return []
    traced = f", {memory.traces} traced" if memory.method == "trace" else ""
    fits = "fastest that fits" if memory.verdict != "does not fit" else "smallest"
    return [f"{fits} of {memory.ways:,} ways{traced}"]


def verdict_words(memory: MemoryEstimate) -> str:
    """The verdict as a sentence."""
    match memory.verdict:
        case "fits":
            return "Fits."
        case "tight":
            return "Fits only by luck."
        case "does not fit":
            return "Does not fit."
        case _:
            assert_never(memory.verdict)


def _by_column(components: Mapping[str, int]) -> dict[str, int]:
    """Components summed as the table shows them, the rest under `other`."""
    named = {name: sum(components.get(part, 0) for part in parts) for name, parts in _COLUMNS.items()}
    return {**named, _REST: sum(components.values()) - sum(named.values())}


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
    """A line for each group of phases; left out where the page is too narrow for it."""
    groups = phase_groups(phases)
    sums = {name: _by_column(peak.components) for name, peak in groups.items()}
    shown = [name for name in (*_COLUMNS, _REST) if any(one[name] for one in sums.values())]
    rows = [["GiB", *shown, "sum"]]
    for name, columns in sums.items():
        figures = [numbers.gibibytes(columns[part]) if columns[part] else "" for part in shown]
        rows.append([escaped(name), *figures, numbers.gibibytes(groups[name].peak_bytes)])
    head, *lines = table(rows, right=range(1, len(rows[0])), indent=INDENT)
    if max(map(visible_width, [head, *lines])) > page.columns:
        return []
    most = max(groups, key=lambda name: groups[name].peak_bytes)
    strong = [page.strong(line) if name == most else line for name, line in zip(groups, lines, strict=True)]
    return [page.faint(head), *strong]


def _in_all(memory: MemoryEstimate) -> list[str]:
    """How tensors become what the device reports, with the range where there is one."""
    held = sum(phase.peak_bytes for phase in memory.phases if phase.phase == memory.peak_phase)
    beside = {name: size for name, size in memory.components.items() if name not in _tensor_parts(memory)}
    parts = [f"tensors {numbers.gibibytes(held)}"]
    parts += [
        f"{escaped(name)} {numbers.gibibytes(size)}{_source(memory, name)}" for name, size in beside.items() if size
    ]
    return [*parts, f"process {_range(memory.process)}"]


def _source(memory: MemoryEstimate, name: str) -> str:
    """Where the context's size is from, where it was measured here."""
    return f" {escaped(memory.context_source)}" if name == "context" and memory.context_source else ""


def _tensor_parts(memory: MemoryEstimate) -> set[str]:
    return {name for phase in memory.phases for name in phase.components}


def _range(size: ByteRange) -> str:
    low, expected, high = map(numbers.gibibytes, (size.low, size.expected, size.high))
    return expected if low == high else f"{expected} ({low} to {high})"


def _filled(size: int, limit: int) -> int:
    return max(1, round(_BAR_CELLS * min(1.0, size / limit))) if limit else _BAR_CELLS


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
