"""Data files are read strictly: every fault is named by file, line and column, and nothing that can run is opened."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import tarfile
import zipfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import filelock
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, ipc, parquet

from ftc.compiler.resolve.rows import packed_files, spool
from ftc.compiler.resolve.rows.table import LARGEST_ROW, Table, shown
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Diagnostic, Refusal, Span
from ftc.spec.language.text_checks import MOST_FINDINGS
from ftc.spec.row_files import CONLL, SUFFIXES, WORKBOOKS
from ftc.views.diagnostics import count

ROWS = [{"text": 'Größe, "quoted"\nand two lines', "label": "a"}, {"text": "日本", "label": "b"}]
IN_RECIPE = Span("recipe.yaml", 4, 11, 4, 20)


def read(folder: Path, name: str, content: bytes | str) -> Table:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(folder / name, f"data/{name}", IN_RECIPE)


def faults(folder: Path, name: str, content: bytes | str) -> tuple[Diagnostic, ...]:
    with pytest.raises(Refusal) as caught:
        read(folder, name, content)
    for found in caught.value.diagnostics:
        assert found.help, found
        assert all(len(note) < 200 and "\n" not in note for note in found.notes)
    return caught.value.diagnostics


def fault(folder: Path, name: str, content: bytes | str) -> Diagnostic:
    (found,) = faults(folder, name, content)
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".gz":
        write(path.with_suffix(""), rows)
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), mtime=0))
        path.with_suffix("").unlink()
        return
    match path.suffix:
        case ".jsonl" | ".ndjson":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        case ".json":
            path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
        case ".csv" | ".tsv":
            separator = "," if path.suffix == ".csv" else "\t"
            quoted = [['"' + value.replace('"', '""') + '"' for value in row.values()] for row in rows]
            lines = [separator.join(rows[0]), *map(separator.join, quoted)]
            path.write_bytes("".join(line + "\r\n" for line in lines).encode())
        case ".parquet":
            parquet.write_table(pa.Table.from_pylist(rows), path)
        case ".feather":
            feather.write_feather(pa.Table.from_pylist(rows), path)
        case ".arrow":
            table = pa.Table.from_pylist(rows)
            with ipc.new_stream(path, table.schema) as stream:
                stream.write_table(table)


@pytest.mark.parametrize(
    "suffix",
    [one for one in SUFFIXES if one.removesuffix(".gz") not in (".txt", *CONLL, *WORKBOOKS)],
)
def test_every_kind_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"rows{suffix}", ROWS)
    table = read_rows(tmp_path / f"rows{suffix}", f"rows{suffix}")
    assert table.rows == ROWS
    assert table.columns == ("text", "label")


@pytest.mark.parametrize(
    "suffix",
    [one for one in SUFFIXES if one.removesuffix(".gz") not in (".txt", *CONLL, *WORKBOOKS)],
)
def test_suffixes_ignore_case(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"rows{suffix}", ROWS)
    (tmp_path / f"rows{suffix}").rename(tmp_path / f"ROWS{suffix.upper()}")
    assert read_rows(tmp_path / f"ROWS{suffix.upper()}", "rows").rows == ROWS


def test_rows_know_their_lines(tmp_path: Path) -> None:
    table = read(tmp_path, "a.jsonl", '{"a": 1}\n\n{"a": 2, "b": null}\r\n')
    assert ([*(table.lines or ())], table.columns) == ([1, 3], ("a", "b"))
    assert table.span(1) == Span("data/a.jsonl", 3, 1, 3, 2)
    assert table.places([0, 1]) == "data/a.jsonl:1, 3"
    assert read(tmp_path, "a.json", '[\n {"a": 1},\n\n {"a":\n 2},\n {"a": 3}]').lines == array("q", [2, 4, 6])
    assert read(tmp_path, "a.csv", 'a,b\n"1\n1",2\n\n3,4\r5,6').lines == array("q", [2, 5, 6])


def test_rows_without_lines_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ROWS)
    table = read_rows(tmp_path / "a.parquet", "a.parquet")
    assert table.span(0) is None
    assert table.where(1) == "a.parquet#2"
    assert table.places(list(range(2)) * 4) == "a.parquet#1, 2, 1, 2, 1 and 3 more"
    assert table.kept([1]).where(0) == "a.parquet#2"


@pytest.mark.parametrize("content", ['[{"a": 1}, {"a": 2}, {"a": 3}]', '[{"a": 1},\n{"a": 2}, {"a": 3}]'])
def test_rows_on_one_line_are_named_by_their_numbers(tmp_path: Path, content: str) -> None:
    table = read(tmp_path, "a.json", content)
    assert [table.where(row) for row in range(3)] == ["data/a.json#1", "data/a.json#2", "data/a.json#3"]
    assert table.kept([0, 2]).places([0, 1]) == "data/a.json#1, 3"
    assert fault(tmp_path, "a.json", '[{"a": 1}, {"a": 2}, 3]').notes == ("found: 3", "it is row 3 of the array")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_byte_order_mark_is_no_fault(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ROWS)
    with_mark = b"\xef\xbb\xbf" + (tmp_path / name).read_bytes()
    assert read(tmp_path, name, with_mark).rows == ROWS


def test_a_row_that_is_cut_off(tmp_path: Path) -> None:
    found = fault(tmp_path, "a.jsonl", '{"a": 1}\n{"a": "b", "c" 1}\n{"a": 3}\n')
    assert (found.code, found.span) == ("FTC355", Span("data/a.jsonl", 2, 16, 2, 17))
    assert "Expecting ':' delimiter" in found.summary


def test_each_broken_row_has_a_finding(tmp_path: Path) -> None:
    few = faults(tmp_path, "a.jsonl", '{"a": 1\n{"a": 1}\n[1]\nnull\n{"a": NaN}\n{"a": 1, "a": 2}\n{"a": "\\ud800"}\n')
    assert [(found.code, found.span.line) for found in few if found.span] == [
        ("FTC355", 1),
        ("FTC356", 3),
        ("FTC356", 4),
        ("FTC355", 5),
        ("FTC355", 6),
        ("FTC355", 7),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "x\n" * 1060),
        ("a.json", f"[{','.join(['1'] * 1060)}]"),
        ("a.csv", "a,b\n" + "1,2,3\n" * 1060),
        ("a.conll", "x\n" * 1060),
        ("a.csv", "a,b\n" + "1,2,3\n" * 1059 + '"x'),
    ],
)
def test_twenty_broken_rows_are_shown_and_all_are_counted(tmp_path: Path, name: str, content: str) -> None:
    found = faults(tmp_path, name, content)
    assert len(found) == MOST_FINDINGS
    words = f"1,060 such faults in data/{name}, of which 20 are shown"
    stopped = "; reading stopped at line 1,061" if content.endswith("x") else ""
    assert found[-1].notes[-1] == f"{words}{stopped}"
    assert count(found) == "1,060 errors"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Infinity", "`Infinity` is not a JSON value"),
        ('{"x": 1, "x": 2}', 'key "x" occurs twice'),
        ('"\\udc00"', "half of a surrogate pair"),
        ("[" * 90_000, "nested too deeply"),
        ("[" * 150 + "]" * 150, "nested more than 100 levels"),
        ("9" * 5000, "a number of more than 4,300 digits"),
    ],
)
def test_values_that_mean_nothing_elsewhere(tmp_path: Path, name: str, value: str, words: str) -> None:
    row = f'{{"a": {value}}}'
    found = fault(tmp_path, name, f"[{row}]" if name == "a.json" else row)
    assert found.code == "FTC355"
    assert words in found.summary


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"a": "\\ud83d\\ude00"}').rows == [{"a": "😀"}]


@pytest.mark.parametrize(
    ("name", "content", "line", "column", "offset"),
    [
        ("a.jsonl", b'{"a": "x"}\n{"a": "caf\xe9"}\n', 2, 11, 21),
        ("a.jsonl", b'\xef\xbb\xbf{"a": "caf\xe9"}\n', 1, 11, 13),
        ("a.json", b'[{"a": "x"},\n{"a": "caf\xe9"}]\n', 2, 11, 23),
        ("a.csv", b"a,b\nx,y\ncaf\xe9,z\n", 3, 4, 11),
    ],
)
def test_other_encodings(tmp_path: Path, name: str, content: bytes, line: int, column: int, offset: int) -> None:
    found = fault(tmp_path, name, content)
    assert found.code == "FTC354"
    assert found.span == Span(f"data/{name}", line, column, line, column + 1)
    assert f"0xe9 at offset {offset} " in found.summary


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ('{"a": 1}\n{"a": 2}\n', "FTC356", ".jsonl"),
        ('{"rows": [{"a": 1}]}', "FTC356", "array of objects"),
        ('[{"a": 1} {"a": 2}]', "FTC355", "fix or remove"),
        ('[{"a": 1},]', "FTC355", "fix or remove"),
        ('[{"a": 1}', "FTC355", "fix or remove"),
        ("[", "FTC355", "fix or remove"),
        ('[{"a": 1}] x', "FTC355", "one array"),
        ("[1]", "FTC356", "object"),
    ],
)
def test_json_files_hold_one_array(tmp_path: Path, content: str, code: str, words: str) -> None:
    found = fault(tmp_path, "a.json", content)
    assert found.code == code
    assert words in found.help[0]


@pytest.mark.parametrize(
    ("content", "code", "line", "words"),
    [
        ("a,b\n1,2,3\n", "FTC357", 2, "3 fields; the header has 2"),
        ("a,b\n1\n", "FTC357", 2, "a row with 1 field;"),
        ("a,a\n1,2\n", "FTC358", 1, 'duplicate column names in the header: "a"'),
        ("a,\n1,2\n", "FTC358", 1, "column 2 of the header has no name"),
        ("a,b,,\n1,2,,\n", "FTC358", 1, "2 columns of the header have no name, the first of them is column 3"),
        (
            'a,b\n1,2\n"3,4\n5,6\n',
            "FTC355",
            3,
            "never closed; its cell takes all lines up to 4",
        ),
        ('a,b\n"1"x,2\n', "FTC355", 2, "expected after"),
    ],
)
def test_broken_csv(tmp_path: Path, content: str, code: str, line: int, words: str) -> None:
    found = fault(tmp_path, "a.csv", content)
    assert (found.code, found.span) == (code, Span("data/a.csv", line, 1, line, 2))
    assert words in found.summary


def test_all_csv_rows_of_another_length_are_told(tmp_path: Path) -> None:
    lines = [found.span.line for found in faults(tmp_path, "a.csv", "a,b\n1\n1,2\n1,2,3\n") if found.span]
    assert lines == [2, 4]


def test_long_fields_are_read_and_endless_ones_are_not(tmp_path: Path) -> None:
    assert len(read(tmp_path, "a.csv", f"a,b\n{'x' * 200_000},y\n").rows[0]["a"]) == 200_000
    endless = "x" * (LARGEST_ROW + 1)
    assert fault(tmp_path, "a.csv", f"a,b\n{endless},y\n").code == "FTC355"
    found = fault(tmp_path, "a.jsonl", f'{{"a": 1}}\n{{"a": "{endless}"}}\n')
    assert (found.code, found.span and found.span.line) == ("FTC355", 2)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv"])
@pytest.mark.parametrize("content", ["", "\n\n", " \n"])
def test_files_without_rows(tmp_path: Path, name: str, content: str) -> None:
    found = faults(tmp_path, name, content)[0]
    assert found.code in ("FTC359", "FTC358")  # a lone blank in a CSV is a column without a name


@pytest.mark.parametrize(("name", "content"), [("a.csv", "a,b\n"), ("a.json", "[]")])
def test_files_with_nothing_but_a_frame(tmp_path: Path, name: str, content: str) -> None:
    found = fault(tmp_path, name, content)
    assert (found.code, found.span) == ("FTC359", IN_RECIPE)
    assert f"{len(content)} bytes" in found.notes[0]


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jsonl", "{}")
    return stream.getvalue()


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jsonl"))
    return stream.getvalue()


_ZIP = _zip()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".arrow", ".zip", ".pkl", ""])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_zip(), "zip archive"),
        (_tar(), "tar archive"),
        (gzip.compress(b"{}", mtime=0), "gzip file"),
        (b"\x80\x04\x95\x0b\x00\x00\x00", "pickle"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS pointer"),
        (b"<!DOCTYPE html><p>not found", "web page"),
    ],
)
def test_other_formats_are_known_by_their_first_bytes(tmp_path: Path, suffix: str, content: bytes, words: str) -> None:
    found = fault(tmp_path, f"a{suffix}", content)
    assert (found.code, found.span) == ("FTC353", IN_RECIPE)
    assert words in found.summary


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.jsonll", "did you mean `.jsonl`"),
        ("a.xlsxx", "did you mean `.xlsx`"),
        ("a.docx", ".csv"),
        ("a.md", "of a .txt file, each line is a row"),
        ("a.py", '`{"text": "…"}` of a .jsonl file'),
        ("a.gz", "unpack"),
        ("a.pkl", "pickles run code"),
        ("a", ".jsonl"),
    ],
)
def test_unknown_suffixes(tmp_path: Path, name: str, words: str) -> None:
    found = fault(tmp_path, name, "text")
    assert found.code == "FTC352"
    assert words in found.help[0]


def test_packed_rows_keep_their_lines_and_faults(tmp_path: Path) -> None:
    table = read(tmp_path, "a.jsonl.gz", gzip.compress(b'{"a": 1}\n\n{"a": 2}\n'))
    assert [table.where(number) for number in range(2)] == ["data/a.jsonl.gz:1", "data/a.jsonl.gz:3"]
    broken = fault(tmp_path, "a.csv.gz", gzip.compress(b"a,b\n1\n"))
    assert (broken.code, broken.span) == ("FTC357", Span("data/a.csv.gz", 2, 1, 2, 2))
    two = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    assert read(tmp_path, "a.csv.gz", two).rows == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}], "as gzip joins files"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1}\n', "is no gzip file"),
        (gzip.compress(b'{"a": 1}\n' * 999)[:-9], "is not a complete .gz file"),
        (gzip.compress(b'{"a": 1}\n')[:-1] + b"x", "is not a complete .gz file"),
        (gzip.compress(_ZIP), "is a zip archive"),
    ],
    ids=["plain", "cut", "changed", "archive"],  # what is packed has the time in it
)
def test_packed_files_that_are_something_else(tmp_path: Path, content: bytes, words: str) -> None:
    found = fault(tmp_path, "a.jsonl.gz", content)
    assert (found.code, found.span) == ("FTC353", IN_RECIPE)
    assert words in found.summary


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    bomb = gzip.compress(bytes(65 * 2**20))
    assert len(bomb) * 200 < 65 * 2**20
    found = fault(tmp_path, "a.jsonl.gz", bomb)
    assert (found.code, "more than 200 times its size" in found.notes[0]) == ("FTC327", True)
    assert not [*(tmp_path / "cache").rglob("*")], "nothing of it stays"
    monkeypatch.setattr(packed_files, "_ALWAYS", 10)
    monkeypatch.setattr(packed_files, "free_bytes", lambda: 100)
    short = fault(tmp_path, "a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 10))
    words = "unpacked it has at least 0.00 GiB; its rows may need 4 times as much disk, and 0.00 GiB are left"
    assert (short.code, short.notes) == ("FTC327", (words,))


def _left_behind(cache: Path) -> Path:
    """A folder of a process that was killed while it read what it had unpacked."""
    folder = cache / "ftc-unpacked-left"
    folder.mkdir()
    for name in ("held.lock", "a.jsonl"):
        (folder / name).write_bytes(b"{}")
    os.utime(folder, (1, 1))
    return folder


def test_what_a_killed_process_unpacked_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_CACHE", str(cache := tmp_path / "cache"))
    cache.mkdir()
    packed, left = gzip.compress(b'{"a": 1}\n'), _left_behind(cache)
    with filelock.FileLock(left / "held.lock"):
        read(tmp_path, "a.jsonl.gz", packed)
        assert (left / "a.jsonl").exists(), "its process is alive"
    read(tmp_path, "a.jsonl.gz", packed)
    assert not [*cache.rglob("*")]
    young = cache / "ftc-unpacked-young"
    young.mkdir()
    (tmp_path / "b.jsonl.gz").write_bytes(packed)
    with packed_files.unpacked(tmp_path / "b.jsonl.gz", "b.jsonl.gz", None) as file:
        os.utime(file.parent, (1, 1))
        read(tmp_path, "a.jsonl.gz", packed)
        assert (file.read_bytes(), young.exists()) == (b'{"a": 1}\n', True), "what is held or young stays"


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl"])
def test_a_full_disk_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packed_files, "_unpack", full)
    monkeypatch.setattr(spool, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(spool.Spool, "_flush", full)
    content = b'{"a": 1}\n' * 99
    found = fault(tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content)
    assert (found.code, found.span) == ("FTC647", IN_RECIPE)
    assert found.summary == f"the disk has no room for the rows of data/{name}: no space left on device"


def test_parquet_under_a_text_suffix(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ROWS)
    found = fault(tmp_path, "a.jsonl", (tmp_path / "a.parquet").read_bytes())
    assert (found.code, found.help) == ("FTC353", ("rename the file to the suffix `.parquet`",))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_binary_files_that_are_cut_off(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", ROWS)
    content = (tmp_path / f"a{suffix}").read_bytes()
    assert fault(tmp_path, f"b{suffix}", content[: len(content) // 2]).code == "FTC353"
    assert fault(tmp_path, f"c{suffix}", b"not at all such a file").code == "FTC353"


def test_absent_files(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/rows.csv").write_text("text\na\n", encoding="utf-8")
    cases = {
        "row.jsonl": "did you mean `rows.jsonl`?",
        "data/row.csv": "did you mean `data/rows.csv`?",
        "./data/row.csv": "did you mean `./data/rows.csv`?",
        "other.csv": "relative",
        "x/y.csv": "missing",
    }
    for name, words in cases.items():
        with pytest.raises(Refusal) as caught:
            read_rows(tmp_path / name, name, IN_RECIPE)
        (found,) = caught.value.diagnostics
        assert (found.code, found.span) == ("FTC350", IN_RECIPE)
        assert words in found.help[0]
    with pytest.raises(Refusal, match="is a folder"):
        read_rows(tmp_path, "data")


def test_arrow_types_become_json_values(tmp_path: Path) -> None:
    import decimal

    table = pa.table(
        {
            "when": pa.array(["2024-02-29T12:30:00"]).cast(pa.timestamp("ms")),
            "price": pa.array([decimal.Decimal("1.50")], pa.decimal128(5, 2)),
            "kind": pa.array(["a"]).dictionary_encode(),
            "turns": pa.array([[{"role": "user", "content": "hi"}]]),
            "ok": pa.array([True]),
            "none": pa.nulls(1),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    (row,) = read_rows(tmp_path / "a.parquet", "a.parquet").rows
    assert row == {
        "when": "2024-02-29 12:30:00.000",
        "price": "1.50",
        "kind": "a",
        "turns": [{"role": "user", "content": "hi"}],
        "ok": True,
        "none": None,
    }
    json.dumps(row)


def test_arrow_columns_without_a_json_form(tmp_path: Path) -> None:
    days = pa.array([[0]], pa.list_(pa.date32()))
    table = pa.table({"image": pa.array([b"\x89PNG"]), "days": days, "text": pa.array(["a"])})
    parquet.write_table(table, tmp_path / "a.parquet")
    read = read_rows(tmp_path / "a.parquet", "a.parquet")
    assert (read.columns, read.rows) == (("text",), [{"text": "a"}])
    assert set(read.left_out) == {"image", "days"}
    parquet.write_table(table.drop_columns("text"), tmp_path / "a.parquet")
    with pytest.raises(Refusal) as caught:
        read_rows(tmp_path / "a.parquet", "a.parquet")
    assert [found.code for found in caught.value.diagnostics] == ["FTC360", "FTC360"]
    assert "`image` has the type `binary`" in caught.value.diagnostics[0].summary


def test_arrow_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with ipc.new_file(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)
    with pytest.raises(Refusal, match="column `a` occurs twice"):
        read_rows(tmp_path / "a.arrow", "a.arrow")


def test_shown_values_are_short_escaped_and_without_secrets() -> None:
    assert shown("a\nb\x1b[0m") == '"a\\nb\ufffd[0m"'
    assert shown("%YAML") == '"%YAML"'
    assert shown("a\u00a0b") == '"a\\u00a0b"'
    assert len(shown("x" * 500)) == 80
    secret = "hf_" + "abcdefghij0123456789"
    assert secret not in shown(f"token {secret}")
    assert secret not in shown({"token": secret})


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(
    rows=st.lists(st.dictionaries(TEXT, VALUES, min_size=1, max_size=3), min_size=1, max_size=5), escape=st.booleans()
)
def test_json_rows_come_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], escape: bool
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = [json.dumps(row, ensure_ascii=escape) for row in rows]
    assert read(folder, "a.jsonl", "\n".join(lines)).rows == rows
    assert read(folder, "a.json", "[" + ",\n".join(lines) + "]").rows == rows


@given(content=st.binary(max_size=200) | TEXT.map(str.encode), suffix=st.sampled_from(SUFFIXES))
def test_any_bytes_give_rows_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    try:
        found: Sequence[object] = read(folder, f"a{suffix}", content).rows
    except Refusal as refusal:
        found = refusal.diagnostics
    assert found


def test_line_endings_inside_quotes_follow_those_of_the_file(tmp_path: Path) -> None:
    """git and editors change both; spreadsheets end lines in CRLF and break cells with LF alone."""
    unix = b'text,label\n"a\nb",x\n'
    for data in (unix, unix.replace(b"\n", b"\r\n"), b'text,label\r\n"a\nb",x\r\n'):
        (tmp_path / "a.csv").write_bytes(data)
        assert read_rows(tmp_path / "a.csv", "a.csv").rows == [{"text": "a\nb", "label": "x"}]
