"""Micro-batch, recomputing and the evaluation's batch, and whether the run fits into memory.

The pass looks at points in the order of their speed and takes the first that fits. What it knows of a point is the
closed form, or the trace's answer where there is one. It can't ask itself: it names the points that its choice hangs
on, and runs again with their answers, until the point that it takes was traced and every faster one is out of question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ftc.compiler.budget.memory import Point, by_closed_form, by_trace, limit_of, question
from ftc.compiler.budget.pace import by_speed
from ftc.compiler.draft import Draft
from ftc.spec.memory import MemoryEstimate
from ftc.spec.plan import Check
from ftc.spec.trace import TraceJob

__all__ = ["fit_budget"]

_DOUBTFUL = 1.15
"""A point whose closed form is at most so far over the limit may still fit by trace."""
_NOTED_GAP = 0.05
"""A difference between closed form and trace that a reader should know of."""


def fit_budget(draft: Draft) -> Draft:
    """Settles micro-batch and checkpointing, estimates memory, and refuses what does not fit."""
    return _judge(_choose_point(_without_failed_trace(draft)))


def _without_failed_trace(draft: Draft) -> Draft:
    """Falls back on the closed form for all points when one can't be traced: two methods are never mixed."""
    reasons = [answer.reason for answer in (draft.traces or {}).values() if answer.result is None]
    return replace(draft, traces=None, untraced=reasons[0] or "no reason was given") if reasons else draft


def _points(draft: Draft) -> list[Point]:
    """All points that the recipe allows, the fastest first."""
    train, batch = draft.recipe.train, draft.recipe.train.batch_size
    share = -(-batch // draft.values["train.world_size"])
    sizes = [size for size in range(share, 0, -1) if share % size == 0]
    sizes = sizes if train.micro_batch == "auto" else [train.micro_batch]
    recomputing = train.activation_checkpointing
    recomputes_never = draft.recipe.strategy.kind == "prefix_tuning"  # a pass done again would lengthen its memory
    modes = [recomputing] if recomputing != "auto" else [False] if recomputes_never else [False, True]
    return by_speed(
        draft, (Point(size, mode, rows) for mode in modes for size in sizes for rows in _eval_batches(draft))
    )


def _eval_batches(draft: Draft) -> Iterator[int]:
    rows: int = draft.values["eval.batch_size"]
    yield rows
    while draft.recipe.eval.batch_size == "auto" and rows > 1:
        rows //= 2
        yield rows


def _known(draft: Draft, point: Point) -> MemoryEstimate:
    return by_trace(draft, point) or by_closed_form(draft, point)


def _is_allowed(draft: Draft, memory: MemoryEstimate) -> bool:
    return memory.verdict == "fits" or (memory.verdict == "tight" and draft.recipe.budget.allow_tight)


def _choose_point(draft: Draft) -> Draft:
    points = _points(draft)
    seen: list[MemoryEstimate] = []
    for point in points:
        seen.append(_known(draft, point))
        if _is_allowed(draft, seen[-1]):
            break
    place = len(seen) - 1
    fits = _is_allowed(draft, seen[place])
    if not fits:  # the one that comes nearest
        place = min(range(len(points)), key=lambda n: (seen[n].process.low, n))
    draft = replace(draft, memory=seen[place], questions=_questions(draft, points, seen, place))
    return _take(draft, points[place], fits=fits)


def _questions(
    draft: Draft, points: Sequence[Point], seen: Sequence[MemoryEstimate], place: int
) -> tuple[TraceJob, ...]:
    """The point taken, and the last faster one that the closed form isn't sure to exclude, where they aren't traced."""
    if draft.traces is None:
        return ()
    limit, _ = limit_of(draft)
    untraced = [n for n in range(place) if seen[n].method != "trace" and seen[n].process.low <= _DOUBTFUL * limit]
    wanted = [*untraced[-1:], *([place] if seen[place].method != "trace" else [])]
    return tuple(question(draft, points[n]) for n in wanted)


def _take(draft: Draft, point: Point, *, fits: bool) -> Draft:
    train, (_, source) = draft.recipe.train, limit_of(draft)
    if train.micro_batch == "auto":
        share, count = -(-train.batch_size // draft.values["train.world_size"]), draft.values["train.world_size"]
        whole = "the whole batch fits" if count == 1 else "a device's whole share of the batch fits"
        reason = whole if point.micro_batch == share else f"the fastest part of {share} that fits {source}"
        draft = draft.derive("train.micro_batch", point.micro_batch, reason if fits else "the smallest there is")
    else:
        draft = draft.take("train.micro_batch")
    if train.activation_checkpointing == "auto":
        reason = "the job fits only with it" if point.checkpointing else "the job fits without it"
        draft = draft.derive("train.activation_checkpointing", point.checkpointing, reason)
    else:
        draft = draft.take("train.activation_checkpointing")
    if point.eval_batch != draft.values["eval.batch_size"]:
        draft = draft.derive("eval.batch_size", point.eval_batch, f"the largest that fits {source}")
    return draft


def _judge(draft: Draft) -> Draft:
    """What there is to say about the estimate: its method where it is the lesser one, a gap, a refusal."""
    memory = draft.memory
    assert memory is not None
    if draft.questions:  # the answers decide
        return draft
    if memory.method == "trace":
        draft = _cross_checked(draft, memory)
    elif draft.untraced:
        draft = draft.miss(f"memory by trace: {draft.untraced}")
    return draft if _is_allowed(draft, memory) else _refused(draft, memory)


def _cross_checked(draft: Draft, memory: MemoryEstimate) -> Draft:
    """Notes where the closed form, which knows nothing of the trace, says something else."""
    values = draft.values
    point = Point(values["train.micro_batch"], values["train.activation_checkpointing"], values["eval.batch_size"])
    form = by_closed_form(draft, point).allocated_bytes
    gap = form / memory.allocated_bytes - 1
    if abs(gap) <= _NOTED_GAP:
        return draft
    words = (
        f"the closed form says {abs(gap):.0%} {'more' if gap > 0 else 'less'} than the trace, on which the plan rests"
    )
    return replace(draft, checks=(*draft.checks, Check(name="memory", code=None, result=words)))


def _refused(draft: Draft, memory: MemoryEstimate) -> Draft:
    at = "budget.vram" if draft.recipe.budget.vram is not None else "model.base"
    limit = f"{memory.limit_source} is {_gib(memory.limit_bytes)} GiB"
    notes = f"peak at {memory.peak_phase}, by {memory.method}"
    if memory.verdict == "tight":
        return draft.find(
            "FTC405",
            f"the run needs {_gib(memory.process.low)} to {_gib(memory.process.high)} GiB, {limit}",
            at,
            help="`budget: {allow_tight: true}` runs it all the same",
            notes=notes,
        )
    help = "choose a smaller base, shorter rows (`data.max_length`) or a larger budget"
    return draft.find("FTC402", f"the run needs {_gib(memory.peak_bytes)} GiB, {limit}", at, help=help, notes=notes)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"
