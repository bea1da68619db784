"""What the tuned model is for. The task implies row schema, text form, model head, metrics and report.

Parts are what a task reads of a row; `data.fields` says which column plays which. Where a task can read several kinds
of rows, `ROW_FORMS` has the parts of each, the usual one first; `ANSWER` is what is left when a template is the prompt.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from ftc.spec.base import Document, Effect, Real

__all__ = [
    "TASKS",
    "Chat",
    "Classification",
    "Generation",
    "Preference",
    "Pretraining",
    "Prompted",
    "QuestionAnswering",
    "Summarization",
    "Task",
    "TokenClassification",
    "kind_of",
]


class Prompted(Document):
    """What tasks have in common that ask with a prompt."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    prompt: str | None = Field(default=None, min_length=1, max_length=20_000)
    """Jinja template of the prompt over the row's columns, such as `Summarise: {{ article }}`. Default: the column
    that `data.fields.prompt` names as it stands, or, for a task that implies a question, the usual words for it."""
    system: str | None = Field(default=None, min_length=1, max_length=20_000)
    """System message for models with a chat template. Default: none, so that the model's own template decides."""


class Classification(Prompted):
    """One label out of several for each text, or any number of them."""

    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("text", "label")
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("text_pair",)
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (REQUIRED_FIELDS,)

    kind: Literal["classification"]
    labels: tuple[str, ...] | None = Field(default=None, min_length=2, max_length=10_000)
    """The classes in the order of the head's outputs. Default: the labels of the data, sorted, since no order is
    better than another and a sorted one does not depend on the order of the rows."""
    mode: Literal["head", "generative"] = "head"
    """`head`: a new output layer gives each class a score. `generative`: the model writes the label behind a prompt,
    and anything else that it writes is wrong. Default: head, which is faster and can't answer beside the classes."""
    multi_label: bool = False
    """Whether a row has any number of labels, none included: the column holds lists. Each label is then decided by
    itself, at a probability of one half. Default: no, a row has exactly one."""


class TokenClassification(Document):
    """A tag for each word: names, places and other entities, or parts of speech."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("tokens", "tags")
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("text", "spans")
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (REQUIRED_FIELDS, ("text", "spans"))

    kind: Literal["token_classification"]
    labels: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=5_000)
    """Types of entities, such as `[LOC, PER]`; with `scheme: plain`, the tags. Default: those of the training rows,
    sorted."""
    scheme: Literal["iob2", "iob1", "plain"] = "iob2"
    """What the tags of words mean. `iob2`: `B-` begins an entity and `I-` goes on with it. `iob1`: `I-`, and `B-` only
    between two entities of one type; such tags become IOB2. `plain`: a tag stands for itself. Default: iob2, the most
    common."""


class Generation(Prompted):
    """A prompt in, a completion out; only the completion is learnt."""

    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("completion",)
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("prompt", "instruction", "input", "output")
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt", "completion"), ("instruction", "output"))
    ANSWER: ClassVar[tuple[str, ...]] = ("completion",)

    kind: Literal["generation"]


class Summarization(Prompted):
    """A document in, its summary out; only the summary is learnt."""

    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("document", "summary")
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ()
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (REQUIRED_FIELDS,)
    ANSWER: ClassVar[tuple[str, ...]] = ("summary",)

    kind: Literal["summarization"]


class QuestionAnswering(Prompted):
    """Questions, answered by a stretch of a context or in the model's own words."""

    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("question", "answers")
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("context", "answer_start")
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (REQUIRED_FIELDS,)

    kind: Literal["question_answering"]
    mode: Literal["auto", "extractive", "generative"] = "auto"
    """`extractive`: a new head finds the answer's begin and end in the context. `generative`: the model writes it.
    Default `auto`: extractive with an encoder, generative with any other model."""
    stride: int = Field(default=128, ge=1, le=100_000)
    """Tokens that neighbouring windows of a long context have in common, so that an answer at the edge of one stands
    whole in the next. Only for `extractive`. Default: 128, longer than nearly any answer."""
    max_answer_length: int = Field(default=30, ge=1, le=10_000)
    """Longest answer that is cut out of a context, in tokens. Only for `extractive`. Default: 30, as in the reference
    for SQuAD."""


class Chat(Document):
    """Conversations; only the assistant's turns are learnt."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("messages",)
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("tools",)
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (REQUIRED_FIELDS,)

    kind: Literal["chat"]


class Preference(Document):
    """Two answers to a prompt, of which one is preferred, learnt by direct preference optimisation (Rafailov 2023).

    The reference is the model before the first step. What it gives each answer is computed once, before training, so
    that no second model has to be held.
    """

    EFFECT: ClassVar[Effect] = Effect.DATA
    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("chosen", "rejected")
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ("prompt",)
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (("prompt", "chosen", "rejected"), REQUIRED_FIELDS)

    kind: Literal["preference"]
    beta: Real = Field(default=0.1, gt=0, le=100)
    """How closely the model stays to the reference: more is closer. Default: 0.1, the paper's."""


class Pretraining(Document):
    """Raw text; every token is learnt from those before it. Texts stand one after the other in full blocks."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    REQUIRED_FIELDS: ClassVar[tuple[str, ...]] = ("text",)
    OPTIONAL_FIELDS: ClassVar[tuple[str, ...]] = ()
    ROW_FORMS: ClassVar[tuple[tuple[str, ...], ...]] = (REQUIRED_FIELDS,)

    kind: Literal["pretraining"]


TASKS = (
    Classification,
    TokenClassification,
    QuestionAnswering,
    Summarization,
    Generation,
    Chat,
    Preference,
    Pretraining,
)
"""Every task, those with a new head first."""


def kind_of(task: type[Document]) -> str:
    """The name of a task in a recipe."""
    return str(get_args(task.model_fields["kind"].annotation)[0])


Task = Annotated[
    Classification
    | TokenClassification
    | QuestionAnswering
    | Summarization
    | Generation
    | Chat
    | Preference
    | Pretraining,
    Field(discriminator="kind"),
]
"""Any task, told apart by `kind`."""
