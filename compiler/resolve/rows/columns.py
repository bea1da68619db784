"""Finds the column for each part that a task needs. Pure: it sees names of columns, and values where a name says too
little.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ftc.compiler.resolve.rows.prompt_columns import prompt_columns
from ftc.compiler.resolve.rows.reading import SpanOf
from ftc.compiler.resolve.rows.separated_rows import DELIMITERS
from ftc.compiler.resolve.rows.table import Table, shown, without_form
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import as_yaml, quoted
from ftc.spec.language.text_checks import hidden_in
from ftc.spec.row_files import SEPARATED
from ftc.spec.sections.data import Data
from ftc.spec.tasks import PARTS, Task
from ftc.spec.tasks.rows import FUNCTIONS_COLUMN

__all__ = [
    "Columns",
    "column_for",
    "likely_column",
    "missing_annotations",
    "missing_columns",
    "task_columns",
    "value_of",
]


def column_for(part: str, columns: Sequence[str]) -> str | None:
    """The column that plays a part beyond doubt: the one of its name, else the only one with a usual name."""
    if part in columns:
        return part
    usual = [column for column in columns if column.lower() in PARTS[part].columns]
    return usual[0] if len(usual) == 1 else None


def value_of(row: Mapping[str, Any], by_part: Mapping[str, str], part: str) -> Any:
    """What a row holds for a part; None without such a column. A column may have an empty name, and is no part then."""
    column = by_part.get(part)
    return None if column is None else row.get(column)


def likely_column(part: str, columns: Iterable[str]) -> str | None:
    """The column that most likely plays a part, by its name."""
    by_name = {column.lower(): column for column in columns}
    return next((by_name[name] for name in PARTS[part].columns if name in by_name), None)


_MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Columns:
    """What the task reads of a row.

    Attributes:
        by_part: Column by part of the task, such as `{"text": "message", "label": "class"}`.
        in_prompt: Columns that the prompt template names, sorted; empty without a template.
        recognized: Parts whose column bears another usual name and isn't written in the recipe.
        own: Columns that the task's section names.
        own_key: The key of that section.
    """

    by_part: Mapping[str, str]
    in_prompt: tuple[str, ...] = ()
    recognized: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    own_key: str = ""

    @property
    def used(self) -> tuple[str, ...]:
        """Every column that the task reads, sorted."""
        return tuple(sorted({*self.by_part.values(), *self.in_prompt, *self.own}))

    @property
    def reason(self) -> str:
        """Why these columns, in words."""
        if not self.recognized:
            return "`data.fields`, and columns named like the parts"
        listed = ", ".join(f"`{self.by_part[part]}` as {part}" for part in self.recognized)
        return f"recognized by name: {listed}; no other column could be meant"


def task_columns(
    task: Task,
    fields: Mapping[str, str],
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]] = (),
    *,
    reads_images: bool = False,
) -> Columns:
    """The columns that the task reads: those of `data.fields`, else those named like the parts, else the only ones
    with another usual name.

    A required part is always there, whether or not its column exists; an optional one only if it is mapped, or if there
    is a column of its name, or a single one with another usual name that no other part has. A prompt template takes the
    place of what it is made of. `functions` are tools only where a row has definitions of functions there, since other
    columns bear the name, too.
    """
    template = task.template
    by_part, recognized = _row_form(task, fields, columns, has_template=template is not None)
    for part, neighbors in task.CARD.beside.items():
        if PARTS[part].values == "images" and not reads_images and part not in fields:
            continue  # to a model that reads text alone, a column of images is one like any other
        if part in by_part or not by_part.keys() & set(neighbors):
            continue
        if part in fields or part in columns:
            by_part[part] = fields.get(part, part)
        elif template is None and (column := _beside(task, part, by_part, fields, columns)) is not None:
            if column.lower() == FUNCTIONS_COLUMN and not any(map(_are_functions, (row.get(column) for row in rows))):
                continue
            by_part[part] = column
            recognized = (*recognized, part)
    in_prompt = prompt_columns(template, columns) if template else ()
    return Columns(by_part, in_prompt, recognized, task.own_columns, task.own_key)


def _row_form(
    task: Task, fields: Mapping[str, str], columns: Sequence[str], *, has_template: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Column by part of the first form of row that the file can be, and the parts whose column was recognized."""
    left = task.CARD.template_form if has_template else None
    forms = task.row_forms if left is None else (left,)
    named = [form for form in forms if all(part in fields or part in columns for part in form)]
    mapped = [form for form in forms if any(part in fields for part in form)]
    for form in (*named, *mapped, *forms):
        found = {part: fields.get(part) or _unused(part, form, fields, columns) for part in form}
        if all(found.values()):
            by_part = {part: column for part, column in found.items() if column}
            guessed = tuple(part for part, column in by_part.items() if part not in fields and part != column)
            return by_part, guessed
    form = (*mapped, *forms)[0]
    return {part: fields.get(part, part) for part in form}, ()


def _beside(
    task: Task, part: str, by_part: Mapping[str, str], fields: Mapping[str, str], columns: Sequence[str]
) -> str | None:
    """The column of an optional part by another usual name, unless a form of row has the part or it plays another."""
    if any(part in form for form in task.CARD.row_forms):
        return None
    own = {one.name for one in task.CARD.parts}
    taken = {*by_part.values(), *fields.values(), *own}
    return column_for(part, [column for column in columns if column not in taken])


def _are_functions(value: Any) -> bool:
    """Whether a value is a list of objects, or JSON of such with a name as text, which the checks then refuse."""
    if isinstance(value, str):
        return value.lstrip()[:1] in ("[", "{") and '"name"' in value
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _unused(part: str, form: Sequence[str], fields: Mapping[str, str], columns: Sequence[str]) -> str | None:
    """The column of a part, among those that no other part is named after or mapped to."""
    taken = {*fields.values(), *(other for other in form if other != part)}
    return column_for(part, [column for column in columns if column not in taken])


def missing_columns(
    columns: Columns, data: Data, table: Table, span_of: SpanOf, instead: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Diagnostic]:
    """Findings for columns that the task reads and the file lacks; `instead` is what else helps, by part."""
    if not set(columns.used) <= set(table.columns) and (divided := _divided_otherwise(table)) is not None:
        yield divided
        return
    for part, column in columns.by_part.items():
        if column not in table.columns:
            nested = _nested(table, columns)
            found = _missing_part(part, column, part in data.fields, table, nested, span_of)
            is_absent = part in instead and column not in table.left_out
            yield found if not is_absent else replace(found, help=(*found.help, instead[part]))
    for number, column in enumerate(columns.own):
        if column not in table.columns:
            path, guess = f"task.{columns.own_key}[{number}]", nearest(column, table.columns)
            help_ = f"did you mean `{guess}`?" if guess else "use columns of the file"
            notes = f"columns: {_listed(table.columns)}"
            summary = f"{table.file} has no column `{column}`"
            yield without_form(table, column, span_of(path), path) or diagnostic(
                "FTC362", summary, span_of(path), help=help_, notes=notes, path=path
            )
    for column in columns.in_prompt:
        if column not in table.columns and column not in columns.by_part.values():
            yield _missing_in_prompt(column, table, span_of)


def _divided_otherwise(table: Table) -> Diagnostic | None:
    """A finding where a file's only column looks like several, which another character divides than its suffix says."""
    header = table.columns[0] if len(table.columns) == 1 else ""
    divider = max(DELIMITERS, key=header.count)
    if divider not in header or not table.file.lower().endswith(SEPARATED):
        return None
    return diagnostic(
        "FTC362",
        f"the values of {table.file} are separated by {DELIMITERS[divider]}",
        Span(table.file, 1, 1, 1, 2),
        help="remove `delimiter` from the source, or set it to this one",
        notes=f"it has one column, {shown(header)}",
        path="data.source",
    )


def missing_annotations(columns: Sequence[str], table: Table, span_of: SpanOf) -> Iterator[Diagnostic]:
    """Findings for annotators' columns that the file lacks."""
    for position, column in enumerate(columns):
        if column not in table.columns:
            path, guess = f"data.quality.annotations[{position}]", nearest(column, table.columns)
            help_ = f"did you mean `{guess}`?" if guess else "use columns of the file"
            notes = f"columns: {_listed(table.columns)}"
            summary = f"{table.file} has no column `{column}` of an annotator"
            yield without_form(table, column, span_of(path), path) or diagnostic(
                "FTC362", summary, span_of(path), help=help_, notes=notes, path=path
            )


def _missing_part(
    part: str, column: str, is_written: bool, table: Table, nested: Sequence[str], span_of: SpanOf
) -> Diagnostic:
    path = f"data.fields.{part}" if is_written else "data.fields"
    if unread := without_form(table, column, span_of(path), path):
        return unread
    guess = nearest(column, table.columns)
    if is_written:
        help_ = f"did you mean `{guess}`?" if guess else "use one of the file's columns"
        summary = f"{table.file} has no column `{column}`"
    else:
        help_ = f"name the column: `data: {{fields: {{{part}: {as_yaml(guess or 'COLUMN')}}}}}`"
        summary = f"{table.file} has no column `{column}`, which the task needs"
    # What an editor hides in a name may be why a column seems to be missing.
    odd = ((name, hidden) for name in table.columns if (hidden := hidden_in(name)))
    notes = [
        f"columns: {_listed(table.columns)}",
        *nested[:1],
        *[f"the name {quoted(name)} holds {hidden}" for name, hidden in odd][:_MOST_LISTED],
    ]
    return diagnostic("FTC362", summary, span_of(path), help=[help_, *nested[1:]], notes=notes, path=path)


_MARKED = frozenset({"is_selected", "passage_text"})
"""Keys by which MS MARCO's own rows have the passages of a query, and which of them are right."""


def _nested(table: Table, columns: Columns) -> list[str]:
    """A note on a column that the task doesn't read and that holds objects, and how they become columns; or nothing."""
    first, used = table.rows[0] if table.rows else {}, columns.used
    objects = {
        name: list(value) for name, value in first.items() if isinstance(value, dict) and value and name not in used
    }
    if not objects:
        return []
    name, keys = next(iter(objects.items()))
    field = f".{name}" if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else f"[{json.dumps(name)}]"
    note = f"column {quoted(name)} holds objects with {_listed(keys)}, which are no columns"
    if _MARKED.issubset(keys) and {"query", "positive"} <= columns.by_part.keys():
        query = json.dumps(columns.by_part["query"])
        pairs = f"[{field}.passage_text, {field}.is_selected] | transpose"
        row = "{query: $query, positive: .[0], negative: [$all[] | select(.[1] == 0)[0]]}"
        line = f"jq -c '.[{query}] as $query | {pairs} as $all | $all[] | select(.[1] == 1) | {row}' FILE > flat.jsonl"
        lines = 'as `datasets.load_dataset(…)["train"].to_json("FILE")` writes those of Parquet and the hub'
        return [note, f"write a row for each right passage: `{line}`, for JSON lines, {lines}"]
    return [note, f"make them columns: `jq -c '. + {field} | del({field})' FILE > flat.jsonl`, for JSON lines"]


def _missing_in_prompt(column: str, table: Table, span_of: SpanOf) -> Diagnostic:
    guess = nearest(column, table.columns)
    return without_form(table, column, span_of("task.prompt"), "task.prompt") or diagnostic(
        "FTC362",
        f"{table.file} has no column `{column}`, which the prompt uses",
        span_of("task.prompt"),
        help=f"did you mean `{{{{ {guess} }}}}`?" if guess else "use columns of the file",
        notes=[f"columns: {_listed(table.columns)}"],
        path="task.prompt",
    )


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(f"`{name[:64]}`" for name in names[:_MOST_LISTED])
    return f"{listed} and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else listed
