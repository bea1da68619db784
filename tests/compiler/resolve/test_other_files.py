"""Files as other people write them: rows under `data`, SQuAD's own form, lines of text, classes by number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from ftc.compiler.resolve.rows.class_names import class_names
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Refusal

SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Rivers",
            "paragraphs": [
                {
                    "context": "The Elbe meets the sea at Cuxhaven.",
                    "qas": [
                        {"id": "a", "question": "Where?", "answers": [{"text": "Cuxhaven", "answer_start": 26}]},
                        {"id": "b", "question": "Why?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}


def write(folder: Path, name: str, content: Any) -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def test_rows_under_the_key_data(tmp_path: Path) -> None:
    table = read_rows(write(tmp_path, "a.json", {"version": 1, "data": [{"a": 1}, {"b": 2}]}), "a.json")
    assert (table.rows, table.columns) == ([{"a": 1}, {"b": 2}], ("a", "b"))


def test_articles_become_a_row_a_question(tmp_path: Path) -> None:
    first, second = read_rows(write(tmp_path, "train-v2.0.json", SQUAD), "train-v2.0.json").rows
    assert first == {
        "title": "Rivers",
        "context": "The Elbe meets the sea at Cuxhaven.",
        "id": "a",
        "question": "Where?",
        "answers": {"text": ["Cuxhaven"], "answer_start": [26]},
    }
    assert second["answers"] == {"text": [], "answer_start": []}


def test_a_text_file_gives_a_row_a_line(tmp_path: Path) -> None:
    table = read_rows(write(tmp_path, "a.txt", "\ufeffone line\r\n\n  another \n"), "a.txt")
    assert (table.rows, [*(table.lines or ())]) == ([{"text": "one line"}, {"text": "  another "}], [1, 3])


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\ncaf\xe9\n")
    with pytest.raises(Refusal) as caught:
        read_rows(tmp_path / "a.txt", "a.txt")
    (found,) = caught.value.diagnostics
    assert found.code == "FTC354"
    assert found.span is not None
    assert (found.span.line, found.span.column, "at offset 8" in found.summary) == (2, 4, True)


def features(**kinds: Any) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}


def test_classes_by_number_get_their_names(tmp_path: Path) -> None:
    sentiment = {"_type": "ClassLabel", "names": ["neg", "pos"]}
    tags = {"_type": "Sequence", "feature": {"_type": "ClassLabel", "names": ["O", "B-PER"]}}
    table = pa.table({"label": [1, 0, -1], "ner_tags": [[0, 1], [], [1]], "count": [7, 8, 9]})
    kept = table.replace_schema_metadata(features(label=sentiment, ner_tags=tags, count={"_type": "Value"}))
    parquet.write_table(kept, tmp_path / "a.parquet")
    rows = read_rows(tmp_path / "a.parquet", "a.parquet").rows
    assert rows[0] == {"label": "pos", "ner_tags": ["O", "B-PER"], "count": 7}
    assert rows[2]["label"] is None


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {b"huggingface": b"{"},
        {b"huggingface": b"[" * 100_000},
        {b"huggingface": b'{"info": 3}'},
        features(label={"_type": "ClassLabel", "names": [1]}),
        features(label={"_type": "ClassLabel"}),
        features(label=7),
    ],
)
def test_a_schema_that_tells_no_names(metadata: dict[bytes, bytes]) -> None:
    assert class_names(metadata) == {}
