"""What is said of each task, and how other programs call it: one table for the plan, the report and the model card."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.streams import SplitReport
from ftc.views import numbers

__all__ = ["TaskWords", "learnt_noun", "learnt_of_rows", "task_words"]


@dataclass(frozen=True, slots=True)
class TaskWords:
    """Words for a task.

    Attributes:
        does: What a model for it does, completing "A model that …".
        pipeline: The hub's name of the task.
        auto_class: The class of transformers that loads such a model.
    """

    does: str
    pipeline: str
    auto_class: str


_WRITES = "AutoModelForCausalLM"
_WORDS = {
    "classification": TaskWords("sorts text into classes", "text-classification", "AutoModelForSequenceClassification"),
    "choice": TaskWords("sorts text into classes by writing their names", "text-generation", _WRITES),
    "token_classification": TaskWords(
        "gives each word of a text a tag", "token-classification", "AutoModelForTokenClassification"
    ),
    "extraction": TaskWords(
        "finds the answer to a question in a text", "question-answering", "AutoModelForQuestionAnswering"
    ),
    "question_answering": TaskWords("answers questions", "text-generation", _WRITES),
    "summarization": TaskWords("sums up a text", "summarization", _WRITES),
    "generation": TaskWords("writes a completion for a prompt", "text-generation", _WRITES),
    "chat": TaskWords("answers in a conversation", "text-generation", _WRITES),
    "preference": TaskWords("answers as people prefer", "text-generation", _WRITES),
    "pretraining": TaskWords("goes on with a text", "text-generation", _WRITES),
}


def task_words(plan: Plan) -> TaskWords:
    """Words for a plan's task."""
    kind = {"extract": "extraction"}.get(plan.settings.text.form, plan.recipe.task.kind)
    if kind == "classification" and plan.settings.model.head == "lm":
        kind = "choice"
    words = _WORDS[kind]
    if plan.settings.model.head != "lm" or plan.settings.model.family != "encoder_decoder":
        return words
    pipeline = "summarization" if plan.recipe.task.kind == "summarization" else "text2text-generation"
    return TaskWords(words.does, pipeline, "AutoModelForSeq2SeqLM")


def learnt_noun(plan: Plan) -> str:
    """What the count of supervised things counts, where these aren't tokens; a plural, or empty."""
    nouns = {"classify": "row labels", "tag": "tags of words", "extract": "begins and ends", "preference": "pairs"}
    return nouns.get(plan.settings.text.form, "")


def learnt_of_rows(form: str, report: SplitReport) -> str:
    """What is learnt of a split's rows, where it isn't a share of their tokens; else empty."""
    match form:
        case "classify":
            return "one label a row"
        case "tag":
            return f"{numbers.magnitude(report.supervised_tokens)} tagged words"
        case "extract":
            return f"in {numbers.plural(report.rows, 'window')} of one answer each"
        case "preference":
            return "two answers a row"
        case _:
            return ""
