"""How fast training goes at each point that the solver looks at, so that it can take the fastest that fits.

A roofline tells points apart that differ by more than a tenth; among others the kernel comes first that needs nothing
further, then the larger micro-batch, since larger matrices never compute slower. Speed counts after exactness: an
optimiser that rounds what it remembers stands behind all points of those that don't. Of points that it can't tell apart
fewer devices go first, and then what exchanges least.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ftc.compiler.draft import Draft
from ftc.compiler.memory.eval_passes import usual_rows
from ftc.compiler.search.attention_kernels import kernels_for_auto
from ftc.compiler.search.candidates import LAYOUTS, Point, at, eval_batches, packings, training_points
from ftc.compiler.search.optimizer_choice import kinds_for_auto
from ftc.compiler.time.amounts import Amounts
from ftc.compiler.time.network import Network
from ftc.compiler.time.run_time import job_speed
from ftc.compiler.time.run_work import train_amounts, train_work
from ftc.compiler.time.speed import scale_only, seconds_for
from ftc.compiler.time.workload import draft_network
from ftc.spec.optimizers import optimizer_card

__all__ = ["TOLD_APART", "WORTH_PACKING", "by_speed", "pace_of", "train_seconds"]

TOLD_APART = 1.1
"""Times that the roofline tells apart."""
WORTH_PACKING = 0.9
"""Part of a padded run's time below which `auto` packs: less than a tenth is more than a roofline can tell."""

Pace = Callable[[Draft], float]
"""Seconds that training of a draft is expected to take."""


def by_speed(draft: Draft) -> list[Point]:
    """All points that the recipe allows, the fastest first."""
    seconds = pace_of(draft)
    pace = dict(_paced(draft, seconds))
    ranked = sorted(pace, key=_order(draft, pace))
    looked_at = {count: _rows_of_looks(draft, count) for count in {point.devices for point in pace}}
    return [replace(point, eval_batch=rows) for point in ranked for rows in looked_at[point.devices]]


def _rows_of_looks(draft: Draft, devices: int) -> list[int]:
    """Rows that so many devices may each evaluate at once; they share what there is to look at."""
    asked, shared = draft.recipe.eval.batch_size, {**draft.values, "train.world_size": devices}
    usual = usual_rows(replace(draft, values=shared))[0] if asked == "auto" else asked
    return list(eval_batches(draft, usual))


def train_seconds(draft: Draft) -> float:
    """What training is expected to take, by the best source there is; without one, in proportion.

    Args:
        draft: With all that a point settles.
    """
    return pace_of(draft)(draft)


def pace_of(draft: Draft) -> Pace:
    """`train_seconds` of drafts that differ from this one by what a point settles, and by nothing else."""
    speed = job_speed(draft) or scale_only()
    networks: dict[Any, Network] = {}
    fed: dict[Any, Amounts] = {}

    def seconds(one: Draft) -> float:
        values, kernel = one.values, one.values["model.attention"]
        if kernel not in networks:
            networks[kernel] = draft_network(one)
        shares = ("micro_batch", "packing", "micro_batch_tokens", "world_size")
        divided = tuple(values[f"train.{name}"] for name in shares)
        key = (divided, kernel)
        if key not in fed:
            fed[key] = train_amounts(one)
        return seconds_for(train_work(one, networks[kernel], fed[key]), speed).expected

    return seconds


def _paced(draft: Draft, seconds: Pace) -> Iterator[tuple[Point, float]]:
    """Points with their pace; where the recipe leaves it open, rows share sequences only where that is worth it."""
    asked = draft.recipe.train.packing
    for point in training_points(draft):
        packed = [(one, seconds(at(draft, one))) for one in packings(draft, point)]
        if asked is True and packed:
            yield from packed
            continue
        padded = seconds(at(draft, point))
        yield point, padded
        yield from ((one, pace) for one, pace in packed if pace < WORTH_PACKING * padded)


def _order(draft: Draft, pace: dict[Point, float]) -> Callable[[Point], tuple[Any, ...]]:
    kernels, kinds = kernels_for_auto(draft), kinds_for_auto(draft)
    fastest = {
        rounded: min((pace[one] for one in pace if optimizer_card(one.optimizer).is_rounded is rounded), default=0.0)
        for rounded in (False, True)
    }

    def key(point: Point) -> tuple[Any, ...]:
        rounded = optimizer_card(point.optimizer).is_rounded
        least, seconds = fastest[rounded], pace[point]
        rung = math.floor(math.log(seconds / least) / math.log(TOLD_APART)) if least > 0 else 0
        kernel = kernels.index(point.attention) if point.attention in kernels else 0
        kind = kinds.index(point.optimizer) if point.optimizer in kinds else 0
        shared = point.devices, LAYOUTS.index((point.sharding, point.offload))
        return rounded, rung, shared, kernel, kind, point.checkpointing, -point.micro_batch, seconds

    return key
