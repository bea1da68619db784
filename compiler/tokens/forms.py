"""How a data row becomes text: what is read of it, and what of that is learned."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, SparseDocument
from ftc.spec.tasks.rows import (
    NUMBERS_COLUMN,
)
from ftc.spec.tasks.turns import TrainOn

__all__ = [
    "AnswerForm",
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
    "StepForm",
    "TagForm",
    "TextForm",
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


class ChatForm(SparseDocument):
    """A conversation, written by the model's chat template."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("train_on",)

    kind: Literal["chat"] = "chat"
    messages: str = "messages"
    """Column of the conversation: a list of `{role, content}`."""
    tools: str | None = None
    """Column of the tools that the assistant may call: a list of JSON schemas."""
    train_on: TrainOn = "assistant"
    """Which turns are trained on."""


class PromptForm(SparseDocument):
    """A prompt made of the row's columns, and a completion, which is supervised.

    With a chat template they are a user's and an assistant's turn; without one, the completion follows the prompt and
    the end-of-sequence token ends it.
    """

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("turns", "images", "is_question")

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


class PreferenceForm(SparseDocument):
    """Two answers to a prompt of which one is preferred: as texts, or as the ends of two conversations."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("rating", "weight")

    kind: Literal["preference"] = "preference"
    chosen: PromptForm | ChatForm
    rejected: PromptForm | ChatForm
    rating: str | None = None
    """Column of the rating, where the first answer is the row's own and the second another row's."""
    weight: str | None = None
    """Column of what the loss of a pair is multiplied by; None where all pairs count alike."""


class AnswerForm(Document):
    """A prompt with an answer, or a conversation that ends with it, which is rated as a whole."""

    kind: Literal["answer"] = "answer"
    written: PromptForm | ChatForm
    """How prompt and answer are written, as if the answer were learned."""
    numbers: str = NUMBERS_COLUMN
    """Column of the rating, a list of one number."""


class StepForm(Document):
    """A prompt and an answer in steps, each of which is rated at the last token of the separator behind it."""

    kind: Literal["steps"] = "steps"
    prompt: str
    """Column of the prompt."""
    steps: str
    """Column of the steps, a list of texts."""
    ratings: str
    """Column of their ratings, a list as long."""
    labels: tuple[str, ...]
    """What ratings are called, in the order of the head's outputs."""
    separator: str
    """Text behind each step."""


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
    | AnswerForm
    | StepForm
    | RawForm
    | MaskedForm
    | SpanForm,
    Field(discriminator="kind"),
]
"""Any form, told apart by `kind`."""
