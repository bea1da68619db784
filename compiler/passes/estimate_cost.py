"""What the run takes of time, money, energy and disk, and whether that is within the budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, get_args

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.time.reward_judge import reward_judge_estimate
from ftc.compiler.time.run_time import RunTime, cost_of, judge_estimate, num_paid, price_of, run_time, server_is_timed
from ftc.compiler.time.run_work import run_work
from ftc.compiler.weights import card_of, checkpoint_bytes, result_bytes
from ftc.spec.base import Money
from ftc.spec.documents.data_drift import MOST_ROWS
from ftc.spec.documents.estimates import Phase, PhaseTime, SecondsRange, TimeEstimate, Work, WorkEstimate
from ftc.spec.documents.plan import Check
from ftc.spec.strategies import strategy_card
from ftc.spec.writers import writer_card

__all__ = ["estimate_cost"]

_LEAST_POWER = 0.4
"""Share of its board's limit that a card in training draws at the least; no measured figure, but few draw less."""
_MORE = "use fewer epochs, fewer rows (`data.max_rows`) or a larger budget"
_TOLD_PHASES = 3
_RECORDS = 4 * 2**20
"""Bytes of events, step log, report and recipe beside the weights; rows that are shown have their length limited."""
_KEPT_BYTES = 512
"""Of a validation row beside what the model makes of it: number, length, digest and answer."""


def estimate_cost(draft: ClosedDraft) -> ClosedDraft:
    """Estimates time, cost, energy and disk, and refuses what is over the budget for certain."""
    work = run_work(draft)
    draft = _with_reward_judge(_with_judge(draft))
    plain: dict[Phase, Work] = {phase: expected for phase, (_, expected, _) in work.phases.items()}
    asked = WorkEstimate(phases=plain, train_tokens=work.train_tokens, traffic=work.traffic)
    draft = replace(draft, work=asked, disk=_disk(draft))
    found = run_time(draft, work)
    if draft.recipe.budget.nodes > 1 and draft.recipe.budget.link is None:
        return _untimed(draft, "the speed of the network between machines is unknown. Set `budget.link`.")
    if found is None:
        device = "CPU" if draft.device.kind == "cpu" else "GPU"
        here = f"this {device} has no benchmark yet. Run `ftc device calibrate` (1 minute)."
        elsewhere = f"the speed of {draft.device.label} is unknown, and it is not in this machine."
        return _untimed(draft, here if draft.device.local else elsewhere)
    draft = _with_price(replace(draft, time=_estimate(draft, found)))
    if (left_out := card_of(draft).uncounted) is not None:
        draft = draft.miss(f"time of {left_out}: not included in the run's time")
    writing, sampling = draft.recipe.writing, draft.recipe.task.sampling
    if writing is not None and sampling is not None and not writing.here and not server_is_timed(draft):
        words = f"a server of {writer_card(sampling.writer).label}, which no earlier run of this model has used"
        draft = draft.miss(f"time of writing answers: {words}; not included in the run's time")
    if draft.train.compile:
        draft = draft.miss("time of compiling layers, and what a step gains: the run's time is that without compiling")
    if draft.train.loss is not None:
        draft = draft.miss(f"time of the loss `{draft.train.loss}`: the run's time includes a cross entropy instead")
    return _checked_disk(_checked_cost(_checked_time(draft)))


def _untimed(draft: ClosedDraft, why: str) -> ClosedDraft:
    """A draft whose time can't be estimated, and so its cost neither."""
    draft = draft.miss(f"Time not estimated: {why}")
    asked, limit = _judges_cost(draft, "cost_low"), draft.recipe.budget.cost
    if asked is not None and limit is not None and asked.currency == limit.currency and asked.amount > limit.amount:
        words = f"requests to the judge alone cost at least {_money(asked)}, the budget is {_money(limit)}"
        draft = draft.find("FTC404", words, "budget.cost", help=_MORE)
    return _checked_disk(draft.miss("cost not estimated: it needs the time") if draft.recipe.budget.cost else draft)


def _with_judge(draft: ClosedDraft) -> ClosedDraft:
    """What a judge takes, and what of it isn't known."""
    judge, found = draft.recipe.eval.judge, judge_estimate(draft)
    if judge is None or found is None:
        return draft
    draft = replace(draft, judge=found)
    if found.seconds is None:
        words = f"{found.requests:,} requests to {judge.host}, which no earlier run on this machine has used"
        draft = draft.miss(f"time of the judge: {words}; not included in the run's time")
    device, theirs = price_of(draft), found.cost_high
    if device is not None and theirs is None:
        return draft.miss(
            "cost of the judge: `budget.price_per_million_tokens` is not set; not included in the run's cost"
        )
    if device is not None and theirs is not None and device.currency != theirs.currency:
        return draft.miss(f"cost: the device's price is in {device.currency}, the judge's in {theirs.currency}")
    return draft


def _with_reward_judge(draft: ClosedDraft) -> ClosedDraft:
    """What a judge takes whose grades are a reward, and what of it isn't known."""
    found = reward_judge_estimate(draft)
    if found is None:
        return draft
    tokens = f"{found.sent.low:,} to {found.sent.high:,} tokens sent, by {found.method}"
    words = f"at most {found.requests:,} requests, {tokens}, and at most {found.received_high:,} received"
    if found.cost_low is not None and found.cost_high is not None:
        words += f"; {_money(found.cost_low)} to {_money(found.cost_high)}"
    else:
        draft = draft.miss("cost of the judge: `budget.price_per_million_tokens` is not set")
    draft = replace(draft, checks=(*draft.checks, Check(name="reward judge", code=None, result=words)))
    if found.seconds is None:
        why = "no earlier run on this machine has used it; not included in the run's time"
        draft = draft.miss(f"time of the judge: {why}")
    return replace(draft, reward_judge=found)


def _judges_cost(draft: ClosedDraft, name: Literal["cost_low", "cost_high"]) -> Money | None:
    """What judges cost, of answers to test rows and of rewards; None without a price."""
    sums = [found for one in (draft.judge, draft.reward_judge) if one and (found := getattr(one, name)) is not None]
    return Money(amount=sum(one.amount for one in sums), currency=sums[0].currency) if sums else None


def _estimate(draft: ClosedDraft, found: RunTime) -> TimeEstimate:
    order: tuple[Phase, ...] = get_args(Phase)
    phases = tuple(sorted((*found.phases, *_judging(draft)), key=lambda one: order.index(one.phase)))
    total, working = _total(phases), _total(found.phases)
    saved = _saved_by_stopping(draft, phases)
    low, speed = total.low - saved, draft.device.speed
    watts = None if speed is None or speed.watts is None else num_paid(draft) * speed.watts  # of all devices together
    return TimeEstimate(
        source=found.speed.source,
        method=found.speed.method,
        phases=phases,
        low_seconds=low,
        expected_seconds=total.expected,
        high_seconds=total.high,
        cost_low=cost_of(draft, low, _judges_cost(draft, "cost_low")),
        cost_high=cost_of(draft, total.high, _judges_cost(draft, "cost_high")),
        energy_low_joules=None if watts is None else _LEAST_POWER * watts * (working.low - saved),
        energy_high_joules=None if watts is None else watts * total.high,
    )


def _judging(draft: ClosedDraft) -> Iterator[PhaseTime]:
    """The judge's part of the time, where earlier runs tell it; the device has nothing to do meanwhile."""
    known = [one for one in (draft.judge, draft.reward_judge) if one is not None and one.seconds is not None]
    if known:
        total = SecondsRange(low=0.0, expected=0.0, high=0.0)
        for one in known:
            total = total.plus(one.seconds) if one.seconds is not None else total
        yield PhaseTime(phase="judge", seconds=total, method=known[0].seconds_method)


def _total(phases: Iterable[PhaseTime]) -> SecondsRange:
    total = SecondsRange(low=0.0, expected=0.0, high=0.0)
    for phase in phases:
        total = total.plus(phase.seconds)
    return total


def _saved_by_stopping(draft: ClosedDraft, phases: Iterable[PhaseTime]) -> float:
    """Seconds of training and validation that early stopping saves at the most."""
    stopping = draft.recipe.train.early_stopping
    if stopping is None:
        return 0.0
    steps = draft.train.num_steps
    every = draft.train.evaluate_every_steps
    least = min(steps, (stopping.patience + 1) * every)
    spent = sum(phase.seconds.low for phase in phases if phase.phase in ("train", "validate"))
    return spent * (1 - least / steps)


def _with_price(draft: ClosedDraft) -> ClosedDraft:
    """Says whose price it is, where the recipe has none."""
    price = price_of(draft)
    if price is None or draft.recipe.budget.price_per_hour is not None:
        return draft
    words = f"{_money(price)} an hour of {draft.device.name}, from the project's policy"
    return replace(draft, checks=(*draft.checks, Check(name="price", code=None, result=words)))


def _money(sum_: Money) -> str:
    """Two digits behind the point; of less than a hundredth the first two that aren't zero."""
    digits = ".2g" if 0 < sum_.amount < 0.01 else ".2f"
    return f"{sum_.amount:{digits}} {sum_.currency}"


def _checked_time(draft: ClosedDraft) -> ClosedDraft:
    time, limit = draft.time, draft.recipe.budget.time
    assert time is not None
    if limit is None or time.high_seconds <= limit:
        return draft
    longest = sorted(time.phases, key=lambda one: -one.seconds.high)[:_TOLD_PHASES]
    notes = (
        f"by {time.method}",
        ", ".join(f"{one.phase} {one.seconds.low:,.1f} to {one.seconds.high:,.1f} s" for one in longest),
    )
    if time.low_seconds > limit:
        words = f"takes at least {time.low_seconds:,.0f} s, the budget is {limit:,} s"
        return draft.find("FTC403", words, "budget.time", help=_MORE, notes=notes)
    words = f"can take up to {time.high_seconds:,.0f} s, the budget is {limit:,} s"
    return draft.find("FTC406", words, "budget.time", help=_MORE, notes=notes)


def _checked_cost(draft: ClosedDraft) -> ClosedDraft:
    time, limit = draft.time, draft.recipe.budget.cost
    assert time is not None
    if limit is None or time.cost_low is None or time.cost_high is None or time.cost_high.amount <= limit.amount:
        return draft
    if time.cost_high.currency != limit.currency:
        return draft  # amounts that can't be compared; `check_facts` refuses them
    notes = f"by {time.method}"
    most = f"the budget is {_money(limit)}"
    if time.cost_low.amount > limit.amount:
        words = f"costs at least {_money(time.cost_low)}, {most}"
        return draft.find("FTC404", words, "budget.cost", help=_MORE, notes=notes)
    words = f"can cost up to {_money(time.cost_high)}, {most}"
    return draft.find("FTC407", words, "budget.cost", help=_MORE, notes=notes)


def _disk(draft: ClosedDraft) -> dict[str, int]:
    """Bytes in the run's folder at the most: checkpoints and the result.

    Kept are the newest checkpoints, the best one, and the one that is being written.
    """
    kept = draft.train.keep_checkpoints + 2
    result = strategy_card(draft.strategy).result
    rows = min(MOST_ROWS, draft.splits["validation"].rows) if "validation" in draft.splits else 0
    writing = draft.recipe.writing
    handed_over = {"weights for the server": result_bytes(draft)} if writing is not None and not writing.here else {}
    return {
        f"{kept} checkpoints": checkpoint_bytes(draft) * kept,
        result: result_bytes(draft),
        **handed_over,
        "drift reference": rows * (_KEPT_BYTES + 4 * draft.model.hidden_size),
        "records": _RECORDS,
    }


def _checked_disk(draft: ClosedDraft) -> ClosedDraft:
    needed = sum(draft.disk.values())
    if draft.free_disk is None or needed <= draft.free_disk:
        return draft
    parts = ", ".join(f"{name} {size / 2**20:,.1f} MiB" for name, size in draft.disk.items())
    summary = (
        f"the run may need {needed / 2**20:,.1f} MiB on disk, but only {draft.free_disk / 2**20:,.1f} MiB are free"
    )
    spared = checkpoint_bytes(draft) * (draft.train.keep_checkpoints - 1)
    helps = needed - spared <= draft.free_disk
    help = "free disk space, or lower `train.keep_checkpoints`" if helps else "free disk space"
    return draft.find("FTC408", summary, "train.keep_checkpoints", help=help, notes=parts)
