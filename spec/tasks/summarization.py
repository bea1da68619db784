"""A document in, its summary out."""

from __future__ import annotations

from typing import ClassVar, Literal

from ftc.spec.tasks.card import EVERY_FAMILY, OF_ANSWERS, Mode, Prompted, PromptFacts, Sign, TaskCard
from ftc.spec.tasks.parts import DOCUMENT, SUMMARY
from ftc.spec.tasks.rows import TextRows

__all__ = ["Summarization"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="prompt",
    head="lm",
    reason="the task is a summarization",
    no_prompt=None,
    unused=(),
    traits=(),
    usual_metrics=("rouge_1", "rouge_2", "rouge_l", "rouge_lsum"),
    least_steps=OF_ANSWERS,
    does="summarizes a text",
    pipeline="summarization",
    split_pipeline="summarization",
)


class Summarization(Prompted):
    """A document in, its summary out; only the summary is learned."""

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(DOCUMENT, SUMMARY),
        row_forms=(("document", "summary"),),
        template_form=("summary",),
        written_parts=("summary",),
        answer_parts=("summary",),
        beside={},
        signs=((Sign("document", "name"), Sign("summary", "name", ("summary", "highlights", "abstract"))),),
        guess_order=50,
        guessed=(),
        foreign_names=("summary", "summarize"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=True,
        can_grade=True,
        slices_obstacle=None,
        teacher_obstacle=None,
        starter="google-t5/t5-small",
    )

    kind: Literal["summarization"]

    def modes(self) -> tuple[Mode, ...]:
        """The summary is written."""
        return (_MODE,)

    def rows(self) -> TextRows:
        """Documents with their summaries."""
        return TextRows()

    def usual_prompt(self, facts: PromptFacts) -> tuple[str, str]:
        """The document, with the words that the model knows for the task."""
        if facts.family == "encoder_decoder":
            if facts.summary_prefix:
                return f"{facts.summary_prefix}{facts.value('document')}", "the prompt T5 was trained with"
            return facts.value("document"), "only the document"
        text = f"Summarize the following text.\n\n{facts.value('document')}\n\nSummary:"
        return text, "the default prompt for a summary"
