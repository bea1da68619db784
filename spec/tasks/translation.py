"""A text in one language, the same in another."""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.tasks.card import EVERY_FAMILY, OF_ANSWERS, Mode, Prompted, PromptFacts, Sign, TaskCard
from ftc.spec.tasks.parts import Part
from ftc.spec.tasks.rows import TextRows

__all__ = ["Translation"]

_SOURCE = Part("source", "text", ("source", "src", "source_text"), is_content=True)
_TARGET = Part("target", "text", ("target", "tgt", "target_text", "translation"), is_content=True)
_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="prompt",
    head="lm",
    reason="the task is a translation",
    no_prompt=None,
    unused=(),
    traits=(),
    usual_metrics=("bleu", "chrf", "ter"),
    least_steps=OF_ANSWERS,
    does="translates a text",
    pipeline="text-generation",
    split_pipeline="translation",
)


class Translation(Prompted):
    """A text in one language, the same in another; only the translation is trained on."""

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(_SOURCE, _TARGET),
        row_forms=(("source", "target"),),
        template_form=("target",),
        written_parts=("target",),
        answer_parts=("target",),
        beside={},
        signs=((Sign("source", "name"), Sign("target", "name")),),
        guess_order=55,
        guessed=(),
        foreign_names=("translate", "machine-translation", "mt"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=True,
        slices_obstacle=None,
        teacher_obstacle=None,
        starter="google-t5/t5-small",
    )

    kind: Literal["translation"]
    source_language: str | None = Field(default=None, min_length=1, max_length=100)
    """Language of the source, such as `English`, for the usual prompt. Default: none, so that the prompt names none."""
    target_language: str | None = Field(default=None, min_length=1, max_length=100)
    """Language of the translation, such as `German`, for the usual prompt. Default: none, so that the prompt names
    none."""

    def modes(self) -> tuple[Mode, ...]:
        """The translation is written."""
        return (_MODE,)

    def rows(self) -> TextRows:
        """Texts with their translations."""
        return TextRows()

    def usual_prompt(self, facts: PromptFacts) -> tuple[str, str]:
        """The text, and between which languages it is to be translated, as far as the recipe names them."""
        text, source, target = facts.value("source"), self.source_language, self.target_language
        if facts.family == "encoder_decoder":
            if facts.summary_prefix and source and target:
                return f"translate {_said(source)} to {_said(target)}: {text}", "the prompt T5 was trained with"
            return text, "only the text"
        languages = (f" from {_said(source)}" if source else "") + (f" to {_said(target)}" if target else "")
        return (
            f"Translate the following text{languages}.\n\n{text}\n\nTranslation:",
            "the default prompt for a translation",
        )


def _said(language: str) -> str:
    """A name as a literal, since it may hold what a template would read."""
    return f"{{{{ {json.dumps(language, ensure_ascii=False)} }}}}"
