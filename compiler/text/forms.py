"""How a data row becomes text: as something to classify, as a conversation, or as a prompt and its completion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ftc.spec.base import Document

__all__ = ["ChatForm", "ClassifyForm", "PromptForm", "TextForm"]


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


class ChatForm(Document):
    """A conversation, written by the model's chat template. The assistant's turns are supervised."""

    kind: Literal["chat"] = "chat"
    messages: str = "messages"
    """Column of the conversation: a list of `{role, content}`."""


class PromptForm(Document):
    """A prompt made of the row's columns, and a completion, which is supervised.

    With a chat template they are a user's and an assistant's turn; without one, the completion follows the prompt and
    the end-of-sequence token ends it.
    """

    kind: Literal["prompt"] = "prompt"
    prompt: str
    """Jinja template over the row's columns, such as `Summarise:\\n{{ text }}\\nSummary: `."""
    completion: str
    """Column of the completion."""
    system: str | None = None
    """What the system's turn says; without a chat template, a line before the prompt."""


TextForm = Annotated[ClassifyForm | ChatForm | PromptForm, Field(discriminator="kind")]
"""One of the three forms."""
