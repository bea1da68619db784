"""Rows come back as they were given, from memory or from disk, and disk keeps memory small."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.compiler.resolve.rows.large_files import free_bytes
from ftc.compiler.resolve.rows.row_store import AS_IT_IS, RowWriter, StoredRows, rewrite, some_of, stored
from ftc.compiler.resolve.rows.tables import read_rows

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=4), inside, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=6), VALUES, max_size=4), max_size=20)


@pytest.fixture(params=["memory", "disk"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the bytes of rows are; the cache's folder is a test's own."""
    if request.param == "disk":
        monkeypatch.setattr("ftc.compiler.resolve.rows.spool.MOST_IN_MEMORY", 0)
    return str(request.param)


def test_rows_come_back_as_they_were_given() -> None:
    @given(ROWS)
    def check(rows: list[dict[str, object]]) -> None:
        found = stored(rows)
        assert [list(row.items()) for row in found] == [list(row.items()) for row in rows]
        assert repr(list(found)) == repr(rows), "also true and 1, and 1 and 1.0"

    check()


def test_rows_go_to_disk_where_the_cache_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everything else that only remembers, its folder fails nothing."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("ftc.compiler.resolve.rows.spool.MOST_IN_MEMORY", 0)
    assert list(stored([{"a": 1}, {"a": 2}])) == [{"a": 1}, {"a": 2}]
    assert free_bytes() > 0


@pytest.mark.usefixtures("place")
def test_rows_by_number_and_some_of_them() -> None:
    rows = [{"number": number, "text": "é" * (number % 7)} for number in range(1_000)]
    found = stored(rows)
    assert (found[0], found[-1], found[3:999:400], len(found)) == (rows[0], rows[-1], rows[3:999:400], 1_000)
    with pytest.raises(IndexError):
        found[1_000]
    for numbers in (range(1_000), range(5, 700), [2, 3, 4, 900], [7, 5, 6, 8, 8], []):
        some = some_of(found, numbers)
        assert list(some) == [rows[number] for number in numbers]
        assert list(some_of(some, range(len(some))[1:])) == [rows[number] for number in numbers[1:]]


@pytest.mark.usefixtures("place")
def test_a_change_is_seen_by_all_who_have_the_rows() -> None:
    found = stored({"n": number} for number in range(600))
    also = found
    rewrite(found, lambda row: row.update(n=row["n"] * 2, more=[row["n"]]))
    assert also[599] == {"n": 1_198, "more": [599]}
    even = some_of(found, range(0, 600, 2))
    rewrite(even, lambda row: row.pop("more"))
    assert (even[1], found[2]) == ({"n": 4}, {"n": 4, "more": [2]})


def test_a_large_file_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftc.compiler.resolve.rows.spool.MOST_IN_MEMORY", 1 << 16)
    rows = [{"text": f"{number} {'word ' * 150}", "label": "a"} for number in range(5_000)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    size = (tmp_path / "rows.jsonl").stat().st_size
    read_rows(tmp_path / "rows.jsonl", "rows.jsonl")  # what is loaded for the first time doesn't count
    tracemalloc.start()
    table = read_rows(tmp_path / "rows.jsonl", "rows.jsonl")
    seen = sum(len(row["text"]) for row in table.rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(table.rows, StoredRows)
    assert seen == sum(len(row["text"]) for row in rows)
    assert table.where(4_999) == "rows.jsonl:5000"
    assert peak < size / 2


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("changed", [(), (0,), (5_000,), (3, 1_500, 4_200)])
def test_rows_that_a_change_leaves_as_they_are_keep_their_json(changed: tuple[int, ...]) -> None:
    """In pieces of which some, none or all have a row that is changed."""
    writer = RowWriter()
    for number in range(6_000):
        writer.add_json(f'{{"number":  {number}}}'.encode())  # two spaces, which nothing here writes
    rows = writer.rows()

    def change(row: dict[str, object]) -> object:
        if row["number"] not in changed:
            return AS_IT_IS
        row["more"] = "é"
        return None

    rewrite(rows, change, apart=True)
    assert list(rows) == [{"number": n, "more": "é"} if n in changed else {"number": n} for n in range(6_000)]
    again = list(rows.written())
    assert [n for n, data in enumerate(again) if b":  " not in data] == list(changed)
    assert again[2_000:3_100] == list(rows.written(range(2_000, 3_100)))
