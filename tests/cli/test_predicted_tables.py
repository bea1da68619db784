"""Predictions come back as the CSV file that the rows were in: its delimiter, and the mark by which a spreadsheet knows
UTF-8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.documents.predictions import RowPrediction
from ftc.verbs.predict import Predictions


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read as always, and a model would say `yes` of each."""

    def predict(_run: str, rows: Path, **_: Any) -> Predictions:
        table = read_rows(rows, rows.name, None)
        said = tuple(RowPrediction(row=number, prediction="yes") for number in range(len(table.rows)))
        return Predictions(table.columns, table.rows, said, (), table.dialect)

    monkeypatch.setattr(api, "predict", predict)


@pytest.mark.parametrize(
    ("source", "text", "to", "wanted"),
    [
        ("new.csv", "a;b\n1,5;x\n", ("-o", "out.csv"), "a;b;prediction\n1,5;x;yes\n"),
        ("new.csv", "\ufeffa;b\n1,5;é\n", ("-o", "out.csv"), "\ufeffa;b;prediction\n1,5;é;yes\n"),
        ("new.csv", "a;b\n1,5;x\n", (), "a;b;prediction\n1,5;x;yes\n"),
        ("new.csv", "a;b\n1,5;x\n", ("-o", "out.tsv"), "a\tb\tprediction\n1,5\tx\tyes\n"),
        ("new.csv", "a|b\n1|x\n", ("--format", "csv", "-o", "-"), "a|b|prediction\n1|x|yes\n"),
        ("new.csv", 'a,b\n"1,5",x\n', ("-o", "out.csv"), 'a,b,prediction\n"1,5",x,yes\n'),
        ("new.tsv", "a\tb\n1,5\tx\n", (), "a\tb\tprediction\n1,5\tx\tyes\n"),
        ("new.tsv", "a\tb\n1,5\tx\n", ("-o", "out.csv"), 'a,b,prediction\n"1,5",x,yes\n'),
        ("new.jsonl", '{"a": "1,5", "b": "x"}\n', ("-o", "out.csv"), 'a,b,prediction\n"1,5",x,yes\n'),
    ],
)
def test_the_delimiter_is_that_of_the_rows(
    source: str,
    text: str,
    to: tuple[str, ...],
    wanted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(source).write_text(text, encoding="utf-8")
    assert main(["predict", "tickets", "--data", source, *to]) == 0
    file = Path(to[1]) if to[:1] == ("-o",) else None
    assert (file.read_text(encoding="utf-8") if file else capsys.readouterr().out) == wanted
