"""Predictions as files and on a terminal: CSV, JSON lines, and a few lines of text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ftc.spec.documents.predictions import RowPrediction
from ftc.views import numbers
from ftc.views.page import Page, escaped

__all__ = ["as_csv", "as_json", "as_json_lines", "as_text"]

_PREDICTED = (
    "prediction",
    "numbers",
    "vectors",
    "probability",
    "labels",
    "spans",
    "probabilities",
    "truncated",
    "problem",
)
"""Columns that predictions add to rows, those of them that say something. A name that the rows have already stays
theirs, and what is predicted has `ftc_` before its name."""

_MOST_CLASSES = 3


def as_json_lines(rows: Sequence[Mapping[str, Any]], predictions: Sequence[RowPrediction]) -> str:
    """Each row with its prediction, an object a line."""
    return "".join(_json(row) + "\n" for row in _beside(rows, predictions))


def as_json(rows: Sequence[Mapping[str, Any]], predictions: Sequence[RowPrediction]) -> str:
    """The same as one array."""
    return _json(_beside(rows, predictions), indent=2) + "\n"


def as_csv(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    predictions: Sequence[RowPrediction],
    delimiter: str = ",",
) -> str:
    """The rows with a column for each thing that is predicted; a list or an object is JSON in its cell.

    Where a column's name holds what may divide values, everything is in quotes, so that a reader that has to find out
    the delimiter, as ftc's does, finds the right one. So it is where a cell holds a carriage return, which ends a row
    for readers and which `csv` alone leaves without quotes.
    """
    whole = _beside(rows, predictions)
    added = [name for name in _names(columns).values() if any(name in row for row in whole)]
    stream = io.StringIO()
    table = [[_cell(row.get(name)) for name in (*columns, *added)] for row in whole]
    is_ambiguous = any(mark in name for name in columns for mark in ",;|\t\r")
    has_returns = any(isinstance(cell, str) and "\r" in cell for cells in table for cell in cells)
    writer = csv.writer(
        stream,
        delimiter=delimiter,
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if is_ambiguous or has_returns else csv.QUOTE_MINIMAL,
    )
    writer.writerow([*columns, *added])
    writer.writerows(table)
    return stream.getvalue()


def _beside(rows: Sequence[Mapping[str, Any]], predictions: Sequence[RowPrediction]) -> list[dict[str, Any]]:
    """Each row as it is, and what was predicted of it."""
    names = _names({name for row in rows for name in row})
    return [
        {**row, **{names[name]: value for name, value in _values(one).items()}}
        for row, one in zip(rows, predictions, strict=True)
    ]


def _names(columns: Collection[str]) -> dict[str, str]:
    """What each predicted column is called beside these; none of them is written over."""
    found = {}
    for name in _PREDICTED:
        free = name
        while free in columns:
            free = f"ftc_{free}"
        found[name] = free
    return found


def _values(one: RowPrediction) -> dict[str, Any]:
    """A prediction as plain values, less what its task has no use for."""
    found: dict[str, Any] = {"prediction": one.prediction}
    if one.numbers:
        found["numbers"] = dict(one.numbers)
    if one.vectors:
        found["vectors"] = [list(vector) for vector in one.vectors]
    if one.probability is not None:
        found["probability"] = one.probability
    if one.labels is not None:
        found["labels"] = list(one.labels)
    if one.spans is not None:
        found["spans"] = [span.model_dump(mode="python", exclude_none=True) for span in one.spans]
    if one.probabilities:
        found["probabilities"] = dict(one.probabilities)
    if one.is_cut:
        found["truncated"] = True
    if one.problem is not None:
        found["problem"] = one.problem
    return found


def _cell(value: Any) -> str | int | float:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return value
        case _:
            return _json(value)


def _json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: numbers of a table that are none, or have no end, are null."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, indent=indent)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list():
            return [_finite(one) for one in value]
        case _:
            return value


def as_text(predictions: Sequence[RowPrediction], page: Page) -> str:
    """A line for each prediction, with its probability and the next likely classes."""
    return "".join(f"{line}\n" for one in predictions for line in _lines(one, page))


def _lines(one: RowPrediction, page: Page) -> Iterator[str]:
    if one.prediction is None:
        yield page.alert(f"no prediction: {escaped(one.problem or '')}")
        return
    likely = sorted(one.probabilities.items(), key=lambda pair: -pair[1])
    shown = [f"{escaped(name)} {numbers.percent(value)}" for name, value in likely[:_MOST_CLASSES]]
    yield page.strong(escaped(one.prediction)) + (f"  {page.faint(' · '.join(shown))}" if shown else "")
    if one.is_cut:
        yield page.alert("The input was truncated.")
