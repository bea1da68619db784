"""Predictions beside the columns that rows have already."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

from ftc.spec.documents.predictions import RowPrediction
from ftc.views.predictions import as_csv, as_json, as_json_lines

COLUMNS = ("text", "prediction", "ftc_prediction", "labels")
ROWS: tuple[Mapping[str, object], ...] = (
    {"text": "a", "prediction": "mine", "ftc_prediction": "too", "labels": "kept"},
    {"text": "b", "prediction": "", "ftc_prediction": None, "labels": None},
)
FOUND = (
    RowPrediction(row=0, prediction="yes", labels=("x", "y")),
    RowPrediction(row=1, prediction=None, problem="no text"),
)


def test_no_column_of_the_rows_is_written_over() -> None:
    first, second = (json.loads(line) for line in as_json_lines(ROWS, FOUND).splitlines())
    assert first == {**ROWS[0], "ftc_ftc_prediction": "yes", "ftc_labels": ["x", "y"]}
    assert second == {**ROWS[1], "ftc_ftc_prediction": None, "problem": "no text"}
    assert json.loads(as_json(ROWS, FOUND)) == [first, second]


def test_a_csv_file_has_them_behind_the_rows_own() -> None:
    title, first, second = csv.reader(io.StringIO(as_csv(COLUMNS, ROWS, FOUND)))
    assert title == [*COLUMNS, "ftc_ftc_prediction", "ftc_labels", "problem"]
    assert first == ["a", "mine", "too", "kept", "yes", '["x", "y"]', ""]
    assert second == ["b", "", "", "", "", "", "no text"]
