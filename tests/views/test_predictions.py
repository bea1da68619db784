"""Predictions beside the columns that rows have already."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ftc.compiler.resolve.rows.reading import USUAL_READING
from ftc.compiler.resolve.rows.separated_rows import read_separated
from ftc.compiler.resolve.rows.table import Faults
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


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["Body", "Body, in full", "Body; in full", "a\tb", "a|b"])
def test_what_is_written_is_read_back_whatever_divides_it(tmp_path: Path, name: str, delimiter: str) -> None:
    texts = ["a, b", "a; b", 'he said "no"', "two\nlines", "two\rlines", "a\tb|c", " blank ", "", "é"]
    rows = [{name: text, "Queue": "x,y;z"} for text in texts]
    said = [RowPrediction(row=row, prediction="x", probabilities={"x": 0.75, "y, z": 0.25}) for row in range(len(rows))]
    (tmp_path / "out.csv").write_text(as_csv((name, "Queue"), rows, said, delimiter), encoding="utf-8", newline="")
    faults = Faults("out.csv")
    found = read_separated(tmp_path / "out.csv", ",", USUAL_READING, faults)
    assert not faults.found
    assert found.dialect == (delimiter, False)
    assert [row[name] for row in found.rows] == texts
    assert {row["Queue"] for row in found.rows} == {"x,y;z"}
    assert [json.loads(row["probabilities"]) for row in found.rows] == [{"x": 0.75, "y, z": 0.25}] * len(rows)
