"""JSON lines that several processes read are the rows that one reads, and what is odd is left to one."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from ftc.compiler.resolve.rows import json_pieces
from ftc.compiler.resolve.rows.in_processes import with_jobs
from ftc.compiler.resolve.rows.json_rows import read_json_lines
from ftc.compiler.resolve.rows.table import Faults, Table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="one process does all elsewhere")
LINES = [json.dumps({"text": "é" * (number % 40), f"column {number // 50}": number}) for number in range(200)]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.active_count() - 1
    count = threading.active_count
    monkeypatch.setattr(threading, "active_count", lambda: count() - left)
    monkeypatch.setattr(json_pieces, "_PIECE_BYTES", 300)


def read(path: Path, jobs: int) -> tuple[Table, Faults]:
    faults = Faults(path.name)
    with with_jobs(jobs):
        return read_json_lines(path, faults), faults


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("between", ["\n", "\r\n", " \n\t"])
def test_plain_lines_are_the_same_rows(tmp_path: Path, between: str, end: str) -> None:
    (path := tmp_path / "rows.jsonl").write_bytes((between.join(LINES) + end).encode())
    with with_jobs(3):
        assert json_pieces.plain_lines(path, json.loads) is not None, "several processes read it"
    (several, found), (one, _) = read(path, 3), read(path, 1)
    assert not found.found
    assert several.rows == one.rows
    assert several.columns == one.columns == ("text", *(f"column {number}" for number in range(4)))
    assert [*(several.lines or ())] == [*(one.lines or ())] == [*range(1, 201)]


@pytest.mark.parametrize(
    "odd",
    ["", "[1]", '{"text": "a"},', '{"text": 1', '{"text": NaN}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}', "3"],
)
def test_an_odd_line_is_reported_as_by_one_process(tmp_path: Path, odd: str) -> None:
    lines = [*LINES[:120], odd, *LINES[120:]]
    (path := tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (several, found), (one, alone) = read(path, 3), read(path, 1)
    assert found.found == alone.found
    assert bool(found.found) == bool(odd), "an empty line is passed over"
    assert several.rows == one.rows
    assert several.lines == one.lines


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf", b"\xff"])
def test_bytes_before_the_text_are_reported_as_by_one_process(tmp_path: Path, data: bytes) -> None:
    (path := tmp_path / "rows.jsonl").write_bytes(data + "\n".join(LINES).encode())
    (several, found), (one, alone) = read(path, 3), read(path, 1)
    assert found.found == alone.found
    assert several.rows == one.rows
