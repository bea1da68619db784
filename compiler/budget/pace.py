"""How fast training goes at each point that the solver looks at, so that it can take the fastest that fits.

A roofline tells points apart that differ by more than a tenth; among others the larger micro-batch goes first, since
larger matrices never compute slower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from ftc.compiler.budget.memory import Point
from ftc.compiler.budget.run_time import job_speed
from ftc.compiler.budget.run_work import draft_network, train_work
from ftc.compiler.budget.speed import scale_only, seconds_for
from ftc.compiler.draft import Draft

__all__ = ["by_speed", "pace_of", "train_seconds"]

_TOLD_APART = 1.1


def by_speed(draft: Draft, points: Iterable[Point]) -> list[Point]:
    """The points, the fastest first."""
    found = list(points)
    modes = {(point.micro_batch, point.checkpointing) for point in found}
    seconds = pace_of(draft)
    pace = {mode: seconds(_at(draft, *mode)) for mode in modes}
    return sorted(found, key=_order(pace))


def train_seconds(draft: Draft) -> float:
    """What training is expected to take, by the best source there is; without one, in proportion.

    Args:
        draft: With micro-batch, checkpointing and packing settled.
    """
    return pace_of(draft)(draft)


def pace_of(draft: Draft) -> Callable[[Draft], float]:
    """`train_seconds` of drafts that differ from this one by how rows are divided, and by nothing else."""
    network, speed = draft_network(draft), job_speed(draft) or scale_only()
    return lambda one: seconds_for(train_work(one, network), speed).expected


def _at(draft: Draft, micro_batch: int, checkpointing: bool) -> Draft:
    """The draft at a point; whether rows are packed is settled later, and hardly hangs on it."""
    recipe = draft.recipe.train
    packs = recipe.packing is True
    longest = draft.splits["train"].length_max
    values = {
        "train.micro_batch": micro_batch,
        "train.activation_checkpointing": checkpointing,
        "train.batching": recipe.batching,
        "train.packing": packs,
        "train.micro_batch_tokens": recipe.micro_batch_tokens or (micro_batch * longest if packs else None),
    }
    return replace(draft, values={**draft.values, **values})


def _order(pace: dict[tuple[int, bool], float]) -> Callable[[Point], tuple[int, bool, int, int]]:
    fastest = min(pace.values())

    def key(point: Point) -> tuple[int, bool, int, int]:
        seconds = pace[point.micro_batch, point.checkpointing]
        rung = math.floor(math.log(seconds / fastest) / math.log(_TOLD_APART)) if fastest > 0 else 0
        return rung, point.checkpointing, -point.micro_batch, -point.eval_batch

    return key
