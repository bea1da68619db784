"""What the tuned model is for. The task implies row schema, text form, model head, metrics and report."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftc.spec.base import Document, Effect

__all__ = ["Chat", "Classification", "Generation", "Task"]


class Classification(Document):
    """One label out of several for each text, by a new head on the model's encoding."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("text", "label")
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("text_pair",)

    kind: Literal["classification"]
    labels: tuple[str, ...] | None = Field(default=None, min_length=2, max_length=10_000)
    """The classes in the order of the head's outputs. Default: the labels of the data, sorted, since no order is
    better than another and a sorted one does not depend on the order of the rows."""


class Generation(Document):
    """A prompt in, a completion out; only the completion is learnt."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("completion",)
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("prompt",)

    kind: Literal["generation"]
    prompt: str | None = Field(default=None, min_length=1, max_length=20_000)
    """Jinja template of the prompt over the row's columns, such as `Summarise: {{ article }}`. Default: the column
    that `data.fields.prompt` names, as it stands."""
    system: str | None = Field(default=None, min_length=1, max_length=20_000)
    """System message for models with a chat template. Default: none, so that the model's own template decides."""


class Chat(Document):
    """Conversations; only the assistant's turns are learnt."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("messages",)
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ()

    kind: Literal["chat"]


Task = Annotated[Classification | Generation | Chat, Field(discriminator="kind")]
"""Any task, told apart by `kind`."""
