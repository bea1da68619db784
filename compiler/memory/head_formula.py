"""The moments at a model's head in the closed form: what it holds, at once or in chunks of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftc.compiler.memory.evaluation_formula import Moment
from ftc.spec.loss_chunks import compared_at_once

if TYPE_CHECKING:
    from ftc.compiler.memory.memory_formula import MemoryInputs

__all__ = ["cast_head", "chunked_head", "head_gradients", "held_casts"]

_FP32 = 4


def chunked_head(job: MemoryInputs, within: Moment, logits: int) -> dict[str, Moment]:
    """The two moments at the head where gradients come with the losses of a chunk.

    Losses of a large chunk are computed for some positions at a time, beside the scores of all, whose place their
    gradients take; the output layer's own gradient comes when these are all there. The gradients of hidden states stay
    from then on, and those of a trained output layer, summed as it is held.
    """
    by_chunk = job.taught is not None and job.taught.scores > 0
    at_once = job.head_rows if by_chunk else compared_at_once(job.head_rows, job.head_width)
    exact = logits * at_once // max(1, job.head_rows)
    held = job.head_rows * job.head_width * job.activation_bytes if at_once < job.head_rows else 0
    slopes = job.chunked_places * job.model.hidden_size * job.numbers.residual
    summed = job.trained_bytes * job.head_weights if job.is_full else 0
    later = {**within, "saved activations": within["saved activations"] - cast_head(job)}
    passing = held_casts(job) + slopes + summed + head_gradients(job, at_once)
    return {
        "forward: head": {**within, "logits": held + exact, "temporaries": passing},
        "backward: loss and head": {**later, "temporaries": held_casts(job) + 2 * slopes + summed},
    }


def cast_head(job: MemoryInputs) -> int:
    """An output layer in float32, as products read it."""
    is_exact = job.quantized or job.casts_weights
    if not (job.has_vocabulary and job.numbers.casts and is_exact):
        return 0
    return job.activation_bytes * job.head_weights


def held_casts(job: MemoryInputs) -> int:
    """Casts of adapters, which the backward pass needs."""
    if not job.is_adapter or job.recomputes or not job.numbers.casts or job.in_parts:
        return 0
    return job.activation_bytes * job.num_trainable


def head_gradients(job: MemoryInputs, at_once: int | None = None) -> int:
    """The gradient of a trained output layer beyond what the scores held: as it is computed, and as it is kept.

    Args:
        job: The job.
        at_once: Of scores that are there at once, rows whose losses are computed at a time; None for all.
    """
    own = job.activation_bytes if at_once in (None, job.head_rows) else 0
    freed = (at_once or job.head_rows) * job.head_width * (3 * _FP32 - own)
    if not (job.is_full and job.has_vocabulary):
        return max(0, job.copied_head - freed)
    each = job.trained_bytes + (job.activation_bytes if job.numbers.casts and job.casts_weights else 0)
    if job.in_parts:  # it waits in the width of products until gradients are exchanged
        each = job.activation_bytes
    return max(0, job.head_weights * each - freed)
