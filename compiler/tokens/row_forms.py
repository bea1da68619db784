"""How rows of a task are read: from the settled wording and the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from ftc.compiler.resolve.rows.canonical_rows import ANSWER_COLUMN, REFERENCES_COLUMN
from ftc.compiler.tokens.forms import (
    ChatForm,
    ClassifyForm,
    ExtractForm,
    PreferenceForm,
    PromptForm,
    RawForm,
    TagForm,
    TextForm,
)
from ftc.spec.architectures import Family
from ftc.spec.task import (
    Chat,
    Classification,
    Generation,
    Preference,
    Pretraining,
    QuestionAnswering,
    Summarization,
    Task,
    TokenClassification,
)

__all__ = ["Wording", "row_form"]


class Wording(NamedTuple):
    """What is settled of a text's form beside its columns."""

    form: str
    """As in `ftc.spec.documents.settings.TextSettings`."""
    prompt: str | None
    system: str | None
    family: Family
    end_id: int | None
    """Token that ends a text."""


def row_form(
    task: Task,
    columns: Mapping[str, str],
    labels: tuple[str, ...],
    wording: Wording,
    rows: Sequence[Mapping[str, Any]],
) -> TextForm:
    """How rows are read.

    Args:
        task: The task.
        columns: Column by part of the task.
        labels: Outputs of the head, in order.
        wording: Form, prompt and system message.
        rows: Some rows; the first tells whether the answers of preferences are messages.
    """
    match task:
        case Classification(mode="head"):
            return ClassifyForm(
                text=columns["text"],
                text_pair=columns.get("text_pair"),
                label=columns["label"],
                labels=labels,
                multi_label=task.multi_label,
                end_id=wording.end_id if wording.family == "encoder_decoder" else None,
            )
        case TokenClassification():
            return _tag_form(task, columns, labels)
        case QuestionAnswering() if wording.form == "extract":
            return ExtractForm(
                question=columns["question"],
                context=columns["context"],
                answers=columns["answers"],
                stride=task.stride,
            )
        case Chat():
            return ChatForm(messages=columns["messages"], tools=columns.get("tools"))
        case Preference():
            return _preference_form(columns, rows)
        case Pretraining():
            return RawForm(text=columns["text"])
        case Classification() | QuestionAnswering() | Summarization() | Generation():
            return _prompt_form(task, columns, wording)
        case _:
            assert_never(task)


def _tag_form(task: TokenClassification, columns: Mapping[str, str], labels: tuple[str, ...]) -> TagForm:
    if "spans" in columns:
        return TagForm(text=columns["text"], spans=columns["spans"], labels=labels)
    return TagForm(words=columns["tokens"], tags=columns["tags"], labels=labels, scheme=task.scheme)


def _prompt_form(task: Task, columns: Mapping[str, str], wording: Wording) -> PromptForm:
    is_question = isinstance(task, QuestionAnswering)
    answers = (columns[part] for part in ("completion", "output", "summary") if part in columns)
    assert wording.prompt is not None, "a task that asks has a prompt"
    return PromptForm(
        prompt=wording.prompt,
        completion=next(answers, ANSWER_COLUMN),
        system=wording.system,
        references=REFERENCES_COLUMN if is_question else None,
        is_split=wording.family == "encoder_decoder",
    )


def _preference_form(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> PreferenceForm:
    if rows and isinstance(rows[0][columns["chosen"]], list):
        return PreferenceForm(
            chosen=ChatForm(messages=columns["chosen"]), rejected=ChatForm(messages=columns["rejected"])
        )
    prompt = "{{ " + columns["prompt"] + " }}"
    return PreferenceForm(
        chosen=PromptForm(prompt=prompt, completion=columns["chosen"]),
        rejected=PromptForm(prompt=prompt, completion=columns["rejected"]),
    )
