"""Losses of rerankers: one card each, with every fact about it.

To add one, write its card here and its formula into `ftc.runtime.tasks.reranking`. In the formulas, s is the score that
the model gives the query with its right text, and s1 to sn those with the n wrong ones. Each row has a loss of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = ["RERANKING_LOSSES", "RerankingLoss", "RerankingLossCard", "reranking_loss"]


class RerankingLossCard(NamedTuple):
    """One loss.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Loss of a row.
        source: The paper.
        needs_margins: Whether rows say how much higher a teacher scores the right text than each wrong one.
        foreign: What sentence-transformers calls it.
    """

    kind: str
    label: str
    formula: str
    source: str
    needs_margins: bool
    foreign: tuple[str, ...]


RERANKING_LOSSES: tuple[RerankingLossCard, ...] = (
    RerankingLossCard(
        kind="cross_entropy",
        label="listwise cross entropy",
        formula="-log of the softmax of s among s, s1, ..., sn",
        source="Cao 2007 (ListNet); Nogueira 2020",
        needs_margins=False,
        foreign=("ListNetLoss",),
    ),
    RerankingLossCard(
        kind="binary_cross_entropy",
        label="binary cross entropy",
        formula="mean of -log sigmoid(s) and -log(1 - sigmoid(si)) over the n + 1 texts",
        source="Nogueira 2019",
        needs_margins=False,
        foreign=("BinaryCrossEntropyLoss",),
    ),
    RerankingLossCard(
        kind="margin_mse",
        label="margin MSE",
        formula="mean of ((s - si) - mi) squared over the n wrong texts; mi is the teacher's margin",
        source="Hofstaetter 2020",
        needs_margins=True,
        foreign=("MarginMSELoss",),
    ),
)
"""Every loss, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in RERANKING_LOSSES}

if TYPE_CHECKING:
    RerankingLoss = str
else:
    RerankingLoss = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def reranking_loss(kind: str) -> RerankingLossCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]
