"""What a device holds beside its part of rows that several devices share: the keys and values of the others."""

from __future__ import annotations

from ftc.compiler.memory.memory_formula import MemoryInputs, phase_peak
from ftc.spec.documents.estimates import PhasePeak

__all__ = ["with_shared_rows"]


def with_shared_rows(
    phases: tuple[PhasePeak, ...], job: MemoryInputs, context: int, *, masks: bool, groups: bool
) -> tuple[PhasePeak, ...]:
    """The phases of training where several devices share each row.

    Args:
        phases: Of a device with its own tokens.
        job: What was estimated, of these tokens.
        context: How many devices share a row.
        masks: Whether attention gets a mask: on a CPU, and where rows share a sequence.
        groups: Whether its kernel takes fewer heads of keys than of queries.
    """
    if context == 1:
        return phases
    model, operand = job.model, job.activation_bytes
    own, keys = job.tokens * operand, 2 * model.num_kv_heads * model.head_dim
    seen = keys if groups else 2 * model.num_heads * model.head_dim
    each = own * (context * seen - keys)
    layers = model.num_layers if job.layers_kept is None else min(model.num_layers, job.layers_kept)
    kept = each * (0 if job.recomputes else layers)
    if masks:  # from a chunk to all before it, of the two that a device has together one more than there are
        kept += operand * (2 * context + 1) * (job.length // 2) ** 2
    passing = own * context * keys + (each if job.recomputes else 0)  # as they came, before they are put in order
    return tuple(_with(one, kept, passing) for one in phases)


def _with(phase: PhasePeak, kept: int, passing: int) -> PhasePeak:
    if "saved activations" not in phase.components:
        return phase
    held = dict(phase.components)
    held["saved activations"] += kept
    if phase.phase.endswith("layers"):
        held["temporaries"] = held.get("temporaries", 0) + passing
    return phase_peak(phase.phase, held)
