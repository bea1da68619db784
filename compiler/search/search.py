"""The search for the fastest point that fits: formulas first, then the trace for those that they leave open.

Points are looked at in the order of their speed, but for numbers of devices that break the budget's cost. The formula
knows within a tenth or so what the trace would say, so it sorts out most of them. The trace is asked of the point that
would be taken, and of a faster one that the formula isn't sure to exclude, which needs least of those like it; what a
trace says of one point excludes all that need at least as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ftc.compiler.draft import Draft
from ftc.compiler.memory.batch_shapes import accumulates
from ftc.compiler.memory.host_memory import host_bytes
from ftc.compiler.memory.memory import answer_for, by_closed_form, by_trace, limit_of, may_run, question
from ftc.compiler.search.candidates import Point, at
from ftc.compiler.search.costs import CostBound
from ftc.compiler.search.optimizer_choice import bytes_per_weight
from ftc.spec.documents.memory import MemoryEstimate
from ftc.spec.documents.memory_trace import TraceJob
from ftc.spec.optimizers import optimizer_card

__all__ = ["Found", "Way", "fastest_that_fits", "way_of"]

_DOUBTFUL = 1.15
"""A point whose closed form is at most so far over the limit may still fit by trace."""
_CLEARLY = 1.1
"""Times the other phases that one takes which alone is to blame."""
_KIN = ("checkpointing", "attention", "packs", "sharding", "offload")
"""What points have in common of which one can be said to need more than another."""
_MEASURING = ("evaluation", "generation", "grade")
"""Phases of looks at rows, which hang on the rows of a look and not on those of a training step."""


_Because = Literal["training", "measuring", "either"]
Way = tuple[tuple[str, object], ...]
"""What of a point decides whether it can be traced, by name: all that isn't a size."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found.

    Attributes:
        point: The fastest that fits, or the smallest where none does.
        memory: What it needs.
        fits: Whether it does.
        looked_at: Points that the recipe allows.
        too_dear: Numbers of devices whose fastest way that fits breaks the budget's cost.
        questions: What the trace is to be asked before this holds.
        untraced: Why ways to run the job count by the formula, by what these ways have in common.
    """

    point: Point
    memory: MemoryEstimate
    fits: bool
    looked_at: int
    too_dear: frozenset[int]
    questions: tuple[TraceJob, ...]
    untraced: Mapping[Way, str]


def fastest_that_fits(draft: Draft, points: Sequence[Point]) -> Found:
    """Looks at points, the fastest of which is the first; where all that fit are too dear the cheapest is taken."""
    search, counts = _Search(draft), frozenset(point.devices for point in points)
    bound, dear = CostBound(draft, counts), dict[int, tuple[int, MemoryEstimate]]()

    def found(place: int, memory: MemoryEstimate, before: int) -> Found:
        """The point at a place; of numbers that are too dear only faster ways would be cheaper."""
        point, ranked = points[place], enumerate(points[:before])
        faster = [one for n, one in ranked if one.devices not in dear or n < dear[one.devices][0]]
        questions = search.questions(faster, point)
        fits = may_run(draft, memory)
        return Found(point, memory, fits, len(points), frozenset(dear), questions, search.untraced)

    for place, point in enumerate(points):
        memory = None if point.devices in dear else search.estimate(point)
        if memory is None or not may_run(draft, memory):
            continue
        if bound.keeps(point):
            return found(place, memory, place)
        dear[point.devices] = place, memory
    if (cheapest := bound.least()) is not None:
        place, memory = dear[cheapest]
        return found(place, memory, place)
    nearest = min(range(len(points)), key=lambda n: (search.by_form(points[n]).process.low, n))
    return found(nearest, search.traced(points[nearest]) or search.by_form(points[nearest]), len(points))


class _Search:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._limit = limit_of(draft)[0]
        self._forms: dict[Point, MemoryEstimate] = {}
        self._too_large: dict[Point, MemoryEstimate] = {}
        """Points of no rows of a look whose training is out of question by the formula."""
        self._traced: dict[Point, MemoryEstimate] = {}
        self.untraced: dict[Way, str] = {}
        self._accumulates: dict[Point, bool] = {}
        self._excluded: list[tuple[Point, _Because]] = []
        """Points that don't fit by trace, and why."""

    def by_form(self, point: Point) -> MemoryEstimate:
        """The closed form; what is too much to train is so with every number of rows of a look."""
        training = replace(point, eval_batch=0)
        if (found := self._too_large.get(training) or self._forms.get(point)) is not None:
            return found
        self._forms[point] = found = by_closed_form(self._draft, point)
        if not self._is_in_doubt(found) and not _measures(found):
            self._too_large[training] = found
        return found

    def traced(self, point: Point) -> MemoryEstimate | None:
        """The trace's answer, where it was asked; one that is too much excludes others, and so does a failure.

        What can't be traced hangs on the code that runs and not on sizes, so the formula stands for points of that way.
        """
        if point in self._traced:
            return self._traced[point]
        answer = answer_for(self._draft, point)
        if answer is not None and answer.result is None:
            self.untraced.setdefault(way_of(point), answer.reason or "no reason was given")
        if (found := by_trace(self._draft, point)) is not None:
            self._traced[point] = found
            if not may_run(self._draft, found):
                self._excluded.append((point, _reason(found)))
        return found

    def estimate(self, point: Point) -> MemoryEstimate | None:
        """What a point needs; None where the formula or another point excludes it."""
        if not self._is_in_doubt(self.by_form(point)) or self._is_excluded(point) or not self._has_host(point):
            return None
        return self.traced(point) or self.by_form(point)

    def questions(self, faster: Sequence[Point], taken: Point) -> tuple[TraceJob, ...]:
        """The point taken, and the faster one that tells most of those that may fit, where they aren't traced."""
        if self._draft.traces is None:
            return ()
        open_ = [one for one in faster if one != taken and self._may_fit(one)]
        wanted = [*self._telling(open_), *([] if self._is_answered(taken) else [taken])]
        return tuple(question(self._draft, one) for one in wanted)

    def _telling(self, open_: Sequence[Point]) -> list[Point]:
        """Of the ways like the slowest the one that needs least, since what is too much for it is so for the others.

        It looks at the most rows at once that the formula doesn't make the largest moment.
        """
        if not open_:
            return []
        kin = [one for one in open_ if _kin(one) == _kin(open_[-1])]
        least = min(reversed(kin), key=lambda one: self.by_form(replace(one, eval_batch=1)).process.low)
        alike = [one for one in kin if replace(one, eval_batch=0) == replace(least, eval_batch=0)]
        return [next((one for one in alike if not _measures(self.by_form(one))), alike[-1])]

    def _may_fit(self, point: Point) -> bool:
        if not self._is_in_doubt(self.by_form(point)) or self._is_excluded(point) or not self._has_host(point):
            return False
        return not self._is_answered(point)

    def _is_answered(self, point: Point) -> bool:
        return self.traced(point) is not None or way_of(point) in self.untraced

    def _has_host(self, point: Point) -> bool:
        """Whether the host's memory has room for a divided model; on a CPU that is the device's, and counted."""
        device = self._draft.device
        if point.sharding != "fsdp" or device.kind == "cpu" or device.host_bytes is None:
            return True
        return host_bytes(at(self._draft, point)) <= device.host_bytes

    def _is_in_doubt(self, form: MemoryEstimate) -> bool:
        """Whether the trace could still find room for what the formula says of the tensors."""
        beside = form.process.low - form.reserved.low
        return form.reserved.low <= _DOUBTFUL * (self._limit - beside)

    def _is_excluded(self, point: Point) -> bool:
        return any(self._needs_more(point, *one) for one in self._excluded)

    def _needs_more(self, point: Point, other: Point, because: _Because) -> bool:
        """Whether a point needs at least what another one does, in the phases that were too large there."""
        if _kin(point) != _kin(other):
            return False
        if point.devices > other.devices or self._kept(point) < self._kept(other):
            return False
        if self._adds_up(other) and not self._adds_up(point):  # sums of gradients wait beside those that are computed
            return False
        trains = point.micro_batch >= other.micro_batch and (point.tokens or 0) >= (other.tokens or 0)
        measures = point.eval_batch >= other.eval_batch
        return {"training": trains, "measuring": measures, "either": trains and measures}[because]

    def _adds_up(self, point: Point) -> bool:
        """Whether a step has several micro-batches on a device, whatever is evaluated."""
        training = replace(point, eval_batch=0)
        if training not in self._accumulates:
            self._accumulates[training] = accumulates(at(self._draft, training))
        return self._accumulates[training]

    def _kept(self, point: Point) -> float:
        """Bytes on the device that the optimiser remembers of a weight."""
        return 0.0 if optimizer_card(point.optimizer).paged else bytes_per_weight(at(self._draft, point))


def _kin(point: Point) -> tuple[object, ...]:
    return tuple(getattr(point, name) for name in _KIN)


def way_of(point: Point) -> Way:
    """What of a point decides whether it can be traced."""
    return tuple((name, getattr(point, name)) for name in (*_KIN, "optimizer"))


def _measures(memory: MemoryEstimate) -> bool:
    return memory.peak_phase.startswith(_MEASURING)


def _reason(memory: MemoryEstimate) -> _Because:
    """Which phases make a point too large.

    Where the tensors alone aren't too many, but what an allocator makes of them, those that need a tenth more than the
    others; where none do, nobody knows.
    """
    peaks = {True: 0, False: 0}
    for phase in memory.phases:
        measures = phase.phase.startswith(_MEASURING)
        peaks[measures] = max(peaks[measures], phase.peak_bytes)
    is_clear = max(peaks.values()) >= _CLEARLY * min(peaks.values())
    for_tensors = memory.verdict == "does not fit" or memory.reserved.high > memory.reserved.expected
    if not (is_clear or for_tensors):
        return "either"
    return "measuring" if _measures(memory) else "training"
