"""What a run with a divided model takes of the host's memory: one process reads it there, and parts may stay."""

from __future__ import annotations

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.search.optimizer_choice import bytes_per_weight, card_of
from ftc.compiler.strategies.trainable import num_trainable
from ftc.spec.strategies import strategy_card

__all__ = ["host_bytes"]

_FP32 = 4


def host_bytes(draft: ClosedDraft) -> int:
    """Bytes that all processes of the machine take there together at the most; 0 where no model is divided.

    Loading: one of them holds the model, of which others get a layer at a time, on their devices. Parts that then stay
    take the place of what was read. Training, with parts in the host's memory: all parts together are one model, with
    its gradients and what the optimiser keeps.
    """
    if draft.candidate.sharding != "fsdp":
        return 0
    is_whole = strategy_card(draft.strategy).is_whole
    width = _FP32 if is_whole or draft.train.precision == "float32" else 2
    trained = num_trainable(draft)
    model = width * draft.model.num_parameters + (0 if is_whole else _FP32 * trained)
    kept = (_FP32 + bytes_per_weight(draft, card_of(draft))) * trained if draft.candidate.offload == "cpu" else 0
    return model + round(kept)
