"""Raw text of which spans are missing, and written by an encoder-decoder."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Real
from ftc.spec.tasks.card import Mode, Sign, SpanShare, TaskCard, TaskSection
from ftc.spec.tasks.parts import TEXT
from ftc.spec.tasks.rows import TextRows

__all__ = ["SpanCorruption"]

_MODE = Mode(
    option=None,
    families=("encoder_decoder",),
    form="spans",
    head="lm",
    reason="the task is span corruption",
    no_prompt=(
        "a span corruption task has no prompt template",
        "a span corruption task has no system message",
    ),
    unused=(),
    traits=(),
    usual_metrics=("perplexity",),
    least_steps=None,
    does="writes missing spans of a text",
    pipeline="text2text-generation",
    split_pipeline="text2text-generation",
)


class SpanCorruption(TaskSection):
    """Span corruption: an encoder-decoder learns raw text by writing spans that are missing, as T5 did.

    Texts fill blocks one after the other, each followed by the token that ends a text. Each step takes other spans out
    of a row, by the seed, the step and the row; those of validation and test stay the same, so that perplexities can be
    compared. The model needs T5's sentinels (`<extra_id_0>`), which replace the spans: T5, Flan-T5, mT5, UL2.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(TEXT,),
        row_forms=(("text",),),
        template_form=None,
        written_parts=(),
        answer_parts=(),
        beside={},
        signs=((Sign("text", "name", ("text",)),),),
        guess_order=82,
        guessed=(),
        foreign_names=("t5_mlm", "denoising", "span-corruption", "t5_pretraining"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle="raw text is evaluated in blocks, which belong to no row",
        teacher_obstacle=None,
        starter="google-t5/t5-small",
    )

    kind: Literal["span_corruption"]
    noise_density: Annotated[Real, Field(gt=0, le=0.5)] = 0.15
    """Share of a row's tokens that are missing, at least one. Default: 0.15, which is T5's."""
    mean_span_length: Annotated[Real, Field(ge=1, le=64)] = 3.0
    """Tokens of a missing span on average. Default: 3, which is T5's; UL2 mixes 3, 8 and more."""

    @property
    def spans(self) -> SpanShare | None:
        """The recipe's share and length."""
        return SpanShare(self.noise_density, self.mean_span_length)

    def modes(self) -> tuple[Mode, ...]:
        """Missing spans are written."""
        return (_MODE,)

    def rows(self) -> TextRows:
        """Texts."""
        return TextRows()
