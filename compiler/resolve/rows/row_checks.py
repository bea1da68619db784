"""Checks the values that a task reads, and turns labels into text. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.conversation_checks import asked_fault, conversation_fault, is_conversation, is_empty
from ftc.compiler.resolve.rows.in_processes import found_in
from ftc.compiler.resolve.rows.ratings import answers_in, flag_of, number_in, rating_of, step_rating_of
from ftc.compiler.resolve.rows.table import Row, Table, shown
from ftc.compiler.resolve.rows.value_help import (
    FRACTION_AS_LABEL,
    NUMBER_AS_TEXT,
    TAGS_AS_NUMBERS,
    TEXT_AS_TOOLS,
    help_of,
)
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.tasks import PARTS, Task
from ftc.spec.tasks.parts import Values
from ftc.spec.tasks.rows import LabelRows

__all__ = [
    "CHECKS",
    "EMPTY",
    "check_values",
    "is_exchange",
    "label_text",
    "sorted_labels",
    "value_faults",
]

EMPTY = "FTC364"
"""Code of what is empty, which a recipe may have left out."""


def _prompt_fault(value: Any) -> _Fault | None:
    return (asked_fault(value) if is_conversation(value) else None) or _text_fault(value)


_Fault = tuple[str, str]
"""Code, and words that complete "column `x` …"."""


def check_values(task: Task, columns: Columns, table: Table) -> list[Diagnostic]:
    """Findings for values that the task can't use: one for each column and kind of fault, with the rows that have it.

    Columns that the file lacks are passed over; `missing_columns` tells of them.
    """
    found = []
    for column, rows_by_fault in value_faults(task, columns, table):
        for (code, words), rows in rows_by_fault.items():
            first = table.rows[rows[0]].get(column)
            found.append(
                diagnostic(
                    code,
                    f"column `{column}` {words} in {len(rows):,} of {len(table.rows):,} rows",
                    table.span(rows[0]),
                    help=help_of(code, words),
                    notes=[table.places(rows), f"{table.where(rows[0])} contains {shown(first)}"],
                    path="data.source",
                    rows=map(table.where, rows),
                    remedy=[("data.empty", "drop")] if code == EMPTY else (),
                )
            )
    return found


def value_faults(task: Task, columns: Columns, table: Table) -> list[tuple[str, dict[_Fault, array[int]]]]:
    """Each column that the task reads, with the rows whose values it can't use, by what is wrong with them."""
    checks = [(column, _check_of(part, task, columns)) for part, column in columns.by_part.items()]
    own = _flag_fault if isinstance(task.rows(), LabelRows) else _number_fault
    checks += [(column, own) for column in columns.own]
    present = [(place, *one) for place, one in enumerate(checks) if one[0] in table.columns]

    def look(row: Row) -> list[tuple[int, str, str]] | None:
        faults = ((place, check(row.get(column))) for place, column, check in present)
        return [(place, *fault) for place, fault in faults if fault is not None] or None

    found: list[dict[_Fault, array[int]]] = [{} for _ in checks]
    for number, faults in found_in(table.rows, look) if present else ():
        for place, code, words in faults:
            found[place].setdefault((code, words), array("q")).append(number)
    return [(column, by_fault) for (column, _), by_fault in zip(checks, found, strict=True)]


def _check_of(part: str, task: Task, columns: Columns) -> Callable[[Any], _Fault | None]:
    """What is wrong with a value of a part."""
    values, form = PARTS[part].values, task.rows()
    if values == "images" and "messages" in columns.by_part:
        return _left_images_fault
    if part == "prompt":
        return _prompt_fault
    takes_lists = values == "label" and isinstance(form, LabelRows) and form.several
    return _labels_fault if takes_lists else CHECKS[values]


def _left_images_fault(value: Any) -> _Fault | None:
    """What is wrong with images beside a conversation, of which those are left that no message took."""
    unused = ("FTC363", "has images without a place in the conversation, such as `<image>` in what the user says")
    return CHECKS["images"](value) or (unused if value else None)


def _text_fault(value: Any) -> _Fault | None:
    if isinstance(value, str):
        return (EMPTY, "is empty") if is_empty(value) else None
    return (EMPTY, "has no value") if value is None else ("FTC363", f"is {_kind(value)}, not text")


def _label_fault(value: Any) -> _Fault | None:
    if isinstance(value, str):
        return (EMPTY, "is empty") if is_empty(value) else None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return None
    if isinstance(value, float):
        return "FTC363", FRACTION_AS_LABEL
    return (EMPTY, "has no value") if value is None else ("FTC363", f"is {_kind(value)}, not a label")


def _kind(value: Any) -> str:
    match value:
        case str():
            return "text"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"


def _list_fault(value: Any, of: str = "") -> _Fault | None:
    if isinstance(value, list):
        return None
    return (EMPTY, "has no value") if value is None else ("FTC363", f"is {_kind(value)}, not a list{of}")


def _labels_fault(value: Any) -> _Fault | None:
    return _list_fault(value, " of labels") or next((fault for item in value if (fault := _label_fault(item))), None)


def _step_rating_fault(value: Any) -> _Fault | None:
    if step_rating_of(value) is not None:
        return None
    return "FTC363", "contains what is no rating of a step; write true or false, 1 or 0, or + or -"


def _rating_fault(value: Any) -> _Fault | None:
    if rating_of(value) is not None:
        return None
    if value is None or (isinstance(value, str) and is_empty(value)):
        return EMPTY, "has no rating"
    return "FTC363", "is no rating; write true or false, 1 or 0, or 1 or -1"


def _flag_fault(value: Any) -> _Fault | None:
    if flag_of(value) is not None:
        return None
    if value is None or (isinstance(value, str) and is_empty(value)):
        return EMPTY, "has no value"
    return "FTC363", "is neither 1 nor 0, and neither true nor false"


def _number_fault(value: Any) -> _Fault | None:
    if number_in(value) is not None:
        return None
    if isinstance(value, str):
        return (EMPTY, "is empty") if is_empty(value) else ("FTC363", NUMBER_AS_TEXT)
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return "FTC363", "is not a finite number"
    return (EMPTY, "has no value") if value is None else ("FTC363", f"is {_kind(value)}, not a number")


def _numbers_fault(value: Any) -> _Fault | None:
    if not isinstance(value, list):
        return _number_fault(value)
    if not value:
        return EMPTY, "has no numbers"
    return next((fault for item in value if (fault := _number_fault(item))), None)


def _words_fault(value: Any) -> _Fault | None:
    if value == []:
        return "FTC364", "has no words"
    return _list_fault(value, " of words") or next((fault for item in value if (fault := _text_fault(item))), None)


def _answer_fault(value: Any) -> _Fault | None:
    return conversation_fault(value) if isinstance(value, list) else _text_fault(value)


def _answers_fault(value: Any) -> _Fault | None:
    match value:
        case {"text": [*texts], "answer_start": list()}:
            faults = (fault for text in texts if (fault := _text_fault(text)))
            return next(faults, None)
        case _:
            return "FTC378", "has no answers"


CHECKS: dict[Values, Callable[[Any], _Fault | None]] = {
    "text": _text_fault,
    "optional text": lambda value: None if isinstance(value, str | None) else _text_fault(value),
    "label": lambda value: (
        ("FTC363", "is a list, not a label (`multi_label: true` takes lists)")
        if isinstance(value, list)
        else _label_fault(value)
    ),
    "numbers": _numbers_fault,
    "words": _words_fault,
    "tags": lambda value: (
        ("FTC363", TAGS_AS_NUMBERS)
        if isinstance(value, list) and any(isinstance(item, int) for item in value)
        else _words_fault(value)
    ),
    "list": _list_fault,
    "answers": _answers_fault,
    "anything": lambda _: None,
    "messages": conversation_fault,
    "tools": lambda value: (
        None
        if value is None or (isinstance(value, list) and all(isinstance(item, dict) for item in value))
        else ("FTC363", TEXT_AS_TOOLS if isinstance(value, str) else "is not a list of JSON schemas")
    ),
    "history": lambda value: (
        None
        if value in (None, "") or (isinstance(value, list) and all(map(is_exchange, value)))
        else ("FTC363", "is not a list of `[question, answer]`")
    ),
    "images": lambda value: (
        None
        if value is None or (isinstance(value, list) and all(isinstance(item, str) and item for item in value))
        else ("FTC363", "is not an image's path or bytes, or a list of these")
    ),
    "answer": lambda value: next(filter(None, map(_answer_fault, answers_in(value))), None),
    "rating": _rating_fault,
    "steps": lambda value: (
        ("FTC364", "has no steps")
        if value == []
        else _list_fault(value, " of steps") or next((fault for one in value if (fault := _text_fault(one))), None)
    ),
    "ratings": lambda value: (
        _list_fault(value, " of ratings") or next(filter(None, map(_step_rating_fault, value)), None)
    ),
    "texts": lambda value: (
        None
        if value is None or isinstance(value, str) or (isinstance(value, list) and all(map(_is_text, value)))
        else ("FTC363", "is neither a text nor a list of texts")
    ),
}
"""What is wrong with a value of each kind; None where nothing is."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_exchange(value: Any) -> bool:
    """Whether it is an earlier question with its answer: two texts."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)


def label_text(value: str | float) -> str:
    """A label as text: text as it stands, a whole number in decimal digits, `true` or `false`.

    Data frames write whole numbers as `1.0` where some are missing, which is the class `1`.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order of the head's outputs: by value if all are whole numbers, else as text."""
    unique = set(labels)
    if all(label.removeprefix("-").isdecimal() and label.isascii() for label in unique):
        return tuple(sorted(unique, key=lambda label: (int(label), label)))
    return tuple(sorted(unique))
