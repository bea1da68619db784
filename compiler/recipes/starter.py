"""`ftc init`: a recipe to begin with, filled in with what can be read off the data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

from ftc.compiler.resolve.models.model import PLACEHOLDER
from ftc.compiler.resolve.rows.columns import likely_column
from ftc.compiler.resolve.rows.row_checks import canonical_text
from ftc.compiler.resolve.rows.table import Row, Table
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.tasks import PARTS, TASKS
from ftc.spec.tasks.card import Sign, TaskSection

__all__ = ["KINDS", "likely_task", "write_starter"]

KINDS = {task.name(): task for task in TASKS}
"""Tasks that a starter can be for."""
_USUAL = TASKS[0].name()
"""Where no rows tell the task."""

_ROWS_A_CLASS = 4
"""Fewest rows that a class has on average, for a column to look like labels."""
_MOST_LISTED = 20
_NOT_TEXT = ("true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan")
"""Words that some reader of YAML takes for something else than text."""


def write_starter(file: Path, *, task: str | None, data: Path | None, base: str | None) -> Path:
    """Writes the recipe; an existing file is never touched. Without a task, the columns tell it.

    Raises:
        Refusal: The file is there already (FTC651), the task is unknown (FTC105), or the data can't be read.
    """
    if task is not None and task not in KINDS:
        close = nearest(task, KINDS)
        help = f"did you mean `{close}`?" if close else f"write one of {', '.join(KINDS)}"
        raise Refusal([diagnostic("FTC105", f"no task `{task}`", help=help)])
    table = read_rows(data, str(data)) if data else None
    task = task or (likely_task(table) if table else _USUAL)
    name = re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._") or "my-task"
    path = Path(os.path.relpath(data, file.parent)).as_posix() if data else "rows.jsonl"
    has_lists = False  # whether rows of a classification have any number of labels
    if table and "multi_label" in KINDS[task].model_fields:
        label = _guesses(KINDS[task].CARD.row_forms[0], table).get("label")
        has_lists = label is not None and all(isinstance(row.get(label), list) for row in table.rows)
    options = ", multi_label: true" if has_lists else ""
    fields = _fields_line(task, table) if table else ""
    lines = [
        "ftc: 1",
        f"name: {name}",
        f"task: {{kind: {task}{options}}}",
        "data:",
        f"  source: {{path: {_quoted(path)}}}",
        *([fields] if fields else []),
        _model_line(file.parent, base),
        "strategy: {kind: lora}",
    ]
    try:
        with file.open("x", encoding="utf-8", newline="\n") as new:
            new.write("\n".join(lines) + "\n")
    except FileExistsError:
        summary = f"`{file}` is there already"
        raise Refusal([diagnostic("FTC651", summary, help="choose another name; nothing was changed")]) from None
    return file


def likely_task(table: Table) -> str:
    """The task that rows are most likely for, by the names of columns that tell, and by whether they hold lists."""
    for task in sorted(TASKS, key=lambda task: task.CARD.guess_order):
        if any(all(_is_there(sign, task, table) for sign in signs) for signs in task.CARD.signs):
            return task.name()
    return _USUAL


def _is_there(sign: Sign, task: type[TaskSection], table: Table) -> bool:
    match sign.by:
        case "name":
            columns = set(map(str.lower, table.columns))
            return bool(columns & set(sign.names or PARTS[sign.part].columns))
        case "list":
            column = likely_column(sign.part, table.columns)
            return column is not None and isinstance(table.rows[0].get(column), list)
        case "content":
            return sign.part in _guesses(task.CARD.row_forms[0], table)
        case _:
            assert_never(sign.by)


def _fields_line(task: str, table: Table) -> str:
    """The line of the recipe that names columns, or nothing where they are called like the parts.

    Where a part stays open, the line is a comment with the file's columns, to be finished by hand.
    """
    guesses = ((form, _guesses(form, table)) for form in KINDS[task].CARD.row_forms)
    parts, found = max(guesses, key=lambda pair: (len(pair[1]) / len(pair[0]), sum(k == v for k, v in pair[1].items())))
    named = {part: _quoted(found[part]) if part in found else "COLUMN" for part in parts}
    line = f"fields: {{{', '.join(f'{part}: {column}' for part, column in named.items() if part != column)}}}"
    if len(found) < len(named):
        return f"  # {line}   # the file has {', '.join(map(quoted, table.columns[:_MOST_LISTED]))}"
    return f"  {line}" if any(part != column for part, column in named.items()) else ""


def _guesses(parts: Sequence[str], table: Table) -> dict[str, str]:
    """The column that most likely plays each part: by its name, else by what it holds."""
    found: dict[str, str] = {}
    for guess in (likely_column, partial(_by_content, table.rows)):
        for part in sorted(parts, key=lambda part: part != "label"):  # a column of labels may look like texts
            free = [column for column in table.columns if column not in found.values()]
            if part not in found and (column := guess(part, free)):
                found[part] = column
    return found


def _by_content(rows: Sequence[Row], part: str, columns: Iterable[str]) -> str | None:
    """For a label the column with the fewest values, for a text the one with the longest; None for other parts.

    A prompt and its completion look alike, so no content tells which is which, and neither do other parts.
    """
    if part == "label":
        values = {column: {canonical_text(row.get(column)) for row in rows} for column in columns}
        most = max(2, len(rows) // _ROWS_A_CLASS)
        return min((c for c in values if 2 <= len(values[c]) <= most), key=lambda c: len(values[c]), default=None)
    if part == "text":
        texts = [column for column in columns if all(isinstance(row.get(column), str) for row in rows)]
        return max(texts, key=lambda column: sum(len(row[column]) for row in rows), default=None)
    return None


def _model_line(folder: Path, base: str | None) -> str:
    """The line that names the model: the one asked for, else the only one that lies in `models` beside the recipe."""
    here = sorted(config.parent.relative_to(folder).as_posix() for config in folder.glob("models/*/config.json"))
    if base is None and len(here) != 1:
        choice = f"one of {', '.join(map(quoted, here[:_MOST_LISTED]))}" if here else "a folder beside this recipe"
        return f"model: {{base: {PLACEHOLDER}}}  # {choice}, or an id on the hub"
    return f"model: {{base: {_quoted(base or here[0])}}}"


def _quoted(text: str) -> str:
    is_plain = re.fullmatch(r"[./]*[A-Za-z_][\w./-]*", text) and text.lower() not in _NOT_TEXT
    return text if is_plain else "'" + text.replace("'", "''") + "'"
