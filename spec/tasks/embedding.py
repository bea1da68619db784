"""Vectors for texts, such that texts that belong together lie close to each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.embedding_losses import EMBEDDING_LOSSES, EmbeddingLoss, EmbeddingLossCard, Pooling, embedding_loss
from ftc.spec.tasks.card import Guessed, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import NEGATIVE, POSITIVE, QUERY, SCORE, SENTENCE1, SENTENCE2
from ftc.spec.tasks.rows import TextGroupRows

__all__ = ["Embedding"]

_RANKING = Mode(
    option=None,
    families=("encoder", "decoder"),
    form="embed",
    head="embedding",
    reason="the task compares vectors of texts",
    no_prompt=("an embedding task has no prompt template", "an embedding task has no system message"),
    unused=(),
    traits=("ranked",),
    usual_metrics=("ndcg_at_10", "mrr_at_10", "recall_at_1", "recall_at_10"),
    least_steps=None,
    does="turns texts into vectors, close to each other where texts belong together",
    pipeline="sentence-similarity",
    split_pipeline="sentence-similarity",
)
_SCORED = (Sign("sentence1", "name"), Sign("sentence2", "name"), Sign("score", "fractions"))
_RATING = replace(_RANKING, traits=("rated",), usual_metrics=("spearman", "pearson"))


class Embedding(TaskSection):
    """Vectors for texts (a sentence embedding model), learned from a query with its right passage and perhaps wrong
    ones, or from two texts with a score of how similar they are.

    The other rows' passages of an optimizer batch are wrong passages too (in-batch negatives), whatever the per-device
    batch size: vectors of the whole batch are computed first and gradients in parts (GradCache). A passage that is
    also right for the query is left out.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(QUERY, POSITIVE, NEGATIVE, SENTENCE1, SENTENCE2, SCORE),
        row_forms=(("query", "positive"), ("sentence1", "sentence2", "score")),
        template_form=None,
        written_parts=(),
        answer_parts=("score",),
        beside={"negative": ("positive",)},
        signs=((Sign("query", "name"), Sign("positive", "name", ("positive", "positive_passages"))), _SCORED),
        guess_order=22,
        guessed=(Guessed(_SCORED, {"loss": next(card.kind for card in EMBEDDING_LOSSES if card.needs_score)}, ""),),
        foreign_names=("sentence-transformers", "feature-extraction", "embeddings"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle="an embedding task has no probabilities for a teacher",
        starter="sentence-transformers/all-MiniLM-L6-v2",
    )

    kind: Literal["embedding"]
    loss: EmbeddingLoss = "multiple_negatives"
    """Loss of a row. `cosent` and `cosine` learn from two texts with a score (`sentence1`, `sentence2`, `score`).
    Default: `multiple_negatives`, for a query with its right passage and perhaps wrong ones."""
    temperature: Real = Field(default=0.05, gt=0, le=1)
    """What cosine similarities are divided by: less makes the nearest wrong passages count more. Default: 0.05, as
    sentence-transformers has it (a scale of 20)."""
    pooling: Pooling | Literal["auto"] = "auto"
    """How the states of a text's tokens become its vector: `mean`, `cls` (the first token) or `last`. Default `auto`:
    the mean for an encoder, the last token for a decoder."""
    normalize: bool = True
    """Whether vectors have length 1. Default: yes, so that a dot product is the cosine similarity."""
    matryoshka: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(), max_length=16)
    """Further lengths of vectors, such as `[64, 128]`: the loss is also computed on the first components, so that
    shortened vectors are useful. The loss is the sum over all lengths. Default: none (Kusupati 2022)."""
    query_prefix: str = Field(default="", max_length=2_000)
    """Text before each query, or before both texts of a scored pair, such as `query: `. Default: none, as most models
    were trained."""
    passage_prefix: str = Field(default="", max_length=2_000)
    """Text before each passage, such as `passage: `. Default: none, as most models were trained."""

    @property
    def vector_loss(self) -> EmbeddingLossCard:
        """The one that the recipe names."""
        return embedding_loss(self.loss)

    @property
    def prefixes(self) -> tuple[str, str]:
        """Before a query, and before a passage."""
        return self.query_prefix, self.passage_prefix

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """The rows that the loss needs."""
        return tuple(form for form in self.CARD.row_forms if ("score" in form) == self.vector_loss.needs_score)

    def modes(self) -> tuple[Mode, ...]:
        """States are pooled, and right passages found or scores met."""
        return (_RATING if self.vector_loss.needs_score else _RANKING,)

    def rows(self) -> TextGroupRows:
        """Texts that belong together."""
        return TextGroupRows(is_scored=self.vector_loss.needs_score)
