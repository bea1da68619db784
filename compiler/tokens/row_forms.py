"""How rows of a task are read: from the settled wording and the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

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
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import ANSWER_COLUMN, REFERENCES_COLUMN, AnswerRows, LabelRows, TagRows
from ftc.spec.text_forms import FormName

__all__ = ["Wording", "row_form"]


class Wording(NamedTuple):
    """What is settled of a text's form beside its columns."""

    form: FormName
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
    kind = task.rows()
    match wording.form:
        case "classify":
            return ClassifyForm(
                text=columns["text"],
                text_pair=columns.get("text_pair"),
                label=columns["label"],
                labels=labels,
                multi_label=isinstance(kind, LabelRows) and kind.several,
                end_id=wording.end_id if wording.family == "encoder_decoder" else None,
            )
        case "tag" if "spans" in columns:
            return TagForm(text=columns["text"], spans=columns["spans"], labels=labels)
        case "tag":
            assert isinstance(kind, TagRows), "words have tags"
            return TagForm(words=columns["tokens"], tags=columns["tags"], labels=labels, scheme=kind.scheme)
        case "extract":
            assert isinstance(kind, AnswerRows), "answers are cut out of contexts"
            return ExtractForm(
                question=columns["question"],
                context=columns["context"],
                answers=columns["answers"],
                stride=kind.stride,
            )
        case "chat":
            return ChatForm(messages=columns["messages"], tools=columns.get("tools"))
        case "preference":
            return _preference_form(columns, rows)
        case "raw":
            return RawForm(text=columns["text"])
        case "prompt":
            assert wording.prompt is not None, "a task that asks has a prompt"
            return PromptForm(
                prompt=wording.prompt,
                completion=next((columns[part] for part in task.CARD.written_parts if part in columns), ANSWER_COLUMN),
                system=wording.system,
                references=REFERENCES_COLUMN if isinstance(kind, AnswerRows) else None,
                is_split=wording.family == "encoder_decoder",
            )
        case _:
            assert_never(wording.form)


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
