"""What a draft's optimizer keeps, where that lies, and which optimizers the solver may take."""

from __future__ import annotations

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.strategies.trainable import num_trainable
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizers import OptimizerKind, candidates, optimizer_card

__all__ = [
    "bytes_per_weight",
    "can_take",
    "card_of",
    "device_bytes",
    "kinds_for_auto",
    "pages_have_room",
]

_HOST_SHARE = 0.8
"""Part of the host's memory that pages may take; the rest is for the process and the system."""


def card_of(draft: ClosedDraft) -> OptimizerCard:
    """The optimizer that the solver tries, or has chosen."""
    return optimizer_card(draft.candidate.optimizer)


def bytes_per_weight(draft: Draft, card: OptimizerCard) -> float:
    """Bytes of an optimizer's state for each trained weight, wherever they lie."""
    state, momentum = card.state, draft.train.optimizer.momentum
    return state.bytes_per_weight(width=draft.model.hidden_size, momentum=momentum, share_in_layers=0.0)


def device_bytes(draft: ClosedDraft) -> int:
    """Bytes of state on the device. Pages may lie with the host, so they count as nothing; their scales don't."""
    card, weights = card_of(draft), num_trainable(draft)
    each = card.state.scale_bytes_per_weight if card.paged else bytes_per_weight(draft, card)
    return round(each * weights)


def kinds_for_auto(draft: Draft) -> tuple[OptimizerKind, ...]:
    """What `optimizer: {kind: auto}` chooses among, the exact ones first."""
    return tuple(card.kind for card in candidates("auto") if can_take(draft, card))


def can_take(draft: Draft, card: OptimizerCard) -> bool:
    """Whether the solver may take or suggest an optimizer on the draft's device.

    Its package has to be installed there, a proof of equal bits has to be possible where one is asked for, and pages
    have to have room beside the device, which is known of this machine alone.
    """
    kind = draft.device.kind
    proves = draft.recipe.train.determinism in ("bitwise", "best_effort")
    if kind not in card.solver_on or (proves and kind not in card.exact_on):
        return False
    is_installed = card.extra == "train" or card.package in draft.packages
    return is_installed and (not card.paged or pages_have_room(draft, card))


def pages_have_room(draft: Draft, card: OptimizerCard, processes: int = 1) -> bool:
    """Whether the host's memory has room for the pages of so many processes, each with all of the optimizer's state."""
    host = draft.device.host_bytes
    return host is None or processes * bytes_per_weight(draft, card) * num_trainable(draft) <= _HOST_SHARE * host
