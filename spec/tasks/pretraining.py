"""Raw text, of which every token is trained on."""

from __future__ import annotations

from typing import ClassVar, Literal

from ftc.spec.tasks.card import EVERY_FAMILY, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import TEXT
from ftc.spec.tasks.rows import TextRows

__all__ = ["Pretraining"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="raw",
    head="lm",
    reason="the task is pretraining",
    no_prompt=("a pretraining task has no prompt template", "a pretraining task has no system message"),
    unused=(),
    traits=(),
    usual_metrics=("perplexity",),
    least_steps=None,
    does="continues a text",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)


class Pretraining(TaskSection):
    """Raw text; every token is learned from those before it. Texts fill blocks one after the other."""

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(TEXT,),
        row_forms=(("text",),),
        template_form=None,
        written_parts=(),
        answer_parts=(),
        beside={},
        signs=((Sign("text", "name", ("text",)),),),
        guess_order=80,
        guessed=(),
        foreign_names=("pt", "pretrain", "completion", "language-modeling", "clm", "CAUSAL_LM"),
        is_imported=True,
        needs_decoder=True,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle="raw text is evaluated in blocks, which belong to no row",
        teacher_obstacle=None,
        starter="HuggingFaceTB/SmolLM2-135M",
    )

    kind: Literal["pretraining"]

    def modes(self) -> tuple[Mode, ...]:
        """Texts are continued."""
        return (_MODE,)

    def rows(self) -> TextRows:
        """Texts."""
        return TextRows()
