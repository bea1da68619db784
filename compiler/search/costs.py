"""What a run costs, and which numbers of devices keep the budget's bound."""

from __future__ import annotations

from ftc.compiler.draft import Candidate, ClosedDraft, Draft
from ftc.compiler.time.judge_requests import judge_estimate
from ftc.compiler.time.run_time import run_time
from ftc.compiler.time.run_work import run_work
from ftc.spec.base import Money

__all__ = ["CostBound", "cost_of", "num_paid", "price_of"]


def price_of(draft: Draft) -> Money | None:
    """What an hour of a device costs: by the recipe, else by the project's policy."""
    return draft.recipe.budget.price_per_hour or draft.prices.get(draft.device.name)


def num_paid(draft: ClosedDraft) -> int:
    """Devices that are paid for: all processes on a processor share it."""
    return 1 if draft.device.kind == "cpu" else draft.candidate.devices


def cost_of(draft: ClosedDraft, seconds: float, judge: Money | None = None) -> Money | None:
    """What a settled draft's devices cost in so many seconds, with what its judge costs.

    None where devices have no price, or one in another currency than the judge's.
    """
    price = price_of(draft)
    if price is None or (judge is not None and judge.currency != price.currency):
        return None
    amount = num_paid(draft) * seconds / 3600 * price.amount
    return Money(amount=amount + (judge.amount if judge is not None else 0.0), currency=price.currency)


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
