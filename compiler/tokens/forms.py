"""How a data row becomes text: what is read of it, and what of that is learned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.spec.base import Document

__all__ = [
    "ChatForm",
    "ClassifyForm",
    "ExtractForm",
    "PreferenceForm",
    "PromptForm",
    "RawForm",
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


class ExtractForm(Document):
    """A question and a context that holds the answer, in as many windows as the context needs."""

    kind: Literal["extract"] = "extract"
    question: str
    context: str
    answers: str
    """Column of the answers, `{text: […], answer_start: […]}`; empty lists where the context holds none."""
    stride: int
    """Tokens of the context that neighboring windows have in common."""


class RawForm(Document):
    """Texts one after the other, cut into blocks; every token is learned."""

    kind: Literal["raw"] = "raw"
    text: str
    """Column of the text."""


class ChatForm(Document):
    """A conversation, written by the model's chat template. The assistant's turns are supervised."""

    kind: Literal["chat"] = "chat"
    messages: str = "messages"
    """Column of the conversation: a list of `{role, content}`."""
    tools: str | None = None
    """Column of the tools that the assistant may call: a list of JSON schemas."""


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


class PreferenceForm(Document):
    """Two answers to a prompt of which one is preferred: as texts, or as the ends of two conversations."""

    kind: Literal["preference"] = "preference"
    chosen: PromptForm | ChatForm
    rejected: PromptForm | ChatForm


TextForm = Annotated[
    ClassifyForm | TagForm | ExtractForm | ChatForm | PromptForm | PreferenceForm | RawForm,
    Field(discriminator="kind"),
]
"""Any form, told apart by `kind`."""
