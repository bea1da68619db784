"""Reads JSON lines, and JSON files that hold one array of objects, alone or under the key `data`.

JSON is read strictly: no `NaN`, no key twice in an object, no half of a surrogate pair. Each of these reads fine in
one place and fails, or means something else, in another.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Row, Table, shown
from ftc.compiler.resolve.rows.text_rows import text_lines, whole_text

__all__ = ["read_json_array", "read_json_lines"]

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_MOST_LEVELS = 100  # real rows have fewer than ten; writers and hashers recurse once a level
_SPACE = re.compile(r"[ \t\r\n]*")


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {shown(next(key for key in keys if keys.count(key) > 1))} stands twice in an object")
    return row


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is no JSON value; write `null`")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def read_json_lines(path: Path, faults: Faults) -> Table:
    """Rows of a file with one JSON object a line. Empty lines are passed over, as most writers end with one.

    Raises:
        OSError: The file can't be read.
    """
    rows: list[Row] = []
    lines: list[int] = []
    for number, text in text_lines(path, faults, "write one JSON object a line"):
        begin = text.strip()
        if not rows and not faults.found and (begin[:1] == "[" or begin == "{"):
            what = "an array" if begin[:1] == "[" else "an object over several lines"
            summary = f"a `.jsonl` file holds an object a line, and this one begins with {what}"
            help_ = "give a file of one array the suffix `.json`, or write one object a line"
            faults.add("FTC356", summary, number, help=help_)
            break
        if _ends_with_comma(begin):
            summary = "a comma ends this line; between JSON lines there is none"
            help_ = "delete it here and on the lines like it, or put all of them between `[` and `]` in a `.json` file"
            faults.add("FTC355", summary, number, len(text.rstrip()), help=help_)
            break
        if begin and (row := _row(text, number, faults)) is not None:
            rows.append(row)
            lines.append(number)
    return Table(faults.file, _columns(rows), rows, lines)


def _ends_with_comma(line: str) -> bool:
    """Whether a line is an object with a comma behind it, as in an array, where one of them has others."""
    if not line.endswith("},"):
        return False
    try:
        return isinstance(_DECODER.decode(line[:-1]), dict)
    except (ValueError, RecursionError):
        return False


def _row(text: str, number: int, faults: Faults) -> Row | None:
    try:
        value = _DECODER.decode(text)
        _refuse_odd_values(text, value)
    except (ValueError, RecursionError) as error:
        _broken(faults, error, number, text)
        return None
    if not isinstance(value, dict):
        _no_object(faults, value, number)
        return None
    return value


def _refuse_odd_values(text: str, value: Any) -> None:
    """Refuses what the parser takes, but what no later step can write: half characters, and endless nesting.

    Raises:
        ValueError: The value holds one of these.
    """
    if text.count("[") + text.count("{") > _MOST_LEVELS and _is_deeper(value, _MOST_LEVELS):
        raise ValueError(f"nested more than {_MOST_LEVELS} levels deep")
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise ValueError(f"`{half}` is half of a surrogate pair, which is no character") from None


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _broken(faults: Faults, error: Exception, line: int, text: str) -> None:
    column = error.colno if isinstance(error, json.JSONDecodeError) else 1
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    if isinstance(error, RecursionError):
        reason = "nested too deeply"
    elif "integer string conversion" in reason:
        reason = f"a number of more than {sys.get_int_max_str_digits():,} digits"
    near = text[max(0, column - 41) : column + 39].strip("\r\n")
    notes = [f"around it: {shown(near)}"]
    faults.add("FTC355", f"a row that is no JSON: {reason}", line, column, help="mend or delete the row", notes=notes)


def _no_object(faults: Faults, value: Any, line: int) -> None:
    help_ = 'write each row as an object, such as `{"text": "…", "label": "…"}`'
    faults.add("FTC356", "a row that is no object", line, help=help_, notes=[f"found: {shown(value)}"])


def _columns(rows: list[Row]) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    for row in rows:
        if not row.keys() <= columns.keys():
            columns.update(dict.fromkeys(row))
    return tuple(columns)


def read_json_array(path: Path, faults: Faults) -> Table:
    """Rows of a file that is one JSON array of objects, or an object that holds one under `data`.

    SQuAD's own form, whose `data` are articles, gives a row a question.

    Raises:
        OSError: The file can't be read.
    """
    if (text := whole_text(path, faults)) is None:
        return Table(faults.file, (), [])
    if (wrapped := _wrapped(text)) is not None:
        return Table(faults.file, _columns(wrapped), wrapped)
    rows, lines = _items(text, faults)
    return Table(faults.file, _columns(rows), rows, lines)


def _wrapped(text: str) -> list[Row] | None:
    """Rows under the key `data` of a single object; None for any other text, and for what is wrong."""
    if text[_skip(text, 0) :][:1] != "{":
        return None
    try:
        value = _DECODER.decode(text)
        _refuse_odd_values(text, value)
    except (ValueError, RecursionError):
        return None
    rows = value.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    is_squad = (  # articles with paragraphs, each of a context and questions about it
        bool(rows)
        and all(_are_objects(row.get("paragraphs")) for row in rows)
        and all("context" in part and _are_objects(part.get("qas")) for row in rows for part in row["paragraphs"])
    )
    return [question for row in rows for question in _questions(row)] if is_squad else rows


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _questions(article: Row) -> Iterator[Row]:
    """A row for each question, its answers in two lists, as data sets on the hub have them."""
    for paragraph in article["paragraphs"]:
        for question in paragraph["qas"]:
            answers = question.get("answers")
            listed = answers if _are_objects(answers) else []
            yield {
                **{key: article[key] for key in ("title",) if key in article},
                "context": paragraph["context"],
                **{key: value for key, value in question.items() if key not in ("answers", "plausible_answers")},
                "answers": {key: [one.get(key) for one in listed] for key in ("text", "answer_start")},
            }


def _items(text: str, faults: Faults) -> tuple[list[Row], list[int]]:
    rows: list[Row] = []
    lines: list[int] = []
    line, counted, position = 1, 0, _skip(text, 0)
    if text[position : position + 1] != "[":
        if begin := text[position : position + LARGEST_ROW]:
            starts = begin.split("\n", 2)
            if len(starts) > 1 and all(start.strip().startswith("{") for start in starts[:2] if start.strip()):
                help_ = "the file looks like JSON lines: give it the suffix `.jsonl`"
            else:
                help_ = "write an array of objects, or one object a line in a file with the suffix `.jsonl`"
            summary = "a `.json` file of data holds an array of objects, and this one doesn't"
            faults.add("FTC356", summary, 1, help=help_, notes=[f"it begins with {shown(begin[:60])}"])
        return rows, lines
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]" and not faults.full:
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, end = _DECODER.raw_decode(text, position)
            _refuse_odd_values(text[position:end], value)
            position = _after_item(text, end)
        except (ValueError, RecursionError) as error:  # what follows a fault can't be told apart any more
            at = error.lineno if isinstance(error, json.JSONDecodeError) else line
            _broken(faults, error, at, text.split("\n", at)[at - 1])
            return rows, lines
        if isinstance(value, dict):
            rows.append(value)
            lines.append(line)
        else:
            _no_object(faults, value, line)
    if not faults.full and text[_skip(text, position + 1) :]:
        line += text.count("\n", counted, position)
        faults.add("FTC355", "text after the array's end", line, help="leave one array in the file")
    return rows, lines


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # the pattern matches nothing, too
    return match.end()


def _after_item(text: str, end: int) -> int:
    """Position of the next item or of the closing bracket."""
    position = _skip(text, end)
    if text[position : position + 1] == "]":
        return position
    if text[position : position + 1] != ",":
        raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
    position = _skip(text, position + 1)
    if text[position : position + 1] == "]":
        raise json.JSONDecodeError("Illegal trailing comma", text, position)
    return position
