"""How fast training goes at each candidate of the solver, so that it can take the fastest that fits.

A roofline tells candidates apart that differ by more than a tenth; among others the kernel comes first that needs
nothing further, then the larger micro-batch, since larger matrices never compute slower. Speed counts after exactness:
an optimizer that rounds its state stands behind all candidates of those that don't. Of candidates that it can't tell
apart fewer devices go first, and then what exchanges least.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ftc.compiler.draft import Candidate, ClosedDraft, Draft
from ftc.compiler.memory.eval_passes import usual_rows
from ftc.compiler.search.attention_kernels import kernels_for_auto
from ftc.compiler.search.candidates import LAYOUTS, eval_batches, packings, training_candidates
from ftc.compiler.search.optimizer_choice import kinds_for_auto
from ftc.compiler.time.amounts import Amounts
from ftc.compiler.time.network import Network
from ftc.compiler.time.run_time import job_speed
from ftc.compiler.time.run_work import train_amounts, train_work
from ftc.compiler.time.speed import scale_only, seconds_for
from ftc.compiler.time.workload import draft_network
from ftc.spec.knobs import KNOBS
from ftc.spec.optimizers import optimizer_card

__all__ = ["TOLD_APART", "WORTH_PACKING", "by_speed", "least", "pace_of", "train_seconds"]

TOLD_APART = 1.1
"""Times that the roofline tells apart."""
WORTH_PACKING = 0.9
"""Part of a padded run's time below which `auto` packs: less than a tenth is more than a roofline can tell."""

Pace = Callable[[ClosedDraft], float]
"""Seconds that training of a draft is expected to take."""


def by_speed(draft: Draft) -> list[Candidate]:
    """All candidates that the recipe allows, the fastest first."""
    seconds = pace_of(least(draft))
    pace = dict(_paced(draft, seconds))
    ranked = sorted(pace, key=_order(draft, pace))
    looked_at = {count: _rows_of_looks(draft, count) for count in {candidate.devices for candidate in pace}}
    return [replace(candidate, eval_batch=rows) for candidate in ranked for rows in looked_at[candidate.devices]]


def _rows_of_looks(draft: Draft, devices: int) -> list[int]:
    """Rows that so many devices may each evaluate at once; they share what there is to look at."""
    asked = draft.recipe.eval.batch_size
    usual = usual_rows(draft, devices)[0] if asked == "auto" else asked
    return list(eval_batches(draft, usual))


def least(draft: Draft) -> ClosedDraft:
    """The draft with the first way to run it: on the fewest devices, with the most rows at once."""
    return draft.at(next(training_candidates(draft)))


def train_seconds(draft: ClosedDraft) -> float:
    """What training is expected to take, by the best source there is; without one, in proportion.

    Args:
        draft: As the run would be.
    """
    return pace_of(draft)(draft)


def pace_of(draft: ClosedDraft) -> Pace:
    """`train_seconds` of drafts that differ from this one by their candidates, and by nothing else."""
    speed = job_speed(draft) or scale_only()
    networks: dict[Any, Network] = {}
    fed: dict[Any, Amounts] = {}

    def seconds(one: ClosedDraft) -> float:
        kernel = one.candidate.attention
        if kernel not in networks:
            networks[kernel] = draft_network(one)
        divided = tuple(getattr(one.candidate, knob.name) for knob in KNOBS if knob.divides)
        key = (divided, kernel)
        if key not in fed:
            fed[key] = train_amounts(one)
        return seconds_for(train_work(one, networks[kernel], fed[key]), speed).expected

    return seconds


def _paced(draft: Draft, seconds: Pace) -> Iterator[tuple[Candidate, float]]:
    """Candidates with their pace; where the recipe leaves it open, rows share sequences only where that is worth it."""
    asked = draft.recipe.train.packing
    for candidate in training_candidates(draft):
        packed = [(one, seconds(draft.at(one))) for one in packings(draft, candidate)]
        if asked is True and packed:
            yield from packed
            continue
        padded = seconds(draft.at(candidate))
        yield candidate, padded
        yield from ((one, pace) for one, pace in packed if pace < WORTH_PACKING * padded)


def _order(draft: Draft, pace: dict[Candidate, float]) -> Callable[[Candidate], tuple[Any, ...]]:
    kernels, kinds = kernels_for_auto(draft), kinds_for_auto(draft)
    fastest = {
        rounded: min((pace[one] for one in pace if optimizer_card(one.optimizer).is_rounded is rounded), default=0.0)
        for rounded in (False, True)
    }

    def key(candidate: Candidate) -> tuple[Any, ...]:
        rounded = optimizer_card(candidate.optimizer).is_rounded
        least, seconds = fastest[rounded], pace[candidate]
        rung = math.floor(math.log(seconds / least) / math.log(TOLD_APART)) if least > 0 else 0
        kernel = kernels.index(candidate.attention) if candidate.attention in kernels else 0
        kind = kinds.index(candidate.optimizer) if candidate.optimizer in kinds else 0
        shared = candidate.devices, LAYOUTS.index((candidate.sharding, candidate.offload))
        return rounded, rung, shared, kernel, kind, candidate.activation_checkpointing, -candidate.micro_batch, seconds

    return key
