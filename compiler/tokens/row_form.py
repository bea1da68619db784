"""Which form the rows of a task have: from the column of each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from ftc.compiler.resolve.rows.in_processes import found_in
from ftc.compiler.resolve.rows.labels import label_column
from ftc.compiler.tokens.forms import (
    AnswerForm,
    ChatForm,
    ClassifyForm,
    EmbedForm,
    ExtractForm,
    MaskedForm,
    PreferenceForm,
    PromptForm,
    RawForm,
    RerankForm,
    ScoreForm,
    SpanForm,
    StepForm,
    TagForm,
    TextForm,
)
from ftc.spec.architectures import Family
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import (
    ANSWER_COLUMN,
    CHOSEN_COLUMN,
    NEGATIVES_COLUMN,
    NUMBERS_COLUMN,
    OTHER_ANSWER_COLUMN,
    PAIR_WEIGHT_COLUMN,
    RATING_COLUMN,
    REFERENCES_COLUMN,
    REJECTED_COLUMN,
    TURNS_COLUMN,
    AnswerRows,
    LabelRows,
    PromptRows,
    RatedRows,
    ScoredAnswerRows,
    StepRows,
    TagRows,
    TextGroupRows,
)
from ftc.spec.text_forms import FormName

__all__ = ["Wording", "row_form", "turns_column"]


class Wording(NamedTuple):
    """What is settled of a text's form beside its columns."""

    form: FormName
    prompt: str | None
    system: str | None
    family: Family
    end_id: int | None
    """Token that ends a text."""


_Parts = Sequence[Sequence[Mapping[str, Any]]]


def row_form(
    task: Task,
    columns: Mapping[str, str],
    labels: tuple[str, ...],
    wording: Wording,
    *parts: Sequence[Mapping[str, Any]],
) -> TextForm:
    """How rows are read: from the column of each part.

    Args:
        task: The task.
        columns: Column by part.
        labels: Outputs of the head, in order.
        wording: Form, prompt and system message.
        parts: The rows of each part; the very first one says whether the answers of preferences are messages.
    """
    kind = task.rows()
    match wording.form:
        case "classify":
            several = isinstance(kind, LabelRows) and kind.several
            label = label_column(columns)
            return ClassifyForm(label=label, labels=labels, multi_label=several, **_texts(columns, wording))
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
        case "preference" | "answer" | "steps":
            return _judged_form(task, columns, labels, parts)
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
                turns=turns_column(columns, *parts),
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


def _judged_form(
    task: Task, columns: Mapping[str, str], labels: tuple[str, ...], parts: _Parts
) -> PreferenceForm | AnswerForm | StepForm:
    """Two answers, one beside that of another row to the same prompt, one with its number, or one in steps."""
    kind, rows = task.rows(), parts[0]
    if isinstance(kind, StepRows):
        return StepForm(
            prompt=columns["prompt"],
            steps=columns["steps"],
            ratings=columns["step_labels"],
            labels=labels,
            separator=task.separator,
        )
    if isinstance(kind, ScoredAnswerRows):
        return AnswerForm(written=_own_answer(columns, parts))
    if not isinstance(kind, RatedRows):
        has_several = bool(rows) and CHOSEN_COLUMN in rows[0]
        both = {**columns, **({"chosen": CHOSEN_COLUMN, "rejected": REJECTED_COLUMN} if has_several else {})}
        chosen = _preferred(both, parts)
        rejected = _of_column(chosen, both["rejected"])
        return PreferenceForm(chosen=chosen, rejected=rejected, weight=PAIR_WEIGHT_COLUMN if has_several else None)
    own = _own_answer(columns, parts)
    return PreferenceForm(chosen=own, rejected=_of_column(own, OTHER_ANSWER_COLUMN), rating=RATING_COLUMN)


def _of_column(form: ChatForm | PromptForm, column: str) -> ChatForm | PromptForm:
    """The form of an answer, for that of another column."""
    return form.model_copy(update={"messages" if isinstance(form, ChatForm) else "completion": column})


def _own_answer(columns: Mapping[str, str], parts: _Parts) -> ChatForm | PromptForm:
    """How a single answer is read: as the end of a conversation, or behind its prompt."""
    if "messages" in columns:
        return ChatForm(messages=columns["messages"], train_on="last")
    return _answered(columns, "completion", parts)


def _preferred(columns: Mapping[str, str], parts: _Parts) -> ChatForm | PromptForm:
    """How the preferred of two answers is read: messages, or text after the prompt."""
    if (rows := parts[0]) and isinstance(rows[0][columns["chosen"]], list):
        return ChatForm(messages=columns["chosen"])
    return _answered(columns, "chosen", parts)


def _answered(columns: Mapping[str, str], part: str, parts: _Parts) -> PromptForm:
    """An answer behind its prompt, which turns may stand before."""
    return PromptForm(
        prompt="{{ " + columns["prompt"] + " }}", completion=columns[part], turns=turns_column(columns, *parts)
    )


def turns_column(columns: Mapping[str, str], *parts: Sequence[Mapping[str, Any]]) -> str | None:
    """The column of the turns before a prompt, where a column gives them or the prompt of a row in any part does."""
    if columns.keys() & {"system", "history"}:
        return TURNS_COLUMN
    found = (one for rows in parts for one in found_in(rows, lambda row: TURNS_COLUMN in row or None))
    return None if next(found, None) is None else TURNS_COLUMN
