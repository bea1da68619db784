"""What optimisers keep for each trained weight, where it lies, and which of them `auto` may take."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.strategies.trainable import num_trainable
from ftc.spec.sections.train import OptimizerKind

__all__ = [
    "EXACT_KINDS",
    "FUSED",
    "bytes_per_weight",
    "device_bytes",
    "is_paged",
    "is_rounded",
    "kinds_for_auto",
    "pages_have_room",
    "with_kernel",
]

FUSED = frozenset(("adamw", "sgd"))
"""Optimisers of which torch has a fused kernel."""
_SCALES = 4 / 256
"""Bytes of a block's scale for each of its weights, in memories of 8 bits."""
_BYTES = {"adamw": 8.0, "adamw_8bit": 2 + 2 * _SCALES, "lion": 4.0, "lion_8bit": 1 + _SCALES}
EXACT_KINDS: tuple[OptimizerKind, ...] = ("adamw", "adamw_paged")
"""AdamW as it is written, in float32: first where all lies on the card, then where the driver moves pages."""
_ROUNDED_KINDS: tuple[OptimizerKind, ...] = ("adamw_8bit", "adamw_8bit_paged")
_HOST_SHARE = 0.8
"""Part of the processor's memory that pages may take; the rest is for the process and the system."""


def is_paged(kind: str) -> bool:
    """Whether the driver may move the memory of an optimiser to the processor's."""
    return kind.endswith("_paged")


def is_rounded(kind: str) -> bool:
    """Whether what an optimiser remembers is kept in 8 bits."""
    return "8bit" in kind


def bytes_per_weight(draft: Draft) -> float:
    """Bytes that the draft's optimiser keeps for each trained weight, wherever they lie."""
    return _bytes_of(draft, draft.candidate.optimizer)


def _bytes_of(draft: Draft, kind: str) -> float:
    if kind == "sgd":
        return 4.0 if draft.train.optimizer.momentum else 0.0
    if kind == "adafactor":  # a row and a column for each matrix, which is little beside it
        return 8 / max(1, draft.model.hidden_size)
    return _BYTES[kind.removesuffix("_paged")]


def device_bytes(draft: Draft) -> int:
    """What the optimiser keeps on the device; pages may lie with the processor, so they count as nothing.

    Scales of 8-bit memories aren't paged, and there is one for each of two moments.
    """
    kind, weights = draft.candidate.optimizer, num_trainable(draft)
    if not is_paged(kind):
        return round(bytes_per_weight(draft) * weights)
    return round(2 * _SCALES * weights) if is_rounded(kind) else 0


def kinds_for_auto(draft: Draft) -> tuple[OptimizerKind, ...]:
    """What `optimizer: {kind: auto}` chooses among, the exact ones first.

    Others than torch's own AdamW are bitsandbytes', for cards, and promise no equal bits. Pages have to have room
    beside the card, which is known of this machine's alone.
    """
    proves = draft.recipe.train.determinism in ("bitwise", "best_effort")
    if draft.device.kind != "cuda" or "bitsandbytes" not in draft.packages or proves:
        return EXACT_KINDS[:1]
    return tuple(kind for kind in (*EXACT_KINDS, *_ROUNDED_KINDS) if not is_paged(kind) or pages_have_room(draft, kind))


def pages_have_room(draft: Draft, kind: str, processes: int = 1) -> bool:
    """Whether the processor's memory has room for the pages of so many processes, each with all of the optimiser's."""
    host = draft.device.host_bytes
    return host is None or processes * _bytes_of(draft, kind) * num_trainable(draft) <= _HOST_SHARE * host


def with_kernel(draft: Draft) -> Draft:
    """Settles which kernel of the draft's optimiser is used."""
    kind = draft.candidate.optimizer
    is_fused = kind in FUSED
    reason = "the fused kernel takes one pass over the weights" if is_fused else f"`{kind}` has one kernel"
    return draft.derive("train.fused", is_fused, reason)
