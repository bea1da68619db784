"""How the job is run where the recipe leaves that open, and whether it fits into memory.

The pass takes the fastest point that fits. It can't ask the trace itself: it names the points that its choice hangs on,
and runs again with their answers, until the point that it takes was traced and every faster one is out of question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ftc.compiler.draft import Draft
from ftc.compiler.memory.eval_passes import usual_rows
from ftc.compiler.memory.memory import by_closed_form, limit_of, may_run
from ftc.compiler.memory.uncounted import uncounted_parts
from ftc.compiler.search.attention_kernels import model_obstacle
from ftc.compiler.search.candidates import Point, at, packing_obstacle, packings, point_of, share_of_batch
from ftc.compiler.search.device_counts import on_devices
from ftc.compiler.search.optimizer_choice import with_kernel
from ftc.compiler.search.ranking import TOLD_APART, by_speed, pace_of
from ftc.compiler.search.search import Found, fastest_that_fits, way_of
from ftc.spec.documents.memory import MemoryEstimate
from ftc.spec.documents.plan import Check
from ftc.spec.optimizers import optimizer_card

__all__ = ["fit_budget"]

_SMALLEST = "the smallest there is, and it does not fit"
_NOTED_GAP = 0.05
"""A difference between closed form and trace that a reader should know of."""


def fit_budget(draft: Draft) -> Draft:
    """Settles what a point settles, estimates memory, and refuses what does not fit."""
    return _judge(_choose_point(_without_absent_trace(draft)))


def _without_absent_trace(draft: Draft) -> Draft:
    """Asks no further when no point can be traced here; one that can't be alone counts by the closed form alone."""
    reasons = [answer.reason for answer in (draft.traces or {}).values() if answer.for_every_job]
    return replace(draft, traces=None, untraced=reasons[0] or "no reason was given") if reasons else draft


def _choose_point(draft: Draft) -> Draft:
    points = by_speed(draft)
    found = fastest_that_fits(draft, points)
    traced = sum(answer.result is not None for answer in (draft.traces or {}).values())
    memory = found.memory.model_copy(update={"ways": found.looked_at, "traces": traced})
    uncounted = any(one.code == "FTC295" for one in draft.diagnostics)  # refused, whatever a trace would say
    draft = _take_rows(_take_devices(draft, found, points), found.point, fits=found.fits)
    draft = _take_optimizer(_take_attention(draft, found.point), found.point, fits=found.fits)
    draft = _take_sharding(_take_packing(draft, found.point), found.point, fits=found.fits)
    draft = _with_untraced(draft, found, points)
    return replace(draft, memory=memory, questions=() if uncounted else found.questions)


def _with_untraced(draft: Draft, found: Found, points: Sequence[Point]) -> Draft:
    """Why the point taken isn't traced; else which others aren't, since the choice rests on the closed form there."""
    if found.questions or not found.untraced:
        return draft
    if (reason := found.untraced.get(way_of(found.point))) is not None and found.memory.method == "closed form":
        return replace(draft, untraced=reason)
    every = {part for point in points for part in way_of(point)}
    shared = set.intersection(*map(set, found.untraced))
    telling = sorted(f"{name} {value}" for name, value in shared if any(n == name and v != value for n, v in every))
    which = f"with {' and '.join(telling)}" if telling else f"of {len(found.untraced)} kinds"
    reason = next(iter(found.untraced.values()))
    return draft.miss(f"memory by trace of ways to run the job {which}: {reason}; they count by the closed form")


def _take_devices(draft: Draft, found: Found, points: Sequence[Point]) -> Draft:
    """How many devices share the run, and what follows from it, where the recipe leaves that open."""
    if draft.recipe.budget.devices != "auto":
        return draft
    draft = on_devices(draft, found.point.devices, _devices_reason(draft, found, points))
    if draft.recipe.eval.batch_size == "auto":
        draft = draft.derive("eval.batch_size", *usual_rows(draft))
    return draft


def _devices_reason(draft: Draft, found: Found, points: Sequence[Point]) -> str:
    """Why so many devices: by what was left to choose, and by the roofline."""
    count, counts = found.point.devices, sorted({point.devices for point in points})
    if len(counts) == 1:
        return "all that this machine has" if draft.device.count == count else "this job leaves no other number"
    if not found.fits:
        return _SMALLEST
    among = f"of {counts[0]} to {counts[-1]}"
    if count in found.too_dear:
        return f"the cheapest {among}: none keeps the budget's cost for certain"
    kept = " and keeps the budget's cost" if found.too_dear else ""
    return f"the fastest {among} that fits{kept}{_compared(draft, found.point, points)}"


def _compared(draft: Draft, point: Point, points: Sequence[Point]) -> str:
    """The pace of a point beside the best on the least number of devices, or on more, whether or not that fits."""
    seconds, least = pace_of(draft), min(one.devices for one in points)
    other = next(one for one in points if (one.devices == least) is (point.devices > least))
    part = seconds(at(draft, point)) / seconds(at(draft, other))
    if point.devices == least:
        return ": by the roofline more save less than a tenth" if part < TOLD_APART else ""
    fewest = f"the fastest way on {least}"
    return f": by the roofline in {part:.0%} of the time of {fewest}" if part < 1 else f": {fewest} does not"


def _take_rows(draft: Draft, point: Point, *, fits: bool) -> Draft:
    train, (_, source) = draft.recipe.train, limit_of(draft)
    if train.micro_batch == "auto":
        share, count = share_of_batch(draft), draft.values["train.world_size"]
        whole = "the whole batch fits" if count == 1 else "a device's whole share of the batch fits"
        reason = whole if point.micro_batch == share else f"the fastest part of {share} that fits {source}"
        draft = draft.derive("train.micro_batch", point.micro_batch, reason if fits else _SMALLEST)
    else:
        draft = draft.take("train.micro_batch")
    if train.activation_checkpointing == "auto":
        reason = "the fastest way that fits is with it" if point.checkpointing else "the job fits without it"
        reason = reason if fits else _SMALLEST
        draft = draft.derive("train.activation_checkpointing", point.checkpointing, reason)
    else:
        draft = draft.take("train.activation_checkpointing")
    if point.eval_batch != draft.values["eval.batch_size"]:
        draft = draft.derive(
            "eval.batch_size", point.eval_batch, f"the largest that fits {source}" if fits else _SMALLEST
        )
    return draft


def _take_attention(draft: Draft, point: Point) -> Draft:
    """The kernel, where another one than the usual is taken."""
    if point.attention == draft.values["model.attention"]:
        return draft
    reason = "flash-attn is installed, and the job fits or is faster with it"
    if (obstacle := model_obstacle(draft, "sdpa")) is not None:
        reason = f"flash-attn is installed; {obstacle}"
    return draft.derive("model.attention", point.attention, reason)


def _take_optimizer(draft: Draft, point: Point, *, fits: bool) -> Draft:
    if draft.recipe.train.optimizer.kind != "auto":
        return draft
    reason = "AdamW in float32, which rounds nothing, and fits"
    card = optimizer_card(point.optimizer)
    if card.is_rounded:
        reason = "nothing fits with what AdamW remembers in float32: 8 bits of it round each step"
    elif not fits:
        reason = _SMALLEST
    elif card.paged:
        reason = "AdamW in float32, whose memory the driver may move to the processor's: the fastest such way that fits"
    return with_kernel(draft.derive("train.optimizer.kind", point.optimizer, reason))


def _take_sharding(draft: Draft, point: Point, *, fits: bool) -> Draft:
    """What each of several devices holds, where that isn't what exchanges least."""
    if point.sharding != draft.values["train.sharding"]:
        reason = "the fastest way that fits divides the model" if fits else _SMALLEST
        draft = draft.derive("train.sharding", point.sharding, reason)
    if point.offload != draft.values["train.offload"]:
        reason = "the fastest way that fits keeps parts with the host" if fits else _SMALLEST
        draft = draft.derive("train.offload", point.offload, reason)
    return draft


def _take_packing(draft: Draft, point: Point) -> Draft:
    """Whether rows share sequences, and how many tokens go through the model at once."""
    if draft.recipe.train.packing == "auto" and packing_obstacle(draft) is None:
        draft = draft.derive("train.packing", point.packs, _packing_reason(draft, point))
    if point.tokens == draft.recipe.train.micro_batch_tokens:
        return draft
    whole = point.tokens == point.micro_batch * draft.splits["train"].length_max
    reason = (
        "a micro-batch of the longest rows, in one sequence"
        if whole
        else "attention over longer sequences costs more than padding"
    )
    return draft.derive("train.micro_batch_tokens", point.tokens, reason)


def _packing_reason(draft: Draft, point: Point) -> str:
    """The packed way by the padded one, for the same micro-batch."""
    seconds = pace_of(draft)
    padded = replace(point, packs=False, tokens=draft.recipe.train.micro_batch_tokens)
    packed = [point] if point.packs else list(packings(draft, padded))
    part = min(seconds(at(draft, one)) for one in packed) / seconds(at(draft, padded))
    return f"by the roofline packed rows take {part:.0%} of the time of padded ones"


def _judge(draft: Draft) -> Draft:
    """What there is to say about the estimate: its method where it is the lesser one, a gap, a refusal."""
    memory = draft.memory
    assert memory is not None
    if draft.questions:  # the answers decide
        return draft
    if memory.method == "trace":
        draft = _cross_checked(draft, memory)
    else:
        draft = _with_what_is_missing(draft)
    return draft if may_run(draft, memory) else _refused(draft, memory)


def _with_what_is_missing(draft: Draft) -> Draft:
    """Says why there is no trace, and what of the model the closed form has no terms for."""
    if draft.untraced:
        draft = draft.miss(f"memory by trace: {draft.untraced}")
    if parts := uncounted_parts(draft.model):
        draft = draft.miss(
            f"memory of {', '.join(parts)}: the closed form knows attention, feed-forward parts and norms"
        )
    return draft


def _cross_checked(draft: Draft, memory: MemoryEstimate) -> Draft:
    """Notes where the closed form, which knows nothing of the trace, says something else."""
    form = by_closed_form(draft, point_of(draft)).allocated_bytes
    gap = form / memory.allocated_bytes - 1
    if abs(gap) <= _NOTED_GAP:
        return draft
    words = (
        f"the closed form says {abs(gap):.0%} {'more' if gap > 0 else 'less'} than the trace, on which the plan rests"
    )
    return replace(draft, checks=(*draft.checks, Check(name="memory", code=None, result=words)))


def _refused(draft: Draft, memory: MemoryEstimate) -> Draft:
    at_ = "budget.vram" if draft.recipe.budget.vram is not None else "model.base"
    limit = f"{memory.limit_source} is {_gib(memory.limit_bytes)} GiB"
    notes = f"peak at {memory.peak_phase}, by {memory.method}"
    if memory.verdict == "tight":
        return draft.find(
            "FTC405",
            f"the run needs {_gib(memory.process.low)} to {_gib(memory.process.high)} GiB, {limit}",
            at_,
            help="`budget: {allow_tight: true}` runs it all the same",
            notes=notes,
        )
    help = "choose a smaller base, shorter rows (`data.max_length`) or a larger budget"
    return draft.find("FTC402", f"the run needs {_gib(memory.peak_bytes)} GiB, {limit}", at_, help=help, notes=notes)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"
