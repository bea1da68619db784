"""Brings the ways in which people write one and the same row into a single one, before anything is checked.

What can't be understood stays as it is: the checks behind this step tell what is wrong with it, and where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, assert_never

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.row_checks import label_text
from ftc.compiler.resolve.rows.table import Row, Table
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import (
    ANSWER_COLUMN,
    INSTRUCTION_PROMPT,
    REFERENCES_COLUMN,
    AnswerRows,
    InstructionRows,
    LabelRows,
    MessageRows,
    PairRows,
    TagRows,
    TextRows,
)

__all__ = ["write_canonical"]

_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function", "function_response"), "tool"),
    "system": "system",
}
"""Our name of a role by ShareGPT's."""


def write_canonical(task: Task, columns: Columns, table: Table) -> None:
    """Rewrites the rows of a table in place."""
    by_part, rows = columns.by_part, task.rows()
    rewrite: Callable[[Row], None]
    match rows:
        case MessageRows():
            rewrite = partial(_rewrite, columns=(by_part["messages"],), form=_as_messages)
        case PairRows():
            present = tuple(by_part[part] for part in ("prompt", "chosen", "rejected") if part in by_part)
            rewrite = partial(_rewrite, columns=present, form=_as_messages)
        case AnswerRows():
            rewrite = partial(_write_answers, by_part=by_part)
        case LabelRows(written=True):
            for row in table.rows:  # the text that a model learns to write
                if isinstance(label := row.get(by_part["label"]), str | int):
                    row[ANSWER_COLUMN] = label_text(label)
            return
        case TagRows() if "tokens" in by_part:
            columns_ = by_part["tokens"], by_part["tags"]  # one text with spaces is the only way that a CSV file has
            rewrite = partial(_rewrite, columns=columns_, form=lambda v: v.split() if isinstance(v, str) else v)
        case InstructionRows() if "instruction" in by_part:
            rewrite = partial(_write_prompt, by_part=by_part)
        case TextRows() | LabelRows() | TagRows() | InstructionRows():
            return
        case _:
            assert_never(rows)
    for row in table.rows:
        rewrite(row)


def _rewrite(row: Row, columns: Sequence[str], form: Callable[[Any], Any]) -> None:
    for column in columns:
        if column in row:
            row[column] = form(row[column])


def _as_messages(value: Any) -> Any:
    """ShareGPT's `{from, value}` as `{role, content}`."""
    if not isinstance(value, list) or not all(
        isinstance(turn, dict) and {"from", "value"} <= turn.keys() for turn in value
    ):
        return value
    return [{"role": _ROLES.get(turn["from"], turn["from"]), "content": turn["value"]} for turn in value]


def _write_answers(row: Row, by_part: Mapping[str, str]) -> None:
    """Answers as SQuAD has them, `{text: […], answer_start: […]}`, from any of the usual ways."""
    column = by_part["answers"]
    row[column] = answers = _as_answers(row.get(column), row.get(by_part.get("answer_start", "")))
    if isinstance(answers, dict) and isinstance(texts := answers.get("text"), list):
        row[ANSWER_COLUMN] = texts[0] if texts else ""
        row[REFERENCES_COLUMN] = texts


def _as_answers(value: Any, start: Any) -> Any:
    match value:
        case None | "" | []:
            return {"text": [], "answer_start": []}
        case str():
            if isinstance(start, str) and start.isascii() and start.isdecimal():
                start = int(start)
            return {"text": [value], "answer_start": [] if start in (None, "") else [start]}
        case {"text": list(texts), **others}:
            return {"text": texts, "answer_start": others.get("answer_start") or []}
        case [*items] if all(isinstance(item, str) for item in items):
            return {"text": items, "answer_start": start if isinstance(start, list) else []}
        case [*items] if all(isinstance(item, dict) and "text" in item for item in items):
            starts = [item["answer_start"] for item in items if "answer_start" in item]
            return {"text": [item["text"] for item in items], "answer_start": starts}
        case _:
            return value


def _write_prompt(row: Row, by_part: Mapping[str, str]) -> None:
    """An instruction, with its input below it where it has one."""
    instruction, given = row.get(by_part["instruction"]), row.get(by_part.get("input", ""))
    if isinstance(instruction, str):
        row[INSTRUCTION_PROMPT] = (
            f"{instruction}\n\n{given}" if isinstance(given, str) and given.strip() else instruction
        )
