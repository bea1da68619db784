"""How the job is run where the recipe leaves that open, and whether it fits into memory.

The pass takes the fastest candidate that fits. It can't ask the trace itself: it names the candidates that its choice
hangs on, and runs again with their answers, until the one that it takes was traced and every faster one is out of
question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.expert_choices import keeps_experts_whole
from ftc.compiler.memory.memory import by_closed_form, may_run
from ftc.compiler.memory.uncounted import uncounted_parts
from ftc.compiler.saving_choices import choose_saving
from ftc.compiler.search.candidates import device_counts, packing_obstacle
from ftc.compiler.search.contexts import context_obstacle
from ftc.compiler.search.knobs import Choice, chosen
from ftc.compiler.search.loss_chunks import chunk_obstacle
from ftc.compiler.search.search import CandidateCache, Found, fastest_that_fits, way_of
from ftc.compiler.search.tensors import sharings, tensor_obstacle
from ftc.spec.documents.estimates import MemoryEstimate
from ftc.spec.documents.plan import Check
from ftc.spec.links import has_nvlink
from ftc.spec.shardings import sharding_card

__all__ = ["fit_budget"]

_NOTED_GAP = 0.05
"""A difference between closed form and trace that a reader should know of."""


def fit_budget(draft: Draft, cache: CandidateCache | None = None) -> ClosedDraft:
    """Settles all that the solver chooses, estimates memory, and refuses what does not fit.

    Args:
        draft: With all that doesn't depend on the solver.
        cache: What the pass computed of the same draft before it had the trace's answers; it adds to that.
    """
    draft = _check_tensor(_check_context(_check_chunks(_check_packing(_check_devices(draft)))))
    return _judge(choose_saving(_choose(_without_absent_trace(draft), cache or CandidateCache())))


def _check_devices(draft: Draft) -> Draft:
    """Devices can be counted here where that is left open, and there are two where something is to be shared."""
    device, sharding = draft.device, draft.recipe.train.sharding
    if draft.recipe.budget.devices != "auto":
        return draft
    if not device.local:
        summary = f"`auto` uses this machine's GPUs, and it has no {device.label}"
        return draft.find(
            "FTC295", summary, "budget.devices", help=("write the number of devices, such as `devices: 4`")
        )
    most, nodes = device_counts(draft)[-1], draft.recipe.budget.nodes
    if sharding != "auto" and sharding_card(sharding).lacks_partners(most, nodes) is not None:
        summary = f"`{sharding}` needs several devices, and there is only one {device.label}"
        help = "remove `sharding`, or write the number of devices of the machine that will run the plan: `devices: 2`"
        return draft.find("FTC290", summary, "train.sharding", help=help)
    return draft


def _check_packing(draft: Draft) -> Draft:
    obstacle = packing_obstacle(draft)
    if draft.recipe.train.packing is not True or obstacle is None:
        return draft
    return draft.find("FTC261", f"packing is not possible: {obstacle}", "train.packing", help="remove `packing`")


def _check_context(draft: Draft) -> Draft:
    return _check_groups(draft, "context_parallel", "FTC717", "share a row", lambda _: context_obstacle(draft))


def _check_tensor(draft: Draft) -> Draft:
    return _check_groups(
        draft, "tensor_parallel", "FTC718", "divide each layer", lambda size: tensor_obstacle(draft, size)
    )


def _check_groups(draft: Draft, key: str, code: str, act: str, obstacle_of: Callable[[int], str | None]) -> Draft:
    """Whether devices can do something together in groups, where the recipe names a size of them."""
    asked = getattr(draft.recipe.train, key)
    if asked in ("auto", 1):
        return draft
    path, help = f"train.{key}", f"remove `{key}`"
    if (obstacle := obstacle_of(asked)) is not None:
        return draft.find(code, f"devices can't {act}: {obstacle}", path, help=help)
    count = device_counts(draft)[-1] // draft.recipe.budget.nodes
    if count % asked:  # a number that the recipe names is refused before
        summary = f"groups of {asked} devices {act}, and this plan can use {count} of a machine"
        help = f"write `budget: {{devices: {asked}}}` for a machine that has them, or {help}"
        return draft.find(code, summary, path, help=help)
    return draft


def _check_chunks(draft: Draft) -> Draft:
    obstacle = chunk_obstacle(draft)
    if isinstance(draft.recipe.train.loss_chunk_size, str) or obstacle is None:
        return draft
    help = "remove `loss_chunk_size`"
    return draft.find("FTC265", f"the loss can't be chunked: {obstacle}", "train.loss_chunk_size", help=help)


def _without_absent_trace(draft: Draft) -> Draft:
    """Asks no further when no candidate can be traced here; one that can't be alone counts by the closed form alone."""
    reasons = [answer.reason for answer in (draft.traces or {}).values() if answer.for_every_job]
    return replace(draft, traces=None, untraced=reasons[0] or "no reason was given") if reasons else draft


def _choose(draft: Draft, cache: CandidateCache) -> ClosedDraft:
    found, candidates = _found(draft, cache)
    traced = sum(answer.result is not None for answer in (draft.traces or {}).values())
    memory = found.memory.model_copy(update={"ways": found.looked_at, "traces": traced})
    uncounted = any(one.code == "FTC295" for one in draft.diagnostics)  # refused, whatever a trace would say
    closed = chosen(Choice(draft.at(found.candidate), found, candidates))
    closed = _with_untraced(closed, found, candidates)
    return replace(closed, memory=memory, questions=() if uncounted else found.questions)


def _found(draft: Draft, cache: CandidateCache) -> tuple[Found, Sequence[Candidate]]:
    """What the search found among which candidates; devices have the same rows only where nothing else fits."""
    tries: list[tuple[Found, Sequence[Candidate]]] = []
    for sharing in sharings(draft):
        candidates = cache.by_speed(draft, sharing)
        tries.append((fastest_that_fits(draft, candidates, cache), candidates))
        if tries[-1][0].may_fit:
            return tries[-1]
    return tries[0]  # with what the trace is asked of it, for the figure of the refusal


def _with_untraced(draft: ClosedDraft, found: Found, candidates: Sequence[Candidate]) -> ClosedDraft:
    """Why the one taken isn't traced; else which others aren't, since the choice rests on the closed form there."""
    if found.questions or not found.untraced:
        return draft
    if (reason := found.untraced.get(way_of(found.candidate))) is not None and found.memory.method == "closed form":
        return replace(draft, untraced=reason)
    every = {part for one in candidates for part in way_of(one)}
    shared = set.intersection(*map(set, found.untraced))
    telling = sorted(f"{name} {value}" for name, value in shared if any(n == name and v != value for n, v in every))
    which = f"with {' and '.join(telling)}" if telling else f"of {len(found.untraced)} kinds"
    reason = next(iter(found.untraced.values()))
    return draft.miss(f"memory trace of candidates {which}: {reason}; they use the analytical estimate")


def _judge(draft: ClosedDraft) -> ClosedDraft:
    """What there is to say about the estimate: its method where it is the lesser one, a gap, a refusal."""
    memory = draft.memory
    assert memory is not None
    if draft.questions:  # the answers decide
        return draft
    if memory.exchange_buffers and has_nvlink(draft.device.name) is None:
        unknown = f"whether {draft.device.label} GPUs are linked by NVLink is unknown; the range covers both"
        draft = draft.miss(f"memory of NCCL's buffers: {unknown}")
    if memory.method == "trace":
        draft = _cross_checked(draft, memory)
    else:
        draft = _with_what_is_missing(draft)
    # Where experts can't be quantized, that is said, and a size without it would only mislead.
    return draft if keeps_experts_whole(draft) or may_run(draft, memory) else _refused(draft, memory)


def _with_what_is_missing(draft: ClosedDraft) -> ClosedDraft:
    """Says why there is no trace, and what of the model the closed form has no terms for."""
    if draft.untraced:
        draft = draft.miss(f"memory trace: {draft.untraced}")
    if draft.device.kind == "cuda":
        unknown = (
            "the expected figure has only the tensors, since no log of them is replayed; the high end has room for it"
        )
        draft = draft.miss(f"memory that torch's allocator takes beside tensors: {unknown}")
    if draft.train.loss is not None:
        draft = draft.miss(f"memory of the loss `{draft.train.loss}`: the analytical estimate counts a cross entropy")
    if draft.train.compile:
        draft = draft.miss("memory of compiled layers: estimated as without compiling them")
    if draft.train.kernels:
        draft = draft.miss("memory of fused kernels: the analytical estimate counts torch's own, an upper bound")
    if parts := uncounted_parts(draft.model):
        draft = draft.miss(
            f"memory of {', '.join(parts)}: the analytical estimate covers attention, feed-forward layers and norms"
        )
    return draft


def _cross_checked(draft: ClosedDraft, memory: MemoryEstimate) -> ClosedDraft:
    """Notes where the closed form, which knows nothing of the trace, says something else."""
    form = by_closed_form(draft).allocated_bytes
    gap = form / memory.allocated_bytes - 1
    if abs(gap) <= _NOTED_GAP:
        return draft
    words = (
        f"the analytical estimate is {abs(gap):.0%} {'higher' if gap > 0 else 'lower'} than the memory trace, which "
        "the plan uses"
    )
    return replace(draft, checks=(*draft.checks, Check(name="memory", code=None, result=words)))


def _refused(draft: ClosedDraft, memory: MemoryEstimate) -> ClosedDraft:
    at_ = "budget.vram" if draft.recipe.budget.vram is not None else "model.base"
    limit = f"{memory.limit_source} is {_gib(memory.limit_bytes)} GiB"
    notes = f"peak during {memory.peak_words} ({memory.method_words})"
    if memory.verdict == "tight":
        summary = f"the run needs {_gib(memory.process.low)} to {_gib(memory.process.high)} GiB, {limit}"
        help = "accept the risk with `budget: {allow_tight: true}`"
        return draft.find("FTC405", summary, at_, help=help, notes=notes)
    help = "choose a smaller base model, shorter rows (`data.max_length`) or a larger budget"
    return draft.find("FTC402", f"the run needs {_gib(memory.peak_bytes)} GiB, {limit}", at_, help=help, notes=notes)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"
