"""Faults that rows have in real files: each is told with its file and line, its column or key, and what to do.

They are those that a person meets who saves a table in another way than ftc reads it, and those of columns that the
recipe names. What every reader must bear is in `tests/compiler/resolve/rows/test_tables.py`, the project's own list of
bad inputs beside this file; `REPORTED` are the topics that users of other tools report, each with what answers it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ftc.spec.codes import CODES
from tests.diagnostics.test_diagnostics import ELSEWHERE, FIXTURES
from tests.support.bad_inputs import Case, World, check, files, recipe, row, rows

GOOD = [f"{word} number {number},{word}" for number in range(10) for word in ("cold", "warm")]
MANY = [row(f"{word} number {number}", word) for number in range(10) for word in ("cold", "warm")]
BAD_ROW = '{"text": 5, "label": "cold"}'
JSONL = recipe(data="{source: {path: rows.jsonl}}")
PARQUET = recipe(data="{source: {path: rows.parquet}}")


def csv(*more: str | bytes, head: str = "text,label", good: list[str] | None = None) -> World:
    return rows("rows.csv", head, *(GOOD if good is None else good), *more)


def jsonl(*more: str | bytes) -> World:
    return rows("rows.jsonl", *MANY, *more)


def parquet(**columns: Any) -> World:
    def write(folder: Path) -> None:
        texts, labels = zip(*(line.split(",") for line in GOOD), strict=True)
        table = pyarrow.table({"text": list(texts), "label": list(labels), **columns})
        with io.BytesIO() as stream:
            pyarrow.parquet.write_table(table, stream)
            (folder / "rows.parquet").write_bytes(stream.getvalue())

    return write


def data(more: str) -> str:
    return recipe(data=f"{{source: {{path: rows.csv}}, {more}}}")


def with_column(name: str, values: list[str]) -> World:
    lines = [f"{line},{value}" for line, value in zip(GOOD, values, strict=True)]
    return csv(head=f"text,label,{name}", good=lines)


BOTH = "{annotations: [ann, bob]}"
SPANS = json.dumps({"text": "ab", "spans": [{"start": 0, "end": 9, "label": "X"}]})
PAIR = json.dumps({"prompt": "p", "chosen": "a", "rejected": "a"})

CASES = [
    Case("divided by semicolons", recipe(), "", ("separated by semicolons",), 0,
         world=csv(head="text;label", good=[line.replace(",", ";") for line in GOOD])),
    Case("divided by tabs", recipe(), "", ("separated by tabs",), 0,
         world=csv(head="text\tlabel", good=[line.replace(",", "\t") for line in GOOD])),
    Case("divided otherwise than the recipe says", recipe(data="{source: {path: rows.csv, delimiter: tab}}"), "FTC362",
         ("rows.csv:1:1", "separated by commas", '"text,label"', "remove `delimiter`")),
    Case("blanks in the header", recipe(), "FTC362", ("{fields: {text: ' text'}}",), world=csv(head=" text, label")),
    Case("a row too short", recipe(), "FTC357", ("rows.csv:22:1", "a row with 1 field; the header has 2"),
         world=csv("only text")),
    Case("UTF-16", recipe(), "FTC354", ("rows.csv:1:1", "CSV UTF-8"),
         world=rows("rows.csv", "text,label".encode("utf-16"))),
    Case("a label that is nan", recipe(), "FTC368", ("in 1 of 21 rows", 'rows.csv:22: "nan"'), 0,
         world=csv("something,nan")),
    Case("a text that is None", recipe(), "FTC368", ('rows.csv:22: "None"',), 0, world=csv("None,cold")),
    Case("an empty label", recipe(), "FTC364", ("rows.csv:22:1", "column `label` is empty"), world=csv("something,")),
    Case("a class for each row", recipe(), "FTC371", ("20 strata", "one for training"),
         world=csv(good=[f"text {number},c{number}" for number in range(20)])),
    Case("a single row", recipe(), "FTC371", ("1 row; one is kept for training",), world=csv(good=GOOD[:1])),
    Case("one group", data("split: {group: g}"), "FTC371", ("rows with the same `g` stay together",),
         world=with_column("g", ["x"] * 20)),
    Case("one time", data("split: {time: day}"), "FTC380", ("the same time in all 20 rows", "remove `time`"),
         world=with_column("day", ["2024-05-31"] * 20)),
    Case("no times", data("split: {time: day}"), "FTC380", ("rows.csv:2 contains", "ISO 8601"),
         world=with_column("day", [f"{day}.5.2024" for day in range(1, 21)])),
    Case("annotators that are not there", data(f"quality: {BOTH}"), "FTC362",
         ("recipe.yaml:4:", "no column `ann` of an annotator", "no column `bob`", "2 errors")),
    Case("an annotator misspelled", data("quality: {annotations: [anna, bob]}"), "FTC362", ("did you mean `ann`?",),
         world=with_column("ann,bob", ["x,y"] * 20)),
    Case("one annotator", data("quality: {annotations: [label]}"), "FTC230", ("at least two annotators",), 0),
    Case("an annotator twice", data("quality: {annotations: [label, label]}"), "FTC219", ("`label` is listed twice",)),
    Case("annotators without labels", data(f"quality: {BOTH}"), "", ("2 annotators: no row with two labels",), 0,
         world=with_column("ann,bob", [","] * 20)),
    Case("an array called JSON lines", JSONL, "FTC356", ("rows.jsonl:1:1", "an array", "`.json`", "1 error"),
         world=rows("rows.jsonl", "[", *(f"{line}," for line in MANY), "{}]")),
    Case("personal data is not quoted", JSONL, "FTC356", ("found: [masked: e-mail addresses]",),
         world=jsonl('["jo@example.com"]')),
    Case("objects over several lines", JSONL, "FTC356", ("over several lines", "one object per line", "1 error"),
         world=rows("rows.jsonl", "{", '"text": "a"', "}")),
    Case("no label", JSONL, "FTC364", ("rows.jsonl:21:1", "column `label` has no value in 1 of 21"),
         world=jsonl('{"text": "a"}')),
    Case("a number for a text", JSONL, "FTC363", ("is a number, not text",),
         world=jsonl(BAD_ROW)),
    Case("an array on one line", recipe(data="{source: {path: rows.json}}"), "FTC363",
         ("is a number, not text", "rows.json#21, 22"),
         world=rows("rows.json", f"[{','.join([*MANY, BAD_ROW, BAD_ROW])}]")),
    Case("a Parquet that is cut", PARQUET, "FTC353", ("complete .parquet file",), world=rows("rows.parquet", "PAR1")),
    Case("a nested column", PARQUET, "FTC363", ("recipe.yaml:4:", "is an object, not text", "rows.parquet#1, 2, 3"),
         world=parquet(text=[{"a": line} for line in GOOD])),
    Case("a column of bytes", PARQUET, "FTC360", ("`text` has the type `binary`", "again with text in it", "1 error"),
         world=parquet(text=[line.encode() for line in GOOD])),
    Case("a column of bytes that nobody reads", PARQUET, "", ("to train",), 0,
         world=parquet(image=[b"\x89PNG"] * len(GOOD))),
    Case("groups in bytes", recipe(data="{source: {path: rows.parquet}, split: {group: image}}"), "FTC360",
         ("recipe.yaml:4:", "column `image` has the type `binary`"), world=parquet(image=[b"\x89PNG"] * len(GOOD))),
    Case("text and label exchanged", data("fields: {text: label, label: text}"), "FTC371",
         ("exchange the columns in `data.fields`", "`text` has 60 different labels in 60 rows, and the input 2 texts"),
         world=rows("rows.csv", "text,label", *(f"text {line},{'ab'[line % 2]}" for line in range(60)))),
    Case("a test file of other columns", data("split: {test: {path: other.csv}}"), "FTC362",
         ("other.csv has no column `text`",), world=files(csv(), rows("other.csv", "body,class", "new,cold"))),
    Case("CoNLL without a tag", recipe(task="{kind: token_classification}", data="{source: {path: rows.conll}}"),
         "FTC357", ("rows.conll:2:1", "a word without a tag"), world=rows("rows.conll", "a B-X", "b")),
    Case("a stretch outside", recipe(task="{kind: token_classification}", data="{source: {path: rows.jsonl}}"),
         "FTC377", ("rows.jsonl:1:1", "outside its text"), world=rows("rows.jsonl", SPANS)),
    Case("two answers that are one", recipe(task="{kind: preference}", data="{source: {path: rows.jsonl}}"),
         "FTC379", ("rows.jsonl:1:1", "both answers are the same"), world=rows("rows.jsonl", PAIR)),
]  # fmt: skip

REPORTED = {
    "labels masked": ("FTC330", "FTC339", "FTC343", "FTC646"),
    "padding, beginning and end": ("FTC336", "FTC337", "FTC334", "FTC340"),
    "vocabulary and embedding": ("FTC307", "FTC342"),
    "templates": ("FTC331", "FTC332", "FTC333", "FTC220"),
    "truncation": ("FTC335", "FTC338", "FTC343", "FTC344"),
    "empty and small data": ("FTC359", "FTC364", "FTC371", "FTC206"),
    "leakage": ("FTC370", "FTC373"),
    "encoding": ("FTC354", "FTC384"),
    "labels": ("FTC372", "FTC387", "FTC383", "FTC374"),
}
"""What other tools' users report of their rows, and the findings that answer it here."""


@pytest.mark.sample(4)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_a_fault_of_rows(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = Case(case.number, case.text, case.code, case.words, case.exit, "plan", case.world)
    check(case, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("topic", REPORTED)
def test_what_is_reported_elsewhere_has_a_finding_here(topic: str) -> None:
    for code in REPORTED[topic]:
        assert code in CODES
        assert code in ELSEWHERE or any(name.startswith(code) for name in FIXTURES)
