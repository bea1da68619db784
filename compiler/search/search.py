"""The search for the fastest candidate that fits: formulas first, then the trace for those that they leave open.

Candidates are tried in the order of their speed, but for numbers of devices that break the budget's cost. The formula
knows within a tenth or so what the trace would say, so it sorts out most of them. The trace is asked of the candidate
that would be taken, and of a faster one that the formula isn't sure to exclude, which needs least of those like it;
what a trace says of one candidate excludes all that need at least as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.batch_shapes import accumulates
from ftc.compiler.memory.host_memory import host_bytes
from ftc.compiler.memory.memory import by_closed_form, by_trace, may_run, question
from ftc.compiler.rules.sharing_rules import Sharing
from ftc.compiler.search.candidates import by_speed
from ftc.compiler.time.run_time import cost_of, judge_estimate, price_of, run_time
from ftc.compiler.time.run_work import run_work
from ftc.compiler.weights import bytes_per_weight
from ftc.spec.documents.estimates import MemoryEstimate
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob
from ftc.spec.knobs import KNOBS, Knob
from ftc.spec.optimizers import optimizer_card

__all__ = ["CandidateCache", "CostBound", "Found", "Way", "fastest_that_fits", "way_of"]

_DOUBTFUL = 1.15
"""A candidate whose closed form is at most so far over the limit may still fit by trace."""
_CLEARLY = 1.1
"""Times the other phases that one takes which alone is to blame."""
_MEASURING = ("evaluation", "generation", "grade")
"""Phases of evaluations, which depend on the rows of an evaluation batch and not on those of a training step."""


_Because = Literal["training", "measuring", "either"]
Way = tuple[tuple[str, object], ...]
"""What of a candidate decides whether it can be traced, by name: all that isn't a size."""


@dataclass(frozen=True, slots=True)
class CandidateCache:
    """What has been computed of a draft's candidates; it holds whatever the trace answers, so a plan computes it once.

    Attributes:
        ranked: Candidates by their speed, by which devices have the same rows.
        forms: Their analytical estimates.
        too_large: Those of no evaluation batch whose training is out of question by the formula.
        jobs: What the trace is asked of them.
        keys: The keys of these jobs.
        accumulates: Whether a step has several micro-batches on a device, by the candidate of no evaluation batch.
    """

    ranked: dict[Sharing, list[Candidate]] = field(default_factory=dict)
    forms: dict[Candidate, MemoryEstimate] = field(default_factory=dict)
    too_large: dict[Candidate, MemoryEstimate] = field(default_factory=dict)
    jobs: dict[Candidate, TraceJob] = field(default_factory=dict)
    keys: dict[Candidate, str] = field(default_factory=dict)
    accumulates: dict[Candidate, bool] = field(default_factory=dict)

    def by_speed(self, draft: Draft, sharing: Sharing) -> list[Candidate]:
        """All candidates that the recipe allows, the fastest first."""
        if sharing not in self.ranked:
            self.ranked[sharing] = by_speed(draft, sharing)
        return self.ranked[sharing]


class Found(NamedTuple):
    """What the search found.

    Attributes:
        candidate: The fastest that fits, or the smallest where none does.
        memory: What it needs.
        fits: Whether it does.
        looked_at: Candidates that the recipe allows.
        too_dear: Numbers of devices whose fastest way that fits breaks the budget's cost.
        questions: What the trace is to be asked before this holds.
        may_fit: Whether it fits, or the answer to a question might say of one of the candidates that it does.
        untraced: Why ways to run the job count by the formula, by what these ways have in common.
    """

    candidate: Candidate
    memory: MemoryEstimate
    fits: bool
    looked_at: int
    too_dear: frozenset[int]
    questions: tuple[TraceJob, ...]
    may_fit: bool
    untraced: Mapping[Way, str]


def fastest_that_fits(draft: Draft, candidates: Sequence[Candidate], cache: CandidateCache | None = None) -> Found:
    """Tries candidates, the fastest of which is the first; where all that fit are too dear the cheapest is taken.

    Args:
        draft: Without a candidate.
        candidates: All of one sharing of rows.
        cache: What was computed of this draft before, whatever the trace has answered since.
    """
    search, counts = _Search(draft, cache or CandidateCache()), frozenset(candidate.devices for candidate in candidates)
    bound, dear = CostBound(draft, counts), dict[int, tuple[int, MemoryEstimate]]()

    def found(place: int, memory: MemoryEstimate, before: int) -> Found:
        """The candidate at a place; of numbers that are too dear only faster ways would be cheaper."""
        candidate, ranked = candidates[place], enumerate(candidates[:before])
        faster = [one for n, one in ranked if one.devices not in dear or n < dear[one.devices][0]]
        questions = search.questions(faster, candidate)
        fits = may_run(draft, memory)
        may_fit = fits or (bool(questions) and any(map(search.may_fit, (candidate, *faster))))
        return Found(candidate, memory, fits, len(candidates), frozenset(dear), questions, may_fit, search.untraced)

    for place, candidate in enumerate(candidates):
        memory = None if candidate.devices in dear else search.estimate(candidate)
        if memory is None or not may_run(draft, memory):
            continue
        if bound.keeps(candidate):
            return found(place, memory, place)
        dear[candidate.devices] = place, memory
    if (cheapest := bound.least()) is not None:
        place, memory = dear[cheapest]
        return found(place, memory, place)
    nearest = min(range(len(candidates)), key=lambda n: (search.by_form(candidates[n]).process.low, n))
    return found(nearest, search.traced(candidates[nearest]) or search.by_form(candidates[nearest]), len(candidates))


class _Search:
    def __init__(self, draft: Draft, cache: CandidateCache) -> None:
        self._draft = draft
        self._cache = cache
        self._traced: dict[Candidate, MemoryEstimate] = {}
        self.untraced: dict[Way, str] = {}
        self._excluded: list[tuple[Candidate, _Because]] = []
        """Candidates that don't fit by trace, and why."""

    def by_form(self, candidate: Candidate) -> MemoryEstimate:
        """The analytical estimate; what is too much to train is so with every evaluation batch."""
        training, known = replace(candidate, eval_batch=0), self._cache
        if (found := known.too_large.get(training) or known.forms.get(candidate)) is not None:
            return found
        known.forms[candidate] = found = by_closed_form(self._draft.at(candidate))
        if not self._is_in_doubt(found) and not _measures(found):
            known.too_large[training] = found
        return found

    def _answer(self, candidate: Candidate) -> TraceAnswer | None:
        """What the trace said of a candidate; None where it wasn't asked."""
        if not self._draft.traces:
            return None
        if candidate not in self._cache.keys:
            self._cache.keys[candidate] = self._job(candidate).key()
        return self._draft.traces.get(self._cache.keys[candidate])

    def _job(self, candidate: Candidate) -> TraceJob:
        if candidate not in self._cache.jobs:
            self._cache.jobs[candidate] = question(self._draft.at(candidate))
        return self._cache.jobs[candidate]

    def traced(self, candidate: Candidate) -> MemoryEstimate | None:
        """The trace's answer, where it was asked; one that is too much excludes others, and so does a failure.

        What can't be traced hangs on the code that runs and not on sizes, so the formula stands for all of that way.
        """
        if candidate in self._traced:
            return self._traced[candidate]
        if (answer := self._answer(candidate)) is None:
            return None
        if answer.result is None:
            self.untraced.setdefault(way_of(candidate), answer.reason or "no reason was given")
            return None
        self._traced[candidate] = found = by_trace(self._draft.at(candidate), answer.result)
        if not may_run(self._draft, found):
            self._excluded.append((candidate, _reason(found)))
        return found

    def estimate(self, candidate: Candidate) -> MemoryEstimate | None:
        """What a candidate needs; None where the formula or another candidate excludes it."""
        if (
            not self._is_in_doubt(self.by_form(candidate))
            or self._is_excluded(candidate)
            or not self._has_host(candidate)
        ):
            return None
        return self.traced(candidate) or self.by_form(candidate)

    def questions(self, faster: Sequence[Candidate], taken: Candidate) -> tuple[TraceJob, ...]:
        """The candidate taken, and the faster one that tells most of those that may fit, where they aren't traced."""
        if self._draft.traces is None:
            return ()
        open_ = [one for one in faster if one != taken and self.may_fit(one)]
        wanted = [*self._telling(open_), *([] if self._is_answered(taken) else [taken])]
        return tuple(map(self._job, wanted))

    def _telling(self, open_: Sequence[Candidate]) -> list[Candidate]:
        """Of the ways like the slowest the one that needs least, since what is too much for it is so for the others.

        It tries the most rows at once that the formula doesn't make the largest moment.
        """
        if not open_:
            return []
        kin = [one for one in open_ if _kin(one) == _kin(open_[-1])]
        least = min(reversed(kin), key=lambda one: self.by_form(replace(one, eval_batch=1)).process.low)
        alike = [one for one in kin if replace(one, eval_batch=0) == replace(least, eval_batch=0)]
        return [next((one for one in alike if not _measures(self.by_form(one))), alike[-1])]

    def may_fit(self, candidate: Candidate) -> bool:
        """Whether a trace that wasn't asked yet might find that a candidate fits."""
        if (
            not self._is_in_doubt(self.by_form(candidate))
            or self._is_excluded(candidate)
            or not self._has_host(candidate)
        ):
            return False
        return not self._is_answered(candidate)

    def _is_answered(self, candidate: Candidate) -> bool:
        return self.traced(candidate) is not None or way_of(candidate) in self.untraced

    def _has_host(self, candidate: Candidate) -> bool:
        """Whether the host's memory has room for a divided model; on a CPU that is the device's, and counted."""
        device = self._draft.device
        if not candidate.is_divided or device.kind == "cpu" or device.host_bytes is None:
            return True
        return host_bytes(self._draft.at(candidate)) <= device.host_bytes

    def _is_in_doubt(self, form: MemoryEstimate) -> bool:
        """Whether the trace could still find room for what the formula says of the tensors."""
        beside = form.process.low - form.reserved.low
        return form.reserved.low <= _DOUBTFUL * (form.limit_bytes - beside)

    def _is_excluded(self, candidate: Candidate) -> bool:
        return any(self._needs_more(candidate, *one) for one in self._excluded)

    def _needs_more(self, candidate: Candidate, other: Candidate, because: _Because) -> bool:
        """Whether a candidate needs at least what another one does, in the phases that were too large there."""
        if not all(self._is_more(knob, candidate, other, because) for knob in KNOBS):
            return False
        return self._adds_up(candidate) or not self._adds_up(other)  # sums of gradients wait beside new ones

    def _is_more(self, knob: Knob, candidate: Candidate, other: Candidate, because: _Because) -> bool:
        """Whether a candidate's value of a knob lets it need no less than another one."""
        value, beside = getattr(candidate, knob.name), getattr(other, knob.name)
        match knob.memory:
            case "kind":
                return bool(value == beside)
            case "training":
                return because == "measuring" or (value or 0) >= (beside or 0)
            case "evaluation":
                return because == "training" or value >= beside
            case "shared":
                return bool(value <= beside)
            case "state":
                return self._kept(candidate) >= self._kept(other)

    def _adds_up(self, candidate: Candidate) -> bool:
        """Whether a step has several micro-batches on a device, whatever is evaluated."""
        training, known = replace(candidate, eval_batch=0), self._cache.accumulates
        if training not in known:
            known[training] = accumulates(self._draft.at(training))
        return known[training]

    def _kept(self, candidate: Candidate) -> float:
        """Bytes on the device that the optimizer keeps of a weight."""
        card = optimizer_card(candidate.optimizer)
        return 0.0 if card.paged else bytes_per_weight(self._draft, card)


def _kin(candidate: Candidate) -> tuple[object, ...]:
    """What candidates have in common of which one can be said to need more than another."""
    return tuple(getattr(candidate, knob.name) for knob in KNOBS if knob.memory == "kind")


def way_of(candidate: Candidate) -> Way:
    """What of a candidate decides whether it can be traced."""
    return tuple((knob.name, getattr(candidate, knob.name)) for knob in KNOBS if knob.memory in ("kind", "state"))


def _measures(memory: MemoryEstimate) -> bool:
    return memory.peak_phase.startswith(_MEASURING)


def _reason(memory: MemoryEstimate) -> _Because:
    """Which phases make a candidate too large.

    Where the tensors alone aren't too many, but what an allocator makes of them, those that need a tenth more than the
    others; where none do, nobody knows.
    """
    peaks = {True: 0, False: 0}
    for phase in memory.phases:
        measures = phase.phase.startswith(_MEASURING)
        peaks[measures] = max(peaks[measures], phase.peak_bytes)
    is_clear = max(peaks.values()) >= _CLEARLY * min(peaks.values())
    for_tensors = memory.process.low > memory.limit_bytes or memory.reserved.expected == memory.allocated_bytes
    if not (is_clear or for_tensors):
        return "either"
    return "measuring" if _measures(memory) else "training"


class CostBound:
    """Whether a number of devices keeps `budget.cost`, told by the fastest way with it that fits.

    More devices finish sooner and cost more an hour. A number keeps the bound where the highest figure of the run's
    cost does; slower ways with the same number cost more.

    Args:
        draft: Without a candidate.
        counts: Numbers of devices to choose among; of a single one nothing is asked.
    """

    def __init__(self, draft: Draft, counts: frozenset[int]) -> None:
        limit = draft.recipe.budget.cost
        counts_cost = limit is not None and price_of(draft) is not None and len(counts) > 1
        self._draft, self._limit = draft, limit.amount if limit is not None and counts_cost else None
        self._over: dict[int, float] = {}

    def keeps(self, candidate: Candidate) -> bool:
        """Whether the fastest way with a number of devices that fits keeps the bound; if not, that is remembered."""
        if self._limit is None:
            return True
        cost = self._most(self._draft.at(candidate))
        if cost is None or cost <= self._limit:
            return True
        self._over[candidate.devices] = cost
        return False

    def least(self) -> int | None:
        """Of the numbers that break it the one that costs least; None where none does."""
        return min(self._over, key=lambda count: (self._over[count], count), default=None)

    def _most(self, draft: ClosedDraft) -> float | None:
        """The highest figure of what a run costs; None where nothing is known of the device's speed."""
        found, judge = run_time(draft, run_work(draft)), judge_estimate(draft)
        if found is None:
            return None
        asking = judge.seconds.high if judge is not None and judge.seconds is not None else 0.0
        seconds = asking + sum(phase.seconds.high for phase in found.phases)
        cost = cost_of(draft, seconds, judge.cost_high if judge is not None else None)
        return cost.amount if cost else None
