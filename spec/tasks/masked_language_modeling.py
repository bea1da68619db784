"""Raw text of which some tokens are masked, and learned from what stands around them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.tasks.card import Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import TEXT
from ftc.spec.tasks.rows import TextRows

__all__ = ["MaskedLanguageModeling"]

_MODE = Mode(
    option=None,
    families=("encoder",),
    form="masked",
    head="masked_lm",
    reason="the task is masked language modeling",
    no_prompt=(
        "a masked language modeling task has no prompt template",
        "a masked language modeling task has no system message",
    ),
    unused=(),
    traits=(),
    usual_metrics=("perplexity",),
    least_steps=None,
    does="fills in masked words of a text",
    pipeline="fill-mask",
    split_pipeline="fill-mask",
)


class MaskedLanguageModeling(TaskSection):
    """Masked language modeling: an encoder learns raw text by filling in tokens that are masked, as BERT did.

    Texts fill blocks one after the other. Each step masks other tokens of a row, by the seed, the step and the row;
    those of validation and test stay the same, so that perplexities can be compared. A decoder learns raw text by its
    next tokens: that task is `pretraining`.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(TEXT,),
        row_forms=(("text",),),
        template_form=None,
        written_parts=(),
        answer_parts=(),
        beside={},
        signs=((Sign("text", "name", ("text",)),),),
        guess_order=81,
        guessed=(),
        foreign_names=("mlm", "masked_lm", "fill-mask", "masked-language-modeling"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle="raw text is evaluated in blocks, which belong to no row",
        teacher_obstacle=None,
        starter="distilbert/distilbert-base-uncased",
    )

    kind: Literal["masked_language_modeling"]
    mask_share: Annotated[Real, Field(gt=0, le=0.9)] = 0.15
    """Share of a row's tokens that have to be filled in, at least one. Of these 80% become the mask token, 10% another
    token of the vocabulary, and 10% stay (Devlin et al. 2019). Default: 0.15, BERT's; 0.3 is usual for ModernBERT."""

    @property
    def masked_share(self) -> float | None:
        """The recipe's share."""
        return self.mask_share

    def modes(self) -> tuple[Mode, ...]:
        """Masked tokens are filled in."""
        return (_MODE,)

    def rows(self) -> TextRows:
        """Texts."""
        return TextRows()
