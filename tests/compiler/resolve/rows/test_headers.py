"""A CSV file without a header: its first line is named as a row, and read as one where the recipe names the columns."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ftc.compiler.resolve.rows.data import ResolvedData
from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.table import Table
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.compiler.tokens.other_rows import read_other
from ftc.spec.diagnostics import Refusal, Severity, Span
from ftc.spec.sections.data import Data, PathSource
from tests.support.resolved_rows import resolved

FILMS = "".join(f"film {n} was seen,{('good', 'bad')[n % 2]}\n" for n in range(40))


def read(folder: Path, content: str, columns: tuple[str, ...] | None = None) -> Table:
    (folder / "a.csv").write_text(content, encoding="utf-8", newline="")
    return read_rows(folder / "a.csv", "a.csv", None, Reading(columns=columns))


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (FILMS, '"good" occurs again in 19 of the 39 rows below it'),
        ("3,a b\n4,c d\n3,e f\n3,g h\n", '"3" occurs again in 2 of the 3 rows below it'),
        ("cold day,1.5\nwarm day,2.5\nmild day,-3\n", '"1.5" is a number, as all values below it are'),
        ("7,cold day,x\n8,warm day,y\n,mild day,z\n", '"7" is a number, as all values below it are'),
        ("sep=;\ngood;1,5\nbad;2\ngood;3\ngood;4\n", '"good" occurs again in 2 of the 3 rows below it'),
    ],
)
def test_a_first_line_that_looks_like_a_row_is_named(tmp_path: Path, content: str, note: str) -> None:
    (found,) = read(tmp_path, content).warnings
    assert (found.code, found.notes) == ("FTC488", (note,))
    assert found.span is not None
    assert found.span.line == (2 if content.startswith("sep") else 1)
    width = len(content.splitlines()[-1].split(";" if ";" in content else ","))
    assert f"columns: [{', '.join(f'column_{n + 1}' for n in range(width))}]" in found.help[0]


@pytest.mark.parametrize(
    "content",
    [
        f"text,label\n{FILMS}",
        f"film,verdict\n{FILMS}",
        "text,label\ntext,a\ntext,b\ntext,c\n",  # the column's own name may be a text
        "0,1\na film,good\nanother,bad\nthird,good\n",  # a data frame without names
        "0,1,2\n5,6,7\n5,6,8\n7,8,9\n",
        "country,2019,2020,2021\nde,5,6,7\nfr,8,9,1\nit,2,3,4\n",
        "id,12\n5,6\n7,8\n9,10\n",
        "film,verdict\nfilm,verdict\na,good\nb,bad\n",  # the header once more, as in files that were joined
        "a,b\nc,d\n",
        "text of a film,2020\nanother,\nthird,\n",  # a column without a value
    ],
)
def test_a_header_is_none_of_these(tmp_path: Path, content: str) -> None:
    assert not read(tmp_path, content).warnings


def test_named_columns_make_the_first_line_a_row(tmp_path: Path) -> None:
    table = read(tmp_path, FILMS, ("text", "label"))
    assert (len(table.rows), table.columns, table.warnings) == (40, ("text", "label"), ())
    assert table.rows[0] == {"text": "film 0 was seen", "label": "good"}
    assert table.where(0) == "a.csv:1"
    named = read(tmp_path, f"text,label\n{FILMS}", ("text", "label"))
    assert (len(named.rows), named.where(0)) == (40, "a.csv:2"), "a file that has these very names has a header"
    named = read(tmp_path, f"Text,LABEL\n{FILMS}", ("text", "label"))
    assert (len(named.rows), named.columns) == (40, ("text", "label")), "in whatever case"
    with pytest.raises(Refusal) as refused:
        read(tmp_path, FILMS, ("text",))
    assert {one.code for one in refused.value.diagnostics} == {"FTC357"}


@pytest.mark.parametrize("content", ["1,1\n2,3\n", "a film,\nanother,good\n"])
def test_a_first_row_that_can_be_no_header_leads_to_the_key_that_names_columns(tmp_path: Path, content: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(tmp_path, content)
    (found,) = refused.value.diagnostics
    assert (found.code, "columns: [column_1, column_2]" in found.help[1]) == ("FTC358", True)
    assert len(read(tmp_path, content, ("text", "label")).rows) == 2


@pytest.mark.parametrize(
    ("content", "is_beyond_doubt"),
    [(FILMS, True), ("4,3\n5,7\n8,9\n", True), ("region,2020\nde,5\nfr,8\nit,2\n", False), ("a,b\nc,d\n", False)],
)
def test_a_single_number_may_be_a_name(tmp_path: Path, content: str, is_beyond_doubt: bool) -> None:
    assert read(tmp_path, content).lacks_header is is_beyond_doubt


def planned(folder: Path, source: PathSource) -> ResolvedData:
    return resolved(Data(source=source), folder)


def test_a_plan_says_so_and_keeps_the_names_in_the_lock(tmp_path: Path) -> None:
    _with_films(tmp_path)
    with pytest.raises(Refusal) as refused:
        planned(tmp_path, PathSource(path="a.csv"))
    assert {one.code for one in refused.value.diagnostics} == {"FTC362", "FTC488"}, "why no column is found"
    found = planned(tmp_path, PathSource(path="a.csv", columns=("text", "label")))
    assert found.sources["rows"].rows == 40
    assert found.sources["rows"].asked == {"path": "a.csv", "columns": ["text", "label"]}
    (tmp_path / "b.csv").write_text(f"text,label\n{FILMS}", encoding="utf-8")
    assert planned(tmp_path, PathSource(path="b.csv")).sources["rows"].asked == {"path": "b.csv"}


@pytest.mark.parametrize(
    ("content", "first", "remark"),
    [
        (
            "a new film,good\na new one,bad\nb,good\nc,good\n",
            {"text": "a new film", "label": "good"},
            'as a row: "good" occurs again in 2 of the 3 rows below it',
        ),
        (
            "1,1\n2,3\n",
            {"text": "1", "label": "1"},
            "as a row: cells that are empty or equal name no columns",
        ),
        ("text,label\na new film,good\n", {"text": "a new film", "label": "good"}, ""),
        ("Text,LABEL\na new film,good\n", {"text": "a new film", "label": "good"}, ""),
        ("Label,Text\ngood,a new film\n", {"text": "a new film", "label": "good"}, ""),
        ("text\na new film\n", {"text": "a new film"}, ""),
        ("nr,Text,source\n1,a new film,x\n", {"nr": "1", "text": "a new film", "source": "x"}, ""),
        (
            "Text,origin\na new film,x\n",
            {"text": "a new film", "origin": "x"},
            "as a header: it does not look like a row: no cell occurs again below it",
        ),
    ],
)
def test_rows_to_predict_for_may_lack_the_header_as_those_of_the_run_did(
    tmp_path: Path, content: str, first: dict[str, str], remark: str
) -> None:
    table = _other(tmp_path, content)
    assert table.rows[0] == first
    said = [f"{one.summary}: {one.notes[0]}" for one in table.warnings]
    assert [one.severity for one in table.warnings] == [Severity.NOTE] * bool(remark)
    assert remark in "".join(said)
    assert all(one.startswith("the first line of new.csv is read as a ") for one in said)


@pytest.mark.parametrize("content", ["Sentence,Class\na new film,good\na new one,bad\n", "a new film\na new one\n"])
def test_a_header_of_other_names_is_no_row_to_predict_for(tmp_path: Path, content: str) -> None:
    with pytest.raises(Refusal) as refused:
        _other(tmp_path, content)
    (found,) = refused.value.diagnostics
    assert (found.code, found.span) == ("FTC362", Span("new.csv", 1, 1, 1, 2))
    assert found.notes[0] == "the run's columns: `text`, `label`"
    assert "put the names above it" in found.help[0]


def _other(folder: Path, content: str) -> Table:
    """Rows of a new file, as the plan of a run reads it that has files without a header."""
    data = planned(_with_films(folder), PathSource(path="a.csv", columns=("text", "label")))
    model, text = SimpleNamespace(vision=None), SimpleNamespace(columns=data.columns.by_part)
    lock = SimpleNamespace(data=SimpleNamespace(sources=data.sources))
    plan: Any = SimpleNamespace(settings=SimpleNamespace(model=model, text=text), lock=lock, recipe=None)
    (folder / "new.csv").write_text(content, encoding="utf-8")
    return read_other(plan, folder / "new.csv", "new.csv")


@pytest.mark.parametrize("folder", ["data.v2", "parts", "parts/*"])
def test_the_files_of_a_folder_show_whether_columns_can_be_named(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder.removesuffix("/*")
    place.mkdir()
    (place / "1.csv").write_text(FILMS, encoding="utf-8")
    source = PathSource(path=folder, columns=("text", "label"))
    assert planned(tmp_path, source).sources["rows"].rows == 40
    with pytest.raises(Refusal) as unnamed:
        planned(tmp_path, PathSource(path=folder))
    assert "FTC488" in {one.code for one in unnamed.value.diagnostics}
    (place / "1.csv").unlink()
    (place / "1.jsonl").write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        planned(tmp_path, source)
    (found,) = refused.value.diagnostics
    assert (found.code, found.path) == ("FTC486", "data.source.columns")
    assert "on a `.jsonl` file" in found.summary


def _with_films(folder: Path) -> Path:
    (folder / "a.csv").write_text(FILMS, encoding="utf-8")
    return folder
