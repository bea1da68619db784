"""Reads JSON lines, and JSON files that hold one array of objects, alone or under the key `data`.

JSON is read strictly: no `NaN`, no key twice in an object, no half of a surrogate pair. Each of these reads fine in
one place and fails, or means something else, in another.
"""

from __future__ import annotations

import json
import math
import re
import sys
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from ftc.compiler.resolve.rows.json_pieces import plain_lines
from ftc.compiler.resolve.rows.row_store import Row, RowWriter, StoredRows, stored
from ftc.compiler.resolve.rows.table import LARGEST_ROW, Faults, Table, shown
from ftc.compiler.resolve.rows.text_rows import decoded_pieces, text_lines, whole_text

__all__ = ["parsed_object", "read_json_array", "read_json_lines"]

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_MOST_LEVELS = 100  # real rows have fewer than ten; writers and hashers recurse once a level
_SPACE = re.compile(r"[ \t\r\n]*")
_PIECE_CHARS = 1 << 16


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {shown(next(key for key in keys if keys.count(key) > 1))} occurs twice in an object")
    return row


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not a JSON value; write `null`")


def _number(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_number)


def read_json_lines(path: Path, faults: Faults) -> Table:
    """Rows of a file with one JSON object a line. Empty lines are passed over, as most writers end with one.

    Raises:
        OSError: The file can't be read.
    """
    if (plain := plain_lines(path, _plain_row)) is not None:
        return Table(faults.file, plain[1], plain[0], range(1, len(plain[0]) + 1))
    rows, lines, columns = RowWriter(), array("q"), dict[str, None]()
    for number, text in text_lines(path, faults, "write one JSON object a line"):
        begin = text.strip()
        if not lines and not faults.found and (begin[:1] == "[" or begin == "{"):
            what = "an array" if begin[:1] == "[" else "an object over several lines"
            summary = f"a `.jsonl` file has one object per line, but this one begins with {what}"
            help_ = "rename a file with one array to `.json`, or write one object per line"
            faults.add("FTC356", summary, number, help=help_)
            break
        if begin.endswith("},"):
            help_ = "delete the comma behind each object; an array of them goes between `[` and `]` into a `.json` file"
            faults.add("FTC355", "a comma ends the line", number, len(text.rstrip()), help=help_)
            break
        if begin and (row := _row(text, number, faults)) is not None:
            rows.add_json(begin.encode())
            lines.append(number)
            if not row.keys() <= columns.keys():
                columns.update(dict.fromkeys(row))
    is_each = not lines or lines[-1] == len(lines)  # without a line that is passed over, as most files are
    return Table(faults.file, tuple(columns), rows.rows(), range(1, len(lines) + 1) if is_each else lines)


def parsed_object(text: str) -> Row:
    """The object that a text is, read as strictly as a row of a file.

    Raises:
        ValueError: The text is no JSON object; the error says why.
    """
    try:
        value = _DECODER.decode(text)
        _refuse_odd_values(text, value)
    except (ValueError, RecursionError) as error:
        place = f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"{_reason(error)}{place}") from None
    if not isinstance(value, dict):
        raise ValueError(f"it is {shown(value)}")
    return value


def _plain_row(text: str) -> Row:
    """The object that a line is.

    Raises:
        ValueError, RecursionError: It is none, or an odd one.
    """
    value = _DECODER.decode(text)
    _refuse_odd_values(text, value)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value


def _row(text: str, number: int, faults: Faults) -> Row | None:
    try:
        value = _DECODER.decode(text)
        _refuse_odd_values(text, value)
    except (ValueError, RecursionError) as error:
        column = error.colno if isinstance(error, json.JSONDecodeError) else 1
        _broken(faults, error, number, column, text[max(0, column - 41) : column + 39])
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
            raise ValueError(f"`{half}` is half of a surrogate pair, which is not a character") from None


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _broken(faults: Faults, error: Exception, line: int, column: int, near: str) -> None:
    summary = f"a row that is not JSON: {_reason(error)}"
    notes = [f"around it: {shown(near.strip(chr(13) + chr(10)))}"]
    faults.add("FTC355", summary, line, column, help="fix or remove the row", notes=notes)


def _reason(error: Exception) -> str:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if "integer string conversion" in reason:
        return f"a number of more than {sys.get_int_max_str_digits():,} digits"
    return reason


def _no_object(faults: Faults, value: Any, line: int, number: int | None = None) -> None:
    """Adds the fault of a row that is something else; `number` is the row's, from 1, where its line can't name it."""
    help_ = 'write each row as an object, such as `{"text": "…", "label": "…"}`'
    notes = [f"found: {shown(value)}", *([] if number is None else [f"it is row {number:,} of the array"])]
    faults.add("FTC356", "a row that is not an object", line, help=help_, notes=notes)


def _columns(rows: Iterable[Row]) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    for row in rows:
        if not row.keys() <= columns.keys():
            columns.update(dict.fromkeys(row))
    return tuple(columns)


def read_json_array(path: Path, faults: Faults) -> Table:
    """Rows of a file that is one JSON array of objects, or an object that holds one under `data`.

    An array is read item by item. SQuAD's own form, whose `data` are articles, gives a row a question. Where two rows
    begin on one line, as in a file that is one line, no row has a line, and each is named by its number.

    Raises:
        OSError: The file can't be read.
    """
    window = _Window(decoded_pieces(path, faults))
    if window.next_sign() == "{" and (wrapped := _wrapped(path, faults)) is not None:
        return Table(faults.file, _columns(wrapped), stored(wrapped))
    if faults.found:
        return Table(faults.file, (), [])
    rows, lines = _items(window, faults)
    return Table(faults.file, _columns(rows), rows, lines)


def _wrapped(path: Path, faults: Faults) -> list[Row] | None:
    """Rows under the key `data` of a single object; None for any other text, and for what is wrong."""
    if (text := whole_text(path, faults)) is None:
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


class _Window:
    """A text that is read from beginning to end, with only the current piece in memory.

    Attributes:
        text: What is in memory.
        at: Where the next thing begins in it.
        line: Line of the file, from 1, at which that is.
    """

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._left = 0  # characters of the first line that are no longer in memory
        self.text = ""
        self.at = 0
        self.line = 1

    def more(self) -> bool:
        """Takes as much again into memory as there is; False at the end of the file."""
        wanted = max(_PIECE_CHARS, len(self.text) - self.at)
        taken: list[str] = []
        while wanted > 0 and (piece := next(self._pieces, None)) is not None:
            taken.append(piece)
            wanted -= len(piece)
        if taken:
            self._left = self._before(self.at)
            self.text, self.at = self.text[self.at :] + "".join(taken), 0
        return bool(taken)

    def _before(self, position: int) -> int:
        """Characters of a position's line before it."""
        start = self.text.rfind("\n", 0, position)
        return position - start - 1 if start >= 0 else self._left + position

    def place(self, position: int) -> tuple[int, int, str]:
        """Line and column of a position in memory, both from 1, and the text around it."""
        line = self.line + self.text.count("\n", self.at, position)
        start, end = self.text.rfind("\n", 0, position) + 1, self.text.find("\n", position)
        near = self.text[max(start, position - 40) : min(position + 40, end if end >= 0 else len(self.text))]
        return line, self._before(position) + 1, near

    def move(self, position: int) -> None:
        """Goes forward to a position."""
        self.line += self.text.count("\n", self.at, position)
        self.at = position

    def next_sign(self) -> str:
        """The next character that is not a space, without consuming it; empty at the end of the file."""
        while True:
            match = _SPACE.match(self.text, self.at)
            assert match is not None  # the pattern matches nothing, too
            self.move(match.end())
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def value(self) -> Any:
        """The JSON value that begins here.

        Raises:
            ValueError: There is none, or it is longer than `LARGEST_ROW` characters or odd.
            RecursionError: It is nested too deeply.
        """
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError:
                if len(self.text) - self.at > LARGEST_ROW or not self.more():  # it isn't that its end is to come
                    raise
                continue
            if end < len(self.text) or not self.more():
                break
        if end - self.at > LARGEST_ROW:
            raise ValueError(f"a row of more than {LARGEST_ROW // 2**20} MiB")
        _refuse_odd_values(self.text[self.at : end], value)
        self.move(end)
        return value


def _items(window: _Window, faults: Faults) -> tuple[StoredRows, array[int] | None]:
    """The array's objects, and the line on which each begins; None for all lines where these don't name the rows."""
    rows, lines, num_items, share_lines = RowWriter(), array("q"), 0, False
    if (sign := window.next_sign()) != "[":
        if sign:
            _no_array(window, faults)
        return rows.rows(), lines
    window.move(window.at + 1)
    sign = window.next_sign()
    while sign != "]":
        num_items, before, line = num_items + 1, lines[-1] if lines else 0, window.line
        try:
            value = window.value()
            if (sign := window.next_sign()) not in ("]", ","):
                raise json.JSONDecodeError("Expecting ',' delimiter", window.text, window.at)
            if sign == ",":
                window.move(window.at + 1)
                if (sign := window.next_sign()) == "]":
                    raise json.JSONDecodeError("Illegal trailing comma", window.text, window.at)
        except (ValueError, RecursionError) as error:  # what follows a fault can't be told apart any more
            if faults.last != "FTC354":  # the text ended early
                at = (line, 1, window.place(window.at)[2])
                _broken(faults, error, *(window.place(error.pos) if isinstance(error, json.JSONDecodeError) else at))
            return rows.rows(), lines
        share_lines |= line == before
        if isinstance(value, dict):
            rows.add(value)
            lines.append(line)
        else:
            _no_object(faults, value, line, num_items if num_items > 1 else None)
    window.move(window.at + 1)
    if window.next_sign():
        faults.add("FTC355", "text after the array's end", window.line, help="keep only one array in the file")
    return rows.rows(), None if share_lines else lines


def _no_array(window: _Window, faults: Faults) -> None:
    begin = window.text[window.at : window.at + LARGEST_ROW]
    starts = begin.split("\n", 2)
    if len(starts) > 1 and all(start.strip().startswith("{") for start in starts[:2] if start.strip()):
        help_ = "the file looks like JSON lines: rename it to `.jsonl`"
    else:
        help_ = "write an array of objects, or one object per line in a file with the suffix `.jsonl`"
    summary = "a `.json` data file must be an array of objects"
    faults.add("FTC356", summary, 1, help=help_, notes=[f"it begins with {shown(begin[:60])}"])
