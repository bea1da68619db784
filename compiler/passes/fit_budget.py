"""The micro-batch, and whether the run fits memory, time and money."""

from __future__ import annotations

from dataclasses import replace

from ftc.compiler.budget.closed_form import Job, Usage, estimate
from ftc.compiler.draft import Draft
from ftc.compiler.trainable import num_trainable, targeted
from ftc.spec.base import Money
from ftc.spec.plan import MemoryEstimate, TimeEstimate

__all__ = ["fit_budget"]

_WEIGHT_BYTES = {"float32": 4.0, "bfloat16": 2.0}
_NF4_BYTES = {True: 0.5 + 1 / 64 + 4 / (64 * 256), False: 0.5 + 4 / 64}
"""Bytes of a 4-bit weight with its block's scale, with and without double quantisation."""
_TIME_SPREAD = 0.15
"""How far either side of the mean earlier runs lie; the range of a time estimate."""


def fit_budget(draft: Draft) -> Draft:
    """Settles micro-batch and checkpointing, estimates memory, time, cost and disk, and refuses what does not fit."""
    draft = _choose_micro_batch(draft)
    return _estimate_disk(_estimate_time(_estimate_memory(draft)))


def _job(draft: Draft, micro_batch: int, checkpointing: bool) -> Job:
    train = draft.splits["train"]
    full = draft.recipe.strategy.kind == "full"
    precision = draft.values["train.precision"]
    weight_bytes = 4.0 if full else _WEIGHT_BYTES[precision]
    if draft.recipe.strategy.kind == "qlora":
        weight_bytes = _NF4_BYTES[draft.recipe.strategy.double_quantization]
    return Job(
        model=draft.model,
        trained_linear={} if full else targeted(draft),
        rank=0 if full else draft.values["strategy.adapter.rank"],
        num_trainable=num_trainable(draft),
        head_width=len(draft.labels) or draft.model.vocab_size,
        head_rows=micro_batch if draft.labels else micro_batch * train.supervised_max,
        tokens=micro_batch * train.length_max,
        weight_bytes=weight_bytes,
        activation_bytes=2 if precision == "bfloat16" else 4,
        checkpointing=checkpointing,
        on_card=draft.device.kind == "cuda",
    )


def _limit(draft: Draft) -> tuple[int, str]:
    if draft.recipe.budget.vram is not None:
        return draft.recipe.budget.vram, "the recipe's budget"
    return draft.device.memory_bytes, f"memory of {draft.device.label}"


def _choose_micro_batch(draft: Draft) -> Draft:
    """The largest micro-batch that divides the batch and fits; checkpointing only when nothing fits without."""
    asked, recomputing = draft.recipe.train.micro_batch, draft.recipe.train.activation_checkpointing
    batch = draft.recipe.train.batch_size
    limit, source = _limit(draft)
    sizes = [size for size in range(batch, 0, -1) if batch % size == 0] if asked == "auto" else [asked]
    modes = [False, True] if recomputing == "auto" else [recomputing]
    tried = [(size, mode) for mode in modes for size in sizes]
    fits = [pair for pair in tried if estimate(_job(draft, *pair)).peak_bytes <= limit]
    size, mode = (fits or tried[-1:])[0]
    if asked == "auto":
        reason = "the whole batch fits" if size == batch else f"the largest part of {batch} that fits {source}"
        draft = draft.derive("train.micro_batch", size, reason if fits else "the smallest there is")
    else:
        draft = draft.take("train.micro_batch")
    if recomputing == "auto":
        reason = "the job fits only with it" if mode else "the job fits without it"
        return draft.derive("train.activation_checkpointing", mode, reason)
    return draft.take("train.activation_checkpointing")


def _estimate_memory(draft: Draft) -> Draft:
    limit, source = _limit(draft)
    size, mode = draft.values["train.micro_batch"], draft.values["train.activation_checkpointing"]
    usage = estimate(_job(draft, size, mode))
    memory = MemoryEstimate(
        method="closed form",
        components=usage.components,
        peak_bytes=usage.peak_bytes,
        peak_phase=usage.phase,
        limit_bytes=limit,
        limit_source=source,
        fits=usage.peak_bytes <= limit,
    )
    draft = replace(draft, memory=memory)
    return draft if memory.fits else _refuse_memory(draft, usage, limit, source)


def _refuse_memory(draft: Draft, usage: Usage, limit: int, source: str) -> Draft:
    at = "budget.vram" if draft.recipe.budget.vram is not None else "model.base"
    return draft.find(
        "FTC402",
        f"the run needs {usage.peak_bytes / 2**30:.2f} GiB, {source} is {limit / 2**30:.2f} GiB",
        at,
        help=_smaller_changes(draft, limit),
        notes=f"peak at the {usage.phase}, by closed form",
    )


def _smaller_changes(draft: Draft, limit: int) -> tuple[str, ...]:
    """Changes that would fit, each with its own predicted peak."""
    size, mode = draft.values["train.micro_batch"], draft.values["train.activation_checkpointing"]
    batch = draft.recipe.train.batch_size
    smaller = next((s for s in range(size - 1, 0, -1) if batch % s == 0 and _peak(draft, s, mode) <= limit), None)
    found = []
    if smaller:
        found.append(f"train.micro_batch: {smaller} needs {_peak(draft, smaller, mode) / 2**30:.2f} GiB")
    if not mode and _peak(draft, size, True) <= limit:
        peak = _peak(draft, size, True)
        found.append(f"train.activation_checkpointing: true needs {peak / 2**30:.2f} GiB, about a third slower")
    if not found:
        leaner = "" if draft.recipe.strategy.kind == "qlora" else "`strategy: {kind: qlora}`, "
        found.append(f"choose a smaller base, {leaner}shorter rows (`data.max_length`) or a larger budget")
    return tuple(found)


def _peak(draft: Draft, size: int, mode: bool) -> int:
    return estimate(_job(draft, size, mode)).peak_bytes


def _estimate_time(draft: Draft) -> Draft:
    """Time of training from earlier runs of the same model on this device; none, no figure."""
    job = (draft.device.name, draft.model.name, draft.recipe.strategy.kind)
    speeds = [run.tokens_per_second for run in draft.past_runs if (run.device, run.model, run.strategy) == job]
    budget = draft.recipe.budget
    if not speeds:
        draft = draft.miss("time: no earlier run of this model on this device")
        return draft.miss("cost: no time is known") if budget.cost else draft
    epochs = draft.values["train.num_steps"] / draft.values["train.steps_per_epoch"]
    tokens = draft.splits["train"].tokens * epochs
    low = tokens / max(speeds) * (1 - _TIME_SPREAD)
    high = tokens / min(speeds) * (1 + _TIME_SPREAD)
    method = (
        f"{len(speeds)} earlier {'run' if len(speeds) == 1 else 'runs'} of this model on this device, training only"
    )
    estimate = TimeEstimate(
        method=method, low_seconds=low, high_seconds=high, cost_low=_cost(draft, low), cost_high=_cost(draft, high)
    )
    return _check_limits(replace(draft, time=estimate))


def _cost(draft: Draft, seconds: float) -> Money | None:
    price = draft.recipe.budget.price_per_hour
    return Money(amount=seconds / 3600 * price.amount, currency=price.currency) if price else None


def _check_limits(draft: Draft) -> Draft:
    time, budget = draft.time, draft.recipe.budget
    assert time is not None
    if budget.time is not None and time.low_seconds > budget.time:
        draft = draft.find(
            "FTC403",
            f"takes at least {time.low_seconds:,.0f} s, the budget is {budget.time:,} s",
            "budget.time",
            help="fewer epochs, fewer rows (`data.max_rows`) or a larger budget",
            notes=f"by {time.method}",
        )
    if budget.cost is not None and time.cost_low is not None and time.cost_low.amount > budget.cost.amount:
        draft = draft.find(
            "FTC404",
            f"costs at least {time.cost_low.amount:.2f} {budget.cost.currency}, "
            f"the budget is {budget.cost.amount:.2f} {budget.cost.currency}",
            "budget.cost",
            help="fewer epochs, fewer rows (`data.max_rows`) or a larger budget",
            notes=f"by {time.method}",
        )
    return draft


def _estimate_disk(draft: Draft) -> Draft:
    """Checkpoints hold trained weights and two moments each; the best one, the newest ones and one being written."""
    trained = 4 * num_trainable(draft)
    kept = draft.values["train.keep_checkpoints"] + 2
    return replace(draft, disk_bytes=3 * trained * kept + trained)
