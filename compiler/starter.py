"""`ftc init`: a recipe to begin with, filled in with what can be read off the data."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ftc.compiler.resolve.tables import read_rows
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.nearest import nearest
from ftc.spec.task import Chat, Classification, Generation

__all__ = ["KINDS", "write_starter"]

KINDS = {
    "classification": Classification.REQUIRED_FIELDS,
    "generation": ("prompt", *Generation.REQUIRED_FIELDS),
    "chat": Chat.REQUIRED_FIELDS,
}
"""Tasks that a starter can be for, with the parts of a row that each needs."""

_SYNONYMS = {
    "text": ("text", "sentence", "message", "content", "review", "document", "body", "input"),
    "label": ("label", "labels", "class", "category", "target", "sentiment", "topic"),
    "prompt": ("prompt", "instruction", "question", "input", "source", "article", "text"),
    "completion": ("completion", "response", "answer", "output", "target", "summary", "headline"),
    "messages": ("messages", "conversation", "dialogue", "chat"),
}


def write_starter(file: Path, *, task: str, data: Path | None, base: str | None) -> Path:
    """Writes the recipe; an existing file is never touched.

    Raises:
        Refusal: The file is there already (FTC651), the task is unknown (FTC105), or the data can't be read.
    """
    if task not in KINDS:
        close = nearest(task, KINDS)
        help = f"did you mean `{close}`?" if close else f"write one of {', '.join(KINDS)}"
        raise Refusal([diagnostic("FTC105", f"no task `{task}`", help=help)])
    columns = read_rows(data, str(data)).columns if data else ()
    fields = {part: guess for part in KINDS[task] if (guess := _guess(part, columns)) and guess != part}
    text = _recipe(file, task, data, base, fields)
    try:
        with file.open("x", encoding="utf-8", newline="\n") as new:
            new.write(text)
    except FileExistsError:
        summary = f"`{file}` is there already"
        raise Refusal([diagnostic("FTC651", summary, help="choose another name; nothing was changed")]) from None
    return file


def _guess(part: str, columns: Sequence[str]) -> str | None:
    """The column that most likely plays a part, by its name."""
    by_name = {column.lower(): column for column in columns}
    return next((by_name[name] for name in _SYNONYMS[part] if name in by_name), None)


def _recipe(file: Path, task: str, data: Path | None, base: str | None, fields: dict[str, str]) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip("-._") or "my-task"
    path = Path(os.path.relpath(data, file.parent)).as_posix() if data else "rows.jsonl"
    mapping = ", ".join(f"{part}: {column}" for part, column in fields.items())
    lines = [
        "ftc: 1",
        f"name: {name}",
        f"task: {{kind: {task}}}",
        "data:",
        f"  source: {{path: {_quoted(path)}}}",
        *([f"  fields: {{{mapping}}}"] if mapping else []),
        f"model: {{base: {_quoted(base or 'models/my-model')}}}",
        "strategy: {kind: lora}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w./-]+", text) else "'" + text.replace("'", "''") + "'"
