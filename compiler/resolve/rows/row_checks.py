"""Checks the values that a task reads, turns labels into text, and gives rows digests. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.conversations import conversation_fault
from ftc.compiler.resolve.rows.table import Row, Table, shown
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.tasks import PARTS, Task
from ftc.spec.tasks.parts import Values
from ftc.spec.tasks.rows import LabelRows

__all__ = [
    "CHECKS",
    "canonical_text",
    "check_values",
    "example_digests",
    "label_text",
    "row_digests",
    "rows_digest",
    "sorted_labels",
    "unordered_digest",
]

_Fault = tuple[str, str]
"""Code, and words that complete "column `x` …"."""

_HELP = {
    "FTC363": "mend or delete the rows",
    "FTC364": "delete the rows, or fill them in",
    "FTC365": 'write a turn as `{"role": "user", "content": "…"}`; after an optional system turn, user and '
    "assistant take turns",
    "FTC366": "delete the last turn or the whole row",
    "FTC367": "write `from` as `human`, `gpt`, `system`, `tool` or one of their usual other names",
    "FTC378": 'write answers as `{"text": ["…"], "answer_start": [0]}`, as a text or as a list of texts',
}


def check_values(task: Task, columns: Columns, table: Table) -> list[Diagnostic]:
    """Findings for values that the task can't use: one for each column and kind of fault, with the rows that have it.

    Columns that the file lacks are passed over; `missing_columns` tells of them.
    """
    return [
        finding
        for part, column in columns.by_part.items()
        if column in table.columns
        for finding in _column_faults(column, _check_of(task, part), table)
    ]


def _column_faults(column: str, check: Callable[[Any], _Fault | None], table: Table) -> Iterator[Diagnostic]:
    rows_by_fault: dict[_Fault, list[int]] = {}
    for index, row in enumerate(table.rows):
        if (fault := check(row.get(column))) is not None:
            rows_by_fault.setdefault(fault, []).append(index)
    for (code, words), rows in rows_by_fault.items():
        first = table.rows[rows[0]].get(column)
        yield diagnostic(
            code,
            f"column `{column}` {words}, in {len(rows):,} of {len(table.rows):,} rows",
            table.span(rows[0]),
            help=_HELP[code],
            notes=[f"{table.file}, {table.places(rows)}", f"{table.place(rows[0])} holds {shown(first)}"],
            path="data.source",
        )


def _text_fault(value: Any) -> _Fault | None:
    if isinstance(value, str):
        return None if value and not value.isspace() else ("FTC364", "is empty")
    return "FTC363", "has no value" if value is None else f"is {_kind(value)}, not text"


def _optional_text_fault(value: Any) -> _Fault | None:
    return None if value is None or isinstance(value, str) else ("FTC363", f"is {_kind(value)}, not text")


def _label_fault(value: Any) -> _Fault | None:
    if isinstance(value, str):
        return None if value and not value.isspace() else ("FTC364", "is empty")
    if isinstance(value, int):
        return None
    if isinstance(value, float):
        return "FTC363", "is a number with a fraction; a label is text, a whole number, true or false"
    return "FTC363", "has no value" if value is None else f"is {_kind(value)}, not a label"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def _labels_fault(value: Any) -> _Fault | None:
    if not isinstance(value, list):
        return "FTC363", "has no value" if value is None else f"is {_kind(value)}, not a list of labels"
    return next((fault for item in value if (fault := _label_fault(item))), None)


def _one_label_fault(value: Any) -> _Fault | None:
    if isinstance(value, list):
        return "FTC363", "is a list, not a label (`multi_label: true` takes lists)"
    return _label_fault(value)


def _words_fault(value: Any) -> _Fault | None:
    if not isinstance(value, list):
        return "FTC363", "has no value" if value is None else f"is {_kind(value)}, not a list of words"
    if not value:
        return "FTC364", "holds no word"
    return next((fault for item in value if (fault := _text_fault(item))), None)


def _tags_fault(value: Any) -> _Fault | None:
    if isinstance(value, list) and any(isinstance(item, int) for item in value):
        return "FTC363", "holds numbers; a tag is a name, such as `B-PER`"
    return _words_fault(value)


def _list_fault(value: Any) -> _Fault | None:
    if isinstance(value, list):
        return None
    return "FTC363", "has no value" if value is None else f"is {_kind(value)}, not a list"


def _tools_fault(value: Any) -> _Fault | None:
    is_good = value is None or (isinstance(value, list) and all(isinstance(item, dict) for item in value))
    return None if is_good else ("FTC363", "is no list of JSON schemas")


def _answers_fault(value: Any) -> _Fault | None:
    match value:
        case {"text": [*texts], "answer_start": list()}:
            faults = (fault for text in texts if (fault := _text_fault(text)))
            return next(faults, None)
        case _:
            return "FTC378", "holds no answers"


def _answer_fault(value: Any) -> _Fault | None:
    return conversation_fault(value) if isinstance(value, list) else _text_fault(value)


CHECKS: dict[Values, Callable[[Any], _Fault | None]] = {
    "text": _text_fault,
    "optional text": _optional_text_fault,
    "label": _one_label_fault,
    "words": _words_fault,
    "tags": _tags_fault,
    "list": _list_fault,
    "answers": _answers_fault,
    "anything": lambda _: None,
    "messages": conversation_fault,
    "tools": _tools_fault,
    "answer": _answer_fault,
}
"""What is wrong with a value of each kind; None where nothing is."""


def _check_of(task: Task, part: str) -> Callable[[Any], _Fault | None]:
    values, rows = PARTS[part].values, task.rows()
    takes_lists = values == "label" and isinstance(rows, LabelRows) and rows.several
    return _labels_fault if takes_lists else CHECKS[values]


def label_text(value: str | int) -> str:
    """A label as text: text as it stands, a whole number in decimal digits, `true` or `false`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order of the head's outputs: by value if all are whole numbers, else as text."""
    unique = set(labels)
    if all(label.removeprefix("-").isdecimal() and label.isascii() for label in unique):
        return tuple(sorted(unique, key=lambda label: (int(label), label)))
    return tuple(sorted(unique))


canonical_text: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":")
).encode
"""A row or value as compact JSON with sorted keys: equal values give equal text."""


def row_digests(rows: Iterable[Row]) -> list[bytes]:
    """sha256 of each row as compact JSON with sorted keys. Nothing in a row is normalized."""
    return [hashlib.sha256(canonical_text(row).encode()).digest() for row in rows]


def rows_digest(digests: Iterable[bytes]) -> str:
    """sha256, in hexadecimal, over rows in their order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def unordered_digest(digests: Iterable[bytes]) -> str:
    """sha256, in hexadecimal, over the same rows in any order: a shuffled file has the same, a copied row another."""
    return rows_digest(sorted(digests))


def example_digests(rows: Iterable[Row], columns: Sequence[str]) -> list[bytes]:
    """sha256 of what the task reads of each row. Rows that differ only in other columns are the same example."""
    return [hashlib.sha256(canonical_text([row.get(column) for column in columns]).encode()).digest() for row in rows]
