"""What divides the values of a CSV file: found out where the recipe doesn't say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.table import Table
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.diagnostics import Refusal


def read(folder: Path, content: str, name: str = "a.csv", delimiter: str | None = None) -> Table:
    (folder / name).write_text(content, encoding="utf-8", newline="")
    return read_rows(folder / name, name, None, Reading(delimiter))


@pytest.mark.parametrize(
    ("content", "name", "remark"),
    [
        ("text,label\na,x\n", "a.csv", ""),
        ("text;label\n1,5 degrees;x\n", "a.csv", "semicolons"),
        ("text\tlabel\na, b\tx\n", "a.csv", "tabs"),
        ("text|label\na|x\n", "a.csv", "vertical bars"),
        ("text,label\na\tb,x\n", "a.csv", ""),
        ("text;label, sure\na;x, yes\nb;y\n", "a.csv", "semicolons"),
        ('text;label\n"a;b\nc";x\n', "a.csv", "semicolons"),
        ("text,label\na,x\n", "a.tsv", "commas"),
        ("sep=;\ntext;label\na;x\n", "a.csv", "semicolons"),
    ],
)
def test_the_delimiter_is_found_out(tmp_path: Path, content: str, name: str, remark: str) -> None:
    table = read(tmp_path, content, name)
    assert "text" in table.columns
    assert len(table.columns) == 2
    assert table.remark == (f"values separated by {remark} (detected)" if remark else "")


def test_a_hint_of_excel_is_no_row_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    table = read(tmp_path, 'sep=;\r\ntext;label\r\na;x\r\n"b\nc";y\r\nd;z\r\n')
    assert [*(table.lines or ())] == [3, 4, 6]


def test_numbers_with_commas_are_read_where_the_recipe_says_so(tmp_path: Path) -> None:
    content = "text;score\na, b;3,5\n1,2,3;-1.234,50\n12,000 rows;7\nso;1.234\n"
    (tmp_path / "a.csv").write_text(content, encoding="utf-8", newline="")
    rows = [dict(row) for row in read_rows(tmp_path / "a.csv", "a.csv", None, Reading(has_commas=True)).rows]
    assert [row["score"] for row in rows] == ["3.5", "-1234.50", "7", "1234"]
    assert [row["text"] for row in rows] == ["a, b", "1,2,3", "12,000 rows", "so"]
    assert Reading.of({"path": "a.csv", "decimal": ","}).has_commas
    assert read(tmp_path, content).rows[0]["score"] == "3,5"


def test_one_column_stays_one_column(tmp_path: Path) -> None:
    assert read(tmp_path, "text\na; b\nc\n").columns == ("text",)


def test_faults_of_another_delimiter_have_their_lines(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        read(tmp_path, "text;label\na;x\nb\n")
    (found,) = refused.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.line, "contains a semicolon" in found.help[0]) == ("FTC357", 3, True)


def test_the_recipe_has_the_last_word(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b;c\n1,2;3\n", delimiter=";").rows == [{"a,b": "1,2", "c": "3"}]
    assert read(tmp_path, "a;b\n1;2\n", delimiter=",").columns == ("a;b",)
