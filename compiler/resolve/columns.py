"""Finds the column for each part that a task needs. Pure: it sees column names and never a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ftc.compiler.resolve.table import Table
from ftc.spec.data import Data
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.nearest import nearest
from ftc.spec.task import Generation, Task

__all__ = ["Columns", "SpanOf", "missing_columns", "prompt_columns", "task_columns"]

SpanOf = Callable[[str], Span | None]
"""Place in the recipe of the value at a dotted path, such as `data.fields.text`."""

_MOST_LISTED = 20
_JINJA_NAMES = frozenset(
    "range dict cycler joiner namespace raise_exception strftime_now loop self caller varargs kwargs".split()
)
_CONVERSATIONS = "conversations"  # the column's name in ShareGPT files


@dataclass(frozen=True, slots=True)
class Columns:
    """What the task reads of a row.

    Attributes:
        by_part: Column by part of the task, such as `{"text": "message", "label": "class"}`.
        in_prompt: Columns that the prompt template names, sorted; empty without a template.
    """

    by_part: Mapping[str, str]
    in_prompt: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        """Every column that the task reads, sorted."""
        return tuple(sorted({*self.by_part.values(), *self.in_prompt}))


def task_columns(task: Task, fields: Mapping[str, str], columns: Sequence[str]) -> Columns:
    """The columns that the task reads: those of `data.fields`, else the columns named like the parts.

    A required part is always there, whether or not its column exists; an optional one only if it is mapped, if there
    is a column of its name, or if the task can't do without. A prompt template takes the place of the part `prompt`.
    """
    has_template = isinstance(task, Generation) and task.prompt is not None
    by_part = {part: fields.get(part, part) for part in task.REQUIRED_FIELDS}
    for part in task.OPTIONAL_FIELDS:
        if part == "prompt" and has_template:
            continue
        if part in fields or part in columns or part == "prompt":
            by_part[part] = fields.get(part, part)
    in_prompt = prompt_columns(task.prompt, columns) if isinstance(task, Generation) and task.prompt else ()
    return Columns(by_part, in_prompt)


def prompt_columns(template: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns that a prompt template can't do without, sorted. It is parsed and never run.

    Left out are names that the template sets itself or tests with `is defined`, and jinja's own names unless a column
    is called so. A template that can't be parsed names none; rendering tells what is wrong with it.
    """
    from jinja2 import nodes

    from ftc.compiler.text.opacity import parse_template

    if (tree := parse_template(template)) is None:
        return ()
    names = list(tree.find_all(nodes.Name))
    tests = [test for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined")]
    tested = {test.node.name for test in tests if isinstance(test.node, nodes.Name)}
    own = {name.name for name in names if name.ctx != "load"} | tested | (_JINJA_NAMES - set(columns))
    return tuple(sorted({name.name for name in names if name.ctx == "load"} - own))


def missing_columns(columns: Columns, data: Data, table: Table, span_of: SpanOf) -> Iterator[Diagnostic]:
    """Findings for columns that the task reads and the file lacks."""
    for part, column in columns.by_part.items():
        if column not in table.columns:
            yield _missing_part(part, column, part in data.fields, table, span_of)
    for column in columns.in_prompt:
        if column not in table.columns and column not in columns.by_part.values():
            yield _missing_in_prompt(column, table, span_of)


def _missing_part(part: str, column: str, is_written: bool, table: Table, span_of: SpanOf) -> Diagnostic:
    path = f"data.fields.{part}" if is_written else "data.fields"
    guess = nearest(column, table.columns)
    if _is_sharegpt(part, table):
        return _sharegpt(table, span_of)
    if is_written:
        help_ = f"did you mean `{guess}`?" if guess else "name one of the columns that the file has"
        summary = f"{table.file} has no column `{column}`"
    else:
        help_ = f"tell which column it is: `data: {{fields: {{{part}: {guess or 'COLUMN'}}}}}`"
        summary = f"{table.file} has no column `{column}`, which the task needs"
    notes = [f"columns: {_listed(table.columns)}"]
    return diagnostic("FTC362", summary, span_of(path), help=help_, notes=notes, path=path)


def _missing_in_prompt(column: str, table: Table, span_of: SpanOf) -> Diagnostic:
    guess = nearest(column, table.columns)
    return diagnostic(
        "FTC362",
        f"{table.file} has no column `{column}`, which the prompt names",
        span_of("task.prompt"),
        help=f"did you mean `{{{{ {guess} }}}}`?" if guess else "name columns that the file has",
        notes=[f"columns: {_listed(table.columns)}"],
        path="task.prompt",
    )


def _is_sharegpt(part: str, table: Table) -> bool:
    turns = table.rows[0].get(_CONVERSATIONS) if part == "messages" else None
    return (
        isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict) and {"from", "value"} <= turns[0].keys()
    )


def _sharegpt(table: Table, span_of: SpanOf) -> Diagnostic:
    return diagnostic(
        "FTC367",
        f"{table.file} holds conversations in the ShareGPT form",
        span_of("data.source"),
        help='write each turn as `{"role": …, "content": …}` in a column `messages`',
        notes=["`from: human` becomes `role: user`, `from: gpt` becomes `role: assistant`, `value` becomes `content`"],
        path="data.source",
    )


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(f"`{name[:64]}`" for name in names[:_MOST_LISTED])
    return f"{listed} and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else listed
