"""Losses of embeddings: one card each, with every fact about it.

To add one, write its card here and its formula into `ftc.runtime.tasks.text_groups`. In the formulas, cos is the cosine
similarity of two vectors and t the temperature. All rows of an optimizer batch are compared with each other, whatever
the per-device batch size: vectors of the whole batch come first, and gradients flow back through them in parts
(GradCache, Gao 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from ftc.spec.heads import Answer

__all__ = ["EMBEDDING_LOSSES", "EmbeddingLoss", "EmbeddingLossCard", "Pooling", "embedding_loss"]

Pooling = Literal["mean", "cls", "last"]
"""How the states of a text's tokens become one vector: their mean, the first one or the last one."""


class EmbeddingLossCard(NamedTuple):
    """One loss.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        formula: Loss of a row.
        source: The paper.
        score_range: Lowest and highest score that it can learn; None for any.
        needs_score: Whether a row is two texts with a score of how similar they are; else a query, its right passage
            and perhaps wrong ones.
        reads: Keys of the recipe's task that it knows.
        foreign: What sentence-transformers calls it.
    """

    kind: str
    label: str
    formula: str
    source: str
    needs_score: bool
    score_range: tuple[float, float] | None
    reads: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def answer(self) -> Answer:
        """What a model's answer to a row is: how similar two texts are, or the rank of the right passage."""
        return "numbers" if self.needs_score else "rank"


EMBEDDING_LOSSES: tuple[EmbeddingLossCard, ...] = (
    EmbeddingLossCard(
        kind="multiple_negatives",
        label="InfoNCE with in-batch negatives",
        formula="cross entropy of the right passage among all passages of the batch, by cos / t",
        source="Henderson 2017; van den Oord 2018",
        needs_score=False,
        score_range=None,
        reads=("temperature",),
        foreign=("MultipleNegativesRankingLoss", "CachedMultipleNegativesRankingLoss"),
    ),
    EmbeddingLossCard(
        kind="cosent",
        label="CoSENT",
        formula="log(1 + sum of exp((cos of j - cos of i) / t) over all rows i, j of the batch where i scores higher)",
        source="Su 2022",
        needs_score=True,
        score_range=None,
        reads=("temperature",),
        foreign=("CoSENTLoss",),
    ),
    EmbeddingLossCard(
        kind="cosine",
        label="squared error of the cosine similarity",
        formula="(cos - score) squared",
        source="Reimers 2019",
        needs_score=True,
        score_range=(-1.0, 1.0),
        reads=(),
        foreign=("CosineSimilarityLoss",),
    ),
)
"""Every loss of embeddings, the usual one first."""

_BY_KIND = {card.kind: card for card in EMBEDDING_LOSSES}

if TYPE_CHECKING:
    EmbeddingLoss = str
else:
    EmbeddingLoss = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def embedding_loss(kind: str) -> EmbeddingLossCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]
