"""Which optimizers come into question, by the cards of `ftc.spec.optimizers`: for a recipe, and for a single tensor."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizers import OPTIMIZERS, optimizer_card
from ftc.spec.precisions import FIRST_CHOICE, trained_type

__all__ = ["candidates", "in_layers", "usual_optimizer"]


def usual_optimizer(precision: str) -> str | None:
    """The optimizer of a recipe that names none, where its precision has another than the language's default."""
    if (trained := trained_type(precision)) == FIRST_CHOICE.trained:
        return None
    return next(card.kind for card in OPTIMIZERS if card.is_auto and card.weights == trained)


def candidates(kind: str, precision: str) -> tuple[OptimizerCard, ...]:
    """What a recipe's kind may come to: its own card, or those among which `auto` chooses, exact ones first.

    Args:
        kind: The recipe's word.
        precision: The recipe's, which says in what type the weights are that are trained.
    """
    if kind != "auto":
        return (optimizer_card(kind),)
    fitting = (card for card in OPTIMIZERS if card.is_auto and card.weights == trained_type(precision))
    return tuple(sorted(fitting, key=lambda card: card.is_rounded))


def in_layers(name: str, shape: Sequence[int]) -> bool:
    """Whether a trained tensor is a matrix in one of the model's layers, and no table of embeddings or positions there.

    Those are what Muon takes; the others are AdamW's.

    Args:
        name: The parameter's, with the path of its module.
        shape: The parameter's.
    """
    parts = name.split(".")
    is_table = any("embed" in part or "attention_bias" in part for part in parts)
    return len(shape) == 2 and any(part.isdigit() for part in parts) and not is_table
