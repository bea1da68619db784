"""How a data row becomes text: what is read of it, and what of that is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, assert_never

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ftc.spec.architectures import Family
from ftc.spec.base import Document
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import (
    ANSWER_COLUMN,
    NEGATIVES_COLUMN,
    NUMBERS_COLUMN,
    OTHER_ANSWER_COLUMN,
    RATING_COLUMN,
    REFERENCES_COLUMN,
    TURNS_COLUMN,
    AnswerRows,
    LabelRows,
    PromptRows,
    RatedRows,
    TagRows,
    TextGroupRows,
)
from ftc.spec.tasks.turns import TrainOn
from ftc.spec.text_forms import FormName

__all__ = [
    "ChatForm",
    "ClassifyForm",
    "EmbedForm",
    "ExtractForm",
    "MaskedForm",
    "PreferenceForm",
    "PromptForm",
    "RawForm",
    "RerankForm",
    "ScoreForm",
    "SpanForm",
    "TagForm",
    "TextForm",
    "Wording",
    "row_form",
]


class ClassifyForm(Document):
    """A text, or a pair of texts, and its class. The tokenizer's own special tokens are added."""

    kind: Literal["classify"] = "classify"
    text: str
    """Column of the text."""
    text_pair: str | None = None
    """Column of the second text, such as a hypothesis beside its premise."""
    label: str
    """Column of the class."""
    labels: tuple[str, ...]
    """Names of the classes; a row's label is its class's index."""
    multi_label: bool = False
    """Whether the column holds a list of classes."""
    end_id: int | None = None
    """Token that every row must end with, where a head looks for it; most tokenizers write it by themselves."""


class ScoreForm(Document):
    """A text, or a pair of texts, and its numbers. The tokenizer's own special tokens are added."""

    kind: Literal["score"] = "score"
    text: str
    """Column of the text."""
    text_pair: str | None = None
    """Column of the second text."""
    numbers: str = NUMBERS_COLUMN
    """Column of the numbers, a list."""
    end_id: int | None = None
    """Token that every row must end with, where a head looks for it; most tokenizers write it by themselves."""


class TagForm(Document):
    """Words with a tag each: two columns of lists, or a text with labeled stretches."""

    kind: Literal["tag"] = "tag"
    words: str = ""
    """Column of the words, a list."""
    tags: str = ""
    """Column of their tags, a list as long."""
    text: str = ""
    """Column of the text, where its stretches are labeled."""
    spans: str | None = None
    """Column of the stretches, a list of `{start, end, label}` in characters; None where words have tags."""
    labels: tuple[str, ...]
    """Tags in the order of the head's outputs."""
    scheme: Literal["iob2", "iob1", "plain"] = "iob2"
    """What the tags of words are; stretches have IOB2 tags."""
    keeps_places: bool = False
    """Whether the stream says where each tagged word stands in the text, as rows need that are predicted for."""


class ExtractForm(Document):
    """A question and a context that holds the answer, in as many windows as the context needs."""

    kind: Literal["extract"] = "extract"
    question: str
    context: str
    answers: str
    """Column of the answers, `{text: […], answer_start: […]}`; empty lists where the context holds none."""
    stride: int | None
    """Tokens of the context that neighboring windows have in common; None for what suits their length."""


class EmbedForm(Document):
    """Texts that are compared, each a sequence of its own. The tokenizer's own special tokens are added to each."""

    kind: Literal["embed"] = "embed"
    texts: dict[str, str]
    """Column of each text, with what stands before it: of a query and its passage, or of two texts."""
    negatives: str | None = None
    """Column of further passages, a list of texts with the prefix of the last text."""
    numbers: str | None = None
    """Column of how similar the texts are, a list of one number."""


class RerankForm(Document):
    """A query with each of several texts: pairs, each a sequence of its own, with the tokenizer's special tokens."""

    kind: Literal["rerank"] = "rerank"
    query: str
    positive: str | None
    """Column of the right text; None where nobody knows it."""
    negatives: str
    """Column of the other texts, a list."""
    margins: str | None
    """Column of how much higher a teacher scores the right text than each other one, a list; None for none."""


class RawForm(Document):
    """Texts one after the other, cut into blocks; every token is learned."""

    kind: Literal["raw"] = "raw"
    text: str
    """Column of the text."""


class MaskedForm(Document):
    """Texts one after the other, cut into blocks, some of whose tokens are masked and have to be filled in."""

    kind: Literal["masked"] = "masked"
    text: str
    """Column of the text."""
    share: float
    """Share of the tokens that are masked."""
    is_given: bool = False
    """Whether each text is a row of its own, in which mask tokens stand already."""


class SpanForm(Document):
    """Texts one after the other, cut into blocks, of which spans are missing and have to be written."""

    kind: Literal["spans"] = "spans"
    text: str
    """Column of the text."""
    share: float
    """Share of the tokens that are missing."""
    mean_length: float
    """Tokens of a missing span on average."""
    is_given: bool = False
    """Whether each text is a row of its own, in which sentinels stand already."""


class ChatForm(Document):
    """A conversation, written by the model's chat template."""

    kind: Literal["chat"] = "chat"
    messages: str = "messages"
    """Column of the conversation: a list of `{role, content}`."""
    tools: str | None = None
    """Column of the tools that the assistant may call: a list of JSON schemas."""
    train_on: TrainOn = "assistant"
    """Which turns are trained on."""

    @model_serializer(mode="wrap")
    def _without_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if (name, value) != ("train_on", "assistant")}


class PromptForm(Document):
    """A prompt made of the row's columns, and a completion, which is supervised.

    With a chat template they are a user's and an assistant's turn; without one, the completion follows the prompt and
    the end-of-sequence token ends it.
    """

    kind: Literal["prompt"] = "prompt"
    prompt: str
    """Jinja template over the row's columns, such as `Summarize:\\n{{ text }}\\nSummary: `."""
    completion: str
    """Column of the completion."""
    system: str | None = None
    """What the system's turn says; without a chat template, a line before the prompt."""
    references: str | None = None
    """Column of further right answers, a list of texts; the completion is the one that is learned."""
    is_split: bool = False
    """Whether an encoder reads the prompt and a decoder writes the completion."""
    turns: str | None = None
    """Column of the turns before the prompt, a list of `{role, content}`; a row may have none."""
    images: str | None = None
    """Column of the images before the prompt, the sha256 of each; a row may have none."""
    is_question: bool = False
    """Whether the prompt is all that is kept, since the model answers it itself."""

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        optional = ("turns", "images", "is_question")
        return {name: value for name, value in handler(self).items() if name not in optional or value}


class PreferenceForm(Document):
    """Two answers to a prompt of which one is preferred: as texts, or as the ends of two conversations."""

    kind: Literal["preference"] = "preference"
    chosen: PromptForm | ChatForm
    rejected: PromptForm | ChatForm
    rating: str | None = None
    """Column of the rating, where the first answer is the row's own and the second another row's."""

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name != "rating" or value}


TextForm = Annotated[
    ClassifyForm
    | ScoreForm
    | TagForm
    | ExtractForm
    | EmbedForm
    | RerankForm
    | ChatForm
    | PromptForm
    | PreferenceForm
    | RawForm
    | MaskedForm
    | SpanForm,
    Field(discriminator="kind"),
]
"""Any form, told apart by `kind`."""


class Wording(NamedTuple):
    """What is settled of a text's form beside its columns."""

    form: FormName
    prompt: str | None
    system: str | None
    family: Family
    end_id: int | None
    """Token that ends a text."""


def row_form(
    task: Task, columns: Mapping[str, str], labels: tuple[str, ...], wording: Wording, rows: Sequence[Mapping[str, Any]]
) -> TextForm:
    """How rows are read: from the column of each part.

    Args:
        task: The task.
        columns: Column by part.
        labels: Outputs of the head, in order.
        wording: Form, prompt and system message.
        rows: Some; the first says whether the answers of preferences are messages.
    """
    kind = task.rows()
    match wording.form:
        case "classify":
            several = isinstance(kind, LabelRows) and kind.several
            return ClassifyForm(label=columns["label"], labels=labels, multi_label=several, **_texts(columns, wording))
        case "score":
            return ScoreForm(**_texts(columns, wording))
        case "tag" if "spans" in columns:
            return TagForm(text=columns["text"], spans=columns["spans"], labels=labels)
        case "tag":
            assert isinstance(kind, TagRows)
            return TagForm(words=columns["tokens"], tags=columns["tags"], labels=labels, scheme=kind.scheme)
        case "extract":
            assert isinstance(kind, AnswerRows), "answers are cut out of contexts"
            return ExtractForm(
                question=columns["question"],
                context=columns["context"],
                answers=columns["answers"],
                stride=kind.stride,
            )
        case "embed" | "rerank":
            assert isinstance(kind, TextGroupRows), "texts are compared"
            return _group_form(task, columns, kind)
        case "chat":
            return ChatForm(messages=columns["messages"], tools=columns.get("tools"), train_on=task.turns)
        case "preference":
            return _rated_form(columns) if isinstance(kind, RatedRows) else _pair_form(columns, rows)
        case "raw" | "masked" | "spans":
            return _block_form(task, columns["text"])
        case "prompt" | "sample":
            assert wording.prompt is not None, "a task that asks has a prompt"
            return PromptForm(
                prompt=wording.prompt,
                completion=next((columns[part] for part in task.CARD.written_parts if part in columns), ANSWER_COLUMN),
                system=wording.system,
                references=REFERENCES_COLUMN if isinstance(kind, AnswerRows | PromptRows) else None,
                is_split=wording.family == "encoder_decoder",
                images=columns.get("image"),
                turns=TURNS_COLUMN if columns.keys() & {"system", "history"} else None,
                is_question=wording.form == "sample",
            )
        case _:
            assert_never(wording.form)


def _block_form(task: Task, text: str) -> RawForm | MaskedForm | SpanForm:
    """Whole, or with tokens masked, or without some spans."""
    if (spans := task.spans) is not None:
        return SpanForm(text=text, share=spans.share, mean_length=spans.mean_length)
    return RawForm(text=text) if task.masked_share is None else MaskedForm(text=text, share=task.masked_share)


def _texts(columns: Mapping[str, str], wording: Wording) -> dict[str, Any]:
    """A text, or a pair of texts, and what each row ends with."""
    end_id = wording.end_id if wording.family == "encoder_decoder" else None
    return {"text": columns["text"], "text_pair": columns.get("text_pair"), "end_id": end_id}


def _group_form(task: Task, columns: Mapping[str, str], kind: TextGroupRows) -> EmbedForm | RerankForm:
    """Which texts of a row are compared, each behind its prefix, or beside its query."""
    query, passage = task.prefixes
    if kind.is_ranked:
        margins = NUMBERS_COLUMN if "margin" in columns else None
        return RerankForm(
            query=columns["query"], positive=columns["positive"], negatives=NEGATIVES_COLUMN, margins=margins
        )
    if kind.is_scored:
        return EmbedForm(texts={columns[part]: query for part in ("sentence1", "sentence2")}, numbers=NUMBERS_COLUMN)
    negatives = NEGATIVES_COLUMN if "negative" in columns else None
    return EmbedForm(texts={columns["query"]: query, columns["positive"]: passage}, negatives=negatives)


def _pair_form(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> PreferenceForm:
    return PreferenceForm(
        chosen=_answer_form("chosen", columns, rows), rejected=_answer_form("rejected", columns, rows)
    )


def _rated_form(columns: Mapping[str, str]) -> PreferenceForm:
    """A rated answer, and that of another row to the same prompt."""
    if "messages" in columns:
        own, other = ChatForm(messages=columns["messages"], train_on="last"), ChatForm(messages=OTHER_ANSWER_COLUMN)
        return PreferenceForm(chosen=own, rejected=other.model_copy(update={"train_on": "last"}), rating=RATING_COLUMN)
    asked = PromptForm(prompt="{{ " + columns["prompt"] + " }}", completion=columns["completion"])
    other_form = asked.model_copy(update={"completion": OTHER_ANSWER_COLUMN})
    return PreferenceForm(chosen=asked, rejected=other_form, rating=RATING_COLUMN)


def _answer_form(part: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> ChatForm | PromptForm:
    """How one of the two answers of a preference is read: messages, or text after the prompt."""
    if rows and isinstance(rows[0][columns["chosen"]], list):
        return ChatForm(messages=columns[part])
    return PromptForm(prompt="{{ " + columns["prompt"] + " }}", completion=columns[part])
