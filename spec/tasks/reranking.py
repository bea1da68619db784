"""One score for a query and a text: which of several texts answers a query best."""

from __future__ import annotations

from typing import ClassVar, Literal

from ftc.spec.reranking_losses import RerankingLoss, RerankingLossCard, reranking_loss
from ftc.spec.tasks.card import OF_NEW_HEAD, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import MARGIN, NEGATIVE, POSITIVE, QUERY
from ftc.spec.tasks.rows import TextGroupRows

__all__ = ["Reranking"]

_MODE = Mode(
    option=None,
    families=("encoder", "decoder"),
    form="rerank",
    head="regression",
    reason="the task scores a text together with its query",
    no_prompt=("a reranking task has no prompt template", "a reranking task has no system message"),
    unused=(),
    traits=("ranked",),
    usual_metrics=("ndcg_at_10", "mrr_at_10", "recall_at_1", "recall_at_5"),
    least_steps=OF_NEW_HEAD,
    does="scores how well a text answers a query",
    pipeline="text-ranking",
    split_pipeline="text-ranking",
)


class Reranking(TaskSection):
    """A score for a query and a text that are read together (a cross-encoder), learned from a query with its right text
    and wrong ones.

    Such a model orders the few texts that a search found. Metrics are of the rank of the right text among the texts of
    its own test row. With one right text a query, MRR is mean average precision too.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(QUERY, POSITIVE, NEGATIVE, MARGIN),
        row_forms=(("query", "positive", "negative"), ("query", "positive", "negative", "margin")),
        template_form=None,
        written_parts=(),
        answer_parts=("positive", "negative", "margin"),
        beside={},
        signs=(
            (
                Sign("query", "name"),
                Sign("positive", "name", ("positive", "positive_passages")),
                Sign("margin", "name", ("margin",)),
            ),
        ),
        guess_order=21,
        guessed=(),
        foreign_names=("reranker", "rerank", "cross-encoder", "text-ranking"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle="a reranking task learns from a teacher by its margins (`loss: margin_mse`)",
        starter="sentence-transformers/all-MiniLM-L6-v2",
    )

    kind: Literal["reranking"]
    loss: RerankingLoss = "cross_entropy"
    """Loss of a row. `margin_mse` learns a teacher's margins (`margin`: one number for each wrong text). Default:
    `cross_entropy`, of the right text among the row's texts."""

    @property
    def ranking_loss(self) -> RerankingLossCard:
        """The one that the recipe names."""
        return reranking_loss(self.loss)

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """The rows that the loss needs."""
        return tuple(form for form in self.CARD.row_forms if ("margin" in form) == self.ranking_loss.needs_margins)

    @property
    def output_names(self) -> tuple[str, ...]:
        """One score for each text."""
        return ("score",)

    def modes(self) -> tuple[Mode, ...]:
        """Texts of a query are scored."""
        return (_MODE,)

    def rows(self) -> TextGroupRows:
        """A query and its texts."""
        return TextGroupRows(is_scored=False, is_ranked=True)
