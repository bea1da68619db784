"""Rows of files are those that `datasets` reads, in the same order; where they differ, a comment gives the reason."""

from __future__ import annotations

import base64
import datetime
import decimal
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.sections.data import Data, PathSource
from tests.support import resolved_rows

KINDS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".txt": "text", ".parquet": "parquet"}


def theirs(library: Any, file: Path, **options: Any) -> list[dict[str, Any]]:
    kind = KINDS.get(Path(file.name.removesuffix(".gz")).suffix, "arrow")
    return [dict(row) for row in library.load_dataset(kind, data_files=str(file), split="train", **options)]


def ours(file: Path) -> list[dict[str, Any]]:
    """Rows by ftc; a key that a row of JSON lacks is one without a value."""
    table = read_rows(file, file.name)
    return [{name: row.get(name) for name in table.columns} for row in table.rows]


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def written(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    file.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return file


CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.jsonl", lines({"t": "a", "n": 1, "f": 1.5, "b": True}, {"t": None, "n": None, "f": 2.0, "b": None})),
        ("lists.jsonl", lines({"l": [1, None], "e": [], "ll": [[1], []]}, {"l": None, "e": [], "ll": []})),
        ("objects.jsonl", lines({"o": {"x": 1}}, {"o": {"x": None}}, {"o": None})),
        ("mixed.jsonl", lines({"a": 1, "o": {"x": 1}}, {"a": 1.5, "o": {"y": "2"}})),
        ("absent.jsonl", lines({"a": 1}, {"b": 2})),
        ("large.jsonl", lines({"a": 2**53 + 1}, {"a": -1})),
        ("chat.jsonl", lines(CHAT, {"messages": []})),
        ("breaks.jsonl.gz", lines({"t": "é\u2028\u0085\r\n"}, {"t": "\U0001f600"})),
        ("array.json", json.dumps([{"t": "a", "n": 1}, {"t": "b", "n": None}])),
        ("quotes.csv", 't,label\na,x\n"b, ""q""",y\n"two\nlines",z\n'),
        ("ends.csv", "t,label\r\na,x\r\nb,y\r\n"),
        ("packed.csv.gz", "t,label\na,x\nb,y\n"),
        ("text.txt", "one\ntwo\n"),
        ("text.txt.gz", "one\n  two\n"),
    ],
)
def test_rows_of_text_files_are_equal(library: Any, tmp_path: Path, name: str, content: str) -> None:
    file = written(tmp_path, name, content)
    assert ours(file) == theirs(library, file)


COLUMNS = {
    "text": pa.array(["a", None, "c"]),
    "large": pa.array(["a", "b", "c"], pa.large_string()),
    "whole": pa.array([1, None, 3]),
    "byte": pa.array([1, 2, 255], pa.uint8()),
    "single": pa.array([0.1, None, 1.5], pa.float32()),
    "truth": pa.array([True, None, False]),
    "list": pa.array([[1, None], [], None]),
    "nested": pa.array([[[1], [2, 3]], [], [[]]]),
    "object": pa.array([{"x": 1, "y": "b"}, {"x": None, "y": None}, None]),
    "chat": pa.array([CHAT["messages"], [], None]),
    "word": pa.array(["x", "y", "x"]).dictionary_encode(),
}


@pytest.mark.parametrize("form", ["rows.parquet", "stream.arrow", "file.arrow"])
def test_columns_of_every_plain_type_are_equal(library: Any, tmp_path: Path, form: str) -> None:
    table, file = pa.table(COLUMNS), tmp_path / form
    if form == "rows.parquet":
        pyarrow.parquet.write_table(table, file, row_group_size=2)
    else:
        new = pyarrow.ipc.new_stream if form == "stream.arrow" else pyarrow.ipc.new_file
        with new(str(file), table.schema) as writer:
            writer.write_table(table)
    found = ours(file)
    assert found == theirs(library, file)
    assert found == table.to_pylist()


@pytest.mark.parametrize("name", ["b.jsonl.gz", "a.parquet"])
def test_shards_are_read_in_the_order_of_their_names(library: Any, tmp_path: Path, name: str) -> None:
    """All of them, streamed or not."""
    rows = [{"text": f"text {number}", "label": number} for number in range(30)]
    suffix = name.partition(".")[2]
    (tmp_path / "shards").mkdir()
    for shard, first in enumerate((0, 10, 20)):
        part, file = rows[first : first + 10], f"train-{shard:05}-of-00003.{suffix}"
        if suffix == "parquet":
            pyarrow.parquet.write_table(pa.Table.from_pylist(part), tmp_path / "shards" / file)
        else:
            written(tmp_path / "shards", file, lines(*part))
    pattern = f"shards/*.{suffix}"
    found = resolved_rows.located(Data(source=PathSource(path=pattern)), tmp_path)["rows"].read(None)
    kind = "parquet" if suffix == "parquet" else "json"
    for options in ({}, {"streaming": True}):
        read = library.load_dataset(kind, data_files=str(tmp_path / pattern), split="train", **options)
        assert [dict(row) for row in read] == [dict(row) for row in found.rows] == rows


@pytest.mark.parametrize("form", ["parquet", "saved"])
def test_numbers_of_classes_in_a_file_that_datasets_wrote_are_read_as_names(
    library: Any, tmp_path: Path, form: str
) -> None:
    names = library.ClassLabel(names=["ham", "spam"])
    kinds = library.Features({"text": library.Value("string"), "label": names, "tags": library.List(names)})
    columns = {"text": ["a", "b", "c"], "label": [1, 0, None], "tags": [[0, 1], [], [1]]}
    made = library.Dataset.from_dict(columns, features=kinds)
    if form == "parquet":
        file = tmp_path / "rows.parquet"
        made.to_parquet(str(file))
    else:
        made.save_to_disk(str(tmp_path / "saved"))
        (file,) = (tmp_path / "saved").glob("*.arrow")

    def named(number: int | None) -> str | None:
        return None if number is None else names.int2str(number)

    read = theirs(library, file)
    assert ours(file) == [{**row, "label": named(row["label"]), "tags": [*map(named, row["tags"])]} for row in read]


def test_images_have_the_same_bytes(library: Any, tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    pixels = [images.new("RGB", (6, 4), color) for color in ("red", "blue")]
    kinds = library.Features({"image": library.Image(), "text": library.Value("string")})
    made = library.Dataset.from_dict({"image": pixels, "text": ["a", "b"]}, features=kinds)
    file = tmp_path / "rows.parquet"
    made.to_parquet(str(file))
    read = library.load_dataset("parquet", data_files=str(file), split="train")
    table = read_rows(file, file.name, reading=Reading(images=("image",)))
    for mine, kept, decoded in zip(
        table.rows, read.cast_column("image", library.Image(decode=False)), read, strict=True
    ):
        content = base64.b64decode(mine["image"]["bytes"].partition(",")[2])
        assert content == kept["image"]["bytes"]
        assert images.open(io.BytesIO(content)).tobytes() == decoded["image"].tobytes()


TIMES = {
    "day": pa.array([datetime.date(2024, 1, 2)]),
    "time": pa.array([datetime.datetime(2024, 1, 2, 3, 4)]),  # noqa: DTZ001 - a time without a zone is what is stored
    "price": pa.array([decimal.Decimal("1.50")]),
}


@pytest.mark.parametrize(
    ("name", "content", "options", "they_read", "we_read"),
    [
        # Cells are text: `NA` may be Namibia, and `007` a code. pandas, with which `datasets` reads them, guesses.
        ("a.csv", "code,land\n007,NA\n", {}, [{"code": 7, "land": None}], [{"code": "007", "land": "NA"}]),
        # A list of rows under the key `data` is what is meant; `datasets` needs `field="data"` for it.
        ("a.json", '{"data": [{"t": "a"}, {"t": "b"}]}', {"field": "data"}, [{"t": "a"}, {"t": "b"}], None),
        # The suffix says what divides the cells.
        ("a.tsv", "t\tlabel\na\tx\n", {"sep": "\t"}, [{"t": "a", "label": "x"}], None),
        # An empty line is no text to learn.
        (
            "a.txt",
            "one\n\ntwo\n",
            {},
            [{"text": "one"}, {"text": ""}, {"text": "two"}],
            [{"text": "one"}, {"text": "two"}],
        ),
        # Times are written as they are: a row is text for a model.
        ("a.jsonl", '{"t": "2024-01-02"}\n', {}, [{"t": datetime.datetime(2024, 1, 2)}], [{"t": "2024-01-02"}]),  # noqa: DTZ001
    ],
)
def test_where_rows_of_text_files_differ(
    library: Any,
    tmp_path: Path,
    name: str,
    content: str,
    options: dict[str, Any],
    they_read: Sequence[dict[str, Any]],
    we_read: Sequence[dict[str, Any]] | None,
) -> None:
    file = written(tmp_path, name, content)
    assert theirs(library, file, **options) == they_read
    assert ours(file) == (they_read if we_read is None else we_read)


def test_times_and_decimals_of_columns_are_read_as_text(library: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pa.table(TIMES), file)
    (row,), (kept,) = ours(file), theirs(library, file)
    assert row == {"day": "2024-01-02", "time": "2024-01-02 03:04:00.000000", "price": "1.50"}
    assert datetime.datetime.fromisoformat(row["time"]) == kept["time"]
    assert (row["day"], row["price"]) == (str(kept["day"]), str(kept["price"]))
