"""One or several numbers for each text."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.number_losses import NumberLoss, NumberLossCard, number_loss
from ftc.spec.tasks.card import EVERY_FAMILY, OF_NEW_HEAD, Mode, Scale, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import SCORE, TEXT, TEXT_PAIR
from ftc.spec.tasks.rows import NumberRows

__all__ = ["Regression"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="score",
    head="regression",
    reason="the task is a regression",
    no_prompt=("a regression task has no prompt template", "a regression task has no system message"),
    unused=(),
    traits=(),
    usual_metrics=("mae", "rmse", "r2", "pearson", "spearman"),
    least_steps=OF_NEW_HEAD,
    does="rates text with numbers",
    pipeline="text-classification",
    split_pipeline="text-classification",
)


class Regression(TaskSection):
    """One or several numbers for each text, such as a grade, a price or how similar two texts are."""

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(TEXT, SCORE, TEXT_PAIR),
        row_forms=(("text", "score"),),
        template_form=None,
        written_parts=(),
        answer_parts=("score",),
        beside={"text_pair": ("text",)},
        signs=((Sign("score", "fractions"), Sign("text", "content")),),
        guess_order=65,
        guessed=(),
        foreign_names=("text-regression", "text_single_column_regression"),
        is_imported=False,
        needs_decoder=False,
        has_variants=True,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle="a regression task has no probabilities for a teacher",
        starter="sentence-transformers/all-MiniLM-L6-v2",
    )

    kind: Literal["regression"]
    scores: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=1_000)
    """Columns of the numbers, where each has a column of its own. Default: the column of `data.fields.score`,
    whose values are numbers, or lists of as many numbers in every row."""
    normalize: Scale = "standard"
    """`standard`: the model learns each number as its distance from the mean of the training rows, in standard
    deviations, and predictions are converted back. `none`: the model learns the numbers as they are, so that nothing
    has to be converted back without ftc. Default: standard, so that a learning rate suits numbers of any unit."""
    loss: NumberLoss = "mse"
    """Loss of a number. Default: `mse`, the mean squared error; `mae` and `huber` weigh outliers less."""

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """A text and its score, or a text alone where the recipe names the columns of its numbers."""
        return self.CARD.row_forms if self.scores is None else (("text",),)

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns of the numbers, where the recipe names them."""
        return self.scores or ()

    @property
    def own_key(self) -> str:
        """The key that names them."""
        return "scores"

    @property
    def number_loss(self) -> NumberLossCard:
        """The one that the recipe names."""
        return number_loss(self.loss)

    def modes(self) -> tuple[Mode, ...]:
        """By a new head with an output for each number."""
        return (_MODE,)

    def rows(self) -> NumberRows:
        """Texts with their numbers."""
        return NumberRows(columns=self.own_columns)
