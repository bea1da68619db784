"""Questions, answered by a span of a context or in the model's own words."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.tasks.card import OF_ANSWERS, OF_NEW_HEAD, Mode, Prompted, PromptFacts, Sign, TaskCard, unused
from ftc.spec.tasks.parts import ANSWER_START, ANSWERS, CONTEXT, IMAGE, QUESTION
from ftc.spec.tasks.rows import AnswerRows

__all__ = ["QuestionAnswering"]

_EXTRACTIVE = Mode(
    option="extractive",
    families=("encoder",),
    form="extract",
    head="span",
    reason="an encoder finds answers in a context",
    no_prompt=("question and context are read as a pair of texts", "an encoder has no system message"),
    unused=unused(("prompt", "system"), "extractive question answering"),
    traits=(),
    usual_metrics=("exact_match", "answer_f1"),
    least_steps=OF_NEW_HEAD,
    does="finds the answer to a question in a text",
    pipeline="question-answering",
    split_pipeline="question-answering",
)
_WRITTEN = Mode(
    option="generative",
    families=("decoder", "encoder_decoder"),
    form="prompt",
    head="lm",
    reason="a model of the family {family} generates answers",
    no_prompt=None,
    unused=unused(("stride", "max_answer_length"), "generative question answering"),
    traits=(),
    usual_metrics=("exact_match", "answer_f1"),
    least_steps=OF_ANSWERS,
    does="answers questions",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)


class QuestionAnswering(Prompted):
    """Questions, answered by a span of a context or in the model's own words."""

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(QUESTION, ANSWERS, CONTEXT, ANSWER_START, IMAGE),
        row_forms=(("question", "answers"),),
        template_form=None,
        written_parts=(),
        answer_parts=("answers", "answer_start"),
        beside={"context": ("question",), "answer_start": ("answers",), "image": ("question",)},
        signs=((Sign("question", "name"), Sign("answers", "name")),),
        guess_order=40,
        guessed=(),
        foreign_names=("question-answering", "extractive-qa", "squad", "QUESTION_ANS"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=True,
        can_grade=True,
        slices_obstacle=None,
        teacher_obstacle=None,
        starter="distilbert/distilbert-base-uncased",
    )

    kind: Literal["question_answering"]
    mode: Literal["auto", "extractive", "generative"] = "auto"
    """`extractive`: a new head finds the answer's begin and end in the context. `generative`: the model writes it.
    Default `auto`: extractive with an encoder, generative with any other model."""
    stride: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = "auto"
    """Tokens that neighboring windows of a long context have in common, so that an answer at the edge of one is
    whole in the next. Only for `extractive`. Default `auto`: 128, longer than nearly any answer, but at most a third of
    a window."""
    max_answer_length: int = Field(default=30, ge=1, le=10_000)
    """Longest answer that is cut out of a context, in tokens. Only for `extractive`. Default: 30, as in the reference
    for SQuAD."""

    def modes(self) -> tuple[Mode, ...]:
        """Cut out of the context, or written; `auto` leaves both open."""
        return tuple(mode for mode in (_EXTRACTIVE, _WRITTEN) if self.mode in ("auto", mode.option))

    def rows(self) -> AnswerRows:
        """Questions with their right answers."""
        stride = None if self.stride == "auto" else self.stride
        return AnswerRows(is_extractive=self.mode == "extractive", stride=stride, longest=self.max_answer_length)

    def usual_prompt(self, facts: PromptFacts) -> tuple[str, str]:
        """The question, below its context where there is one."""
        asked = f"Question: {facts.value('question')}\nAnswer:"
        if "context" not in facts.columns:
            return asked, "the default prompt for a question without a context"
        words = f"Answer the question with the help of the context.\n\nContext: {facts.value('context')}\n\n{asked}"
        return words, "the default prompt for a question"
