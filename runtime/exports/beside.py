"""What an exported model says beside the tuned one, where it computes a task's scores as that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.exports import gates

if TYPE_CHECKING:
    from ftc.runtime.exports.job import Job
    from ftc.runtime.tasks.scorer import ModelWithScorer
    from ftc.spec.documents.exported import AnswersKept, Parity
    from ftc.spec.model_formats import FileType

__all__ = ["answers", "compared"]


def compared(job: Job, work: ModelWithScorer, runtime: str, bound: FileType) -> Parity:
    """The exported model's scores beside the reference, each row alone and all in one padded batch.

    Args:
        job: The export.
        work: The exported model.
        runtime: What computes its scores.
        bound: The type of its weights, which says what is allowed.
    """
    reference = job.reference
    numbers = reference.rows.tolist()
    largest, same, count, places = 0.0, 0, 0, 0
    for together in (*([number] for number in numbers), numbers):
        batch = work.scorer.batch(job.rows, list(together))
        scores = work.scorer.logits(work.model, batch)
        owners = batch.owners if batch.sequences is None else batch.sequences
        if len(owners) != len(scores):  # begin and end of an answer: two lines a row
            owners = torch.arange(len(together)).repeat_interleave(len(scores) // len(together))
        for place, number in enumerate(together):
            mine = reference.owners == numbers.index(number)
            lines = scores[owners == place][reference.places[mine]]
            choices = reference.choices[mine]
            scored, whole = lines.gather(1, choices), lines.logsumexp(dim=-1)
            apart = gates.largest_difference(scored, reference.scores[mine])
            largest = max(largest, apart, gates.largest_difference(whole, reference.log_sum_exp[mine]))
            same += int((lines.argmax(dim=-1) == choices[:, 0]).sum())
            count += scored.numel() + whole.numel()
            places += len(lines)
    return gates.parity_of(
        reference, bound, job.widest, runtime=runtime, largest=largest, compared=count, places=places, same=same
    )


def answers(job: Job, tuned: ModelWithScorer, work: ModelWithScorer, *, help: str) -> AnswersKept:
    """The recipe's metrics and gates, with the tuned model and with the exported one.

    Args:
        job: The export.
        tuned: The tuned model.
        work: The exported model.
        help: What can be done where a gate fails.

    Raises:
        Refusal: A gate fails with the exported model (FTC670).
    """
    session, asked = job.session, job.asked
    rows = gates.first_rows(job.rows, asked.rows)
    with session.journal.phase("compare", f"answers to {len(rows)} rows of {job.split}"), eval_mode(tuned.model):
        before = gates.answers_of_model(session, tuned, rows)
        after = gates.answers_of_model(session, work, rows)
        found = gates.kept(session, rows, job.split, before, after, asked.waived)
        gates.require_gates(found, asked.weight_type, help=help)
    return found
