"""How quickly an exported file reads the rows of the proof, and the tuned model beside it where that is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.execution.machine import device_name
from ftc.spec.documents.exported import Speed

if TYPE_CHECKING:
    from ftc.runtime.exports.job import Job
    from ftc.runtime.tasks.scorer import ModelWithScorer

__all__ = ["LEAST_SECONDS", "MOST_ROUNDS", "measured", "seconds_of_model"]

LEAST_SECONDS = 2.0
"""Rows are read again until all took so long, and the fastest time counts: a machine has other things to do as well."""
MOST_ROUNDS = 10


def measured(job: Job, seconds: Callable[[], float]) -> Speed:
    """The speed of an exported file.

    Args:
        job: The export.
        seconds: Gives the seconds in which the file reads the rows of the reference once, each alone.

    Raises:
        Refusal: What computes with the file failed (FTC668).
        Interrupted: Somebody asked to stop.
    """
    session, numbers = job.session, job.reference.rows.tolist()
    tokens = sum(len(job.rows.ids(number)) for number in numbers)
    with session.journal.phase("compare", f"speed on {len(numbers)} rows of {job.split}"):
        return Speed(
            rows=len(numbers),
            tokens=tokens,
            threads=session.plan.settings.device.threads,
            processor=device_name(torch.device("cpu")),
            tokens_per_second=tokens / seconds(),
            tuned_tokens_per_second=None if session.base is None else tokens / seconds_of_model(job, session.base),
        )


def seconds_of_model(job: Job, work: ModelWithScorer, clock: Callable[[], float] | None = None) -> float:
    """Fewest seconds in which a model reads the rows of the reference once, each alone, after it has read one.

    Args:
        job: The export.
        work: The model.
        clock: Seconds that its forward passes took so far; None where those that go by are meant.

    Raises:
        Refusal: What computes its scores failed (FTC668).
        Interrupted: Somebody asked to stop.
    """
    clock = clock or time.perf_counter
    batches = [work.scorer.batch(job.rows, [number]) for number in job.reference.rows.tolist()]
    rounds = list[float]()
    with eval_mode(work.model):
        work.scorer.logits(work.model, batches[0])
        while not rounds or (sum(rounds) < LEAST_SECONDS and len(rounds) < MOST_ROUNDS):
            spent = 0.0
            for batch in batches:
                job.session.stop.check()
                began = clock()
                work.scorer.logits(work.model, batch)
                spent += clock() - began
            rounds.append(spent)
    return min(rounds)
