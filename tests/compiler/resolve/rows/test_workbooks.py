"""Sheets of workbooks: cells as the workbook types them, and what can't be read is said plainly."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from ftc.compiler.resolve.rows import workbook_rows
from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Diagnostic, Refusal
from tests.support.workbook import Cell, Date, workbook

pytest.importorskip("python_calamine", reason="pip install 'ftc[excel]'")

ROWS: list[list[Cell]] = [
    ["text", None, "label", "day", "sure", "score"],
    ["cold", None, 1.0, Date(45443), True, 1.5],
    [],
    ["warm", None, 2.0, Date(45443.5), False, None],
]


def fault(folder: Path, content: bytes, name: str = "a.xlsx", reading: Reading | None = None) -> Diagnostic:
    (folder / name).write_bytes(content)
    with pytest.raises(Refusal) as refused:
        read_rows(folder / name, name, None, reading or Reading())
    (found,) = refused.value.diagnostics
    assert found.help
    return found


def test_cells_keep_their_types_and_rows_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(workbook({"Tickets": ROWS, "Other": [["x"], ["y"]]}))
    table = read_rows(tmp_path / "a.xlsx", "data/a.xlsx")
    assert table.columns == ("text", "label", "day", "sure", "score"), "an empty column is none"
    assert table.rows == [
        {"text": "cold", "label": 1, "day": "2024-05-31", "sure": True, "score": 1.5},
        {"text": "warm", "label": 2, "day": "2024-05-31T12:00:00", "sure": False, "score": None},
    ]
    assert table.where(1) == "data/a.xlsx:4", "the row's number in the sheet"
    assert table.remark == "sheet `Tickets` of 2"
    other = read_rows(tmp_path / "a.xlsx", "a.xlsx", None, Reading(sheet="Other"))
    assert other.rows == [{"x": "y"}]


def test_what_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = workbook({"Tickets": ROWS})
    found = fault(tmp_path, whole, reading=Reading(sheet="Ticket"))
    assert (found.code, found.help) == ("FTC397", ("did you mean `Tickets`?",))
    assert fault(tmp_path, whole[:300]).code == "FTC353"
    assert fault(tmp_path, b"no workbook at all").code == "FTC353"
    assert fault(tmp_path, workbook({"a": [["text", "text"], ["x", "y"]]})).code == "FTC358"
    assert fault(tmp_path, workbook({"a": [["text", None], ["x", "y"]]})).summary.startswith("a.xlsx:1: column 2 ")
    assert fault(tmp_path, workbook({"a": [["text"]]})).code == "FTC359"
    assert "give it the suffix `.xlsx`" in fault(tmp_path, whole, "rows.csv").help
    monkeypatch.setattr(workbook_rows, "_MOST_BYTES", 1000)
    assert fault(tmp_path, whole).code == "FTC353"
    monkeypatch.setattr(workbook_rows, "find_spec", lambda name: None)
    found = fault(tmp_path, whole)
    assert (found.code, "CSV UTF-8" in found.help[0]) == ("FTC650", True)


def test_a_sheet_that_is_broken_inside_is_no_bug_of_ours(tmp_path: Path) -> None:
    with io.BytesIO() as stream:
        with zipfile.ZipFile(stream, "w") as archive, zipfile.ZipFile(io.BytesIO(workbook({"a": ROWS}))) as whole:
            for name in whole.namelist():
                archive.writestr(name, whole.read(name)[:-20] if "sheet1" in name else whole.read(name))
        assert fault(tmp_path, stream.getvalue()).code == "FTC353"
