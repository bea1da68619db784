"""`ftc tokens` on a small project: what is shown is what the stream holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.spec.documents.ledger import NotedEvaluation, read_ledger
from ftc.spec.documents.streams import open_stream
from ftc.spec.storage.paths import streams_folder
from tests.support.question_project import question_project


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return question_project(tmp_path, monkeypatch)


def test_three_rows_of_the_training_part(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", str(recipe), "--offline"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("train rows.jsonl:") == 3
    assert "⟦" in shown
    assert "16 rows in train" in shown
    assert not (recipe.parent / "recipe.lock.json").exists(), "looking changes nothing"


def test_a_row_as_json_is_the_stream(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = api.plan(recipe, offline=True)
    stream = open_stream(streams_folder(planned.plan.stream_key) / "test.arrow")
    number = int(stream.rows[1]) + 1
    assert main(["tokens", str(recipe), "--split", "test", "--row", str(number), "--json", "--offline"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["row"], row["place"]) == (number, f"rows.jsonl:{number}")
    assert main(["tokens", str(recipe), "--split", "test", "--row", row["place"], "--json", "--offline"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [row], "a row's name finds what its number finds"
    assert [token["id"] for token in row["tokens"]] == stream.ids(1).tolist()
    assert [token["supervised"] for token in row["tokens"]] == stream.mask(1).tolist()
    assert row["prompt_tokens"] == stream.prompt_length(1)


def test_a_row_that_is_elsewhere_is_pointed_at(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = api.tokens(recipe, split="test", offline=True)
    assert main(["tokens", str(recipe), "--row", str(found.rows[0].row), "--row", "99", "--offline"]) == 3
    error = capsys.readouterr().err
    assert "FTC389" in error
    assert "it is in test: add `--split test`" in error
    assert "train has no row 99" in error
    assert main(["tokens", str(recipe), "--split", "validation", "--offline"]) == 3
    assert "the plan has no validation rows" in capsys.readouterr().err


def test_a_look_at_test_rows_is_noted(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", str(recipe)]) == 0
    assert read_ledger(recipe.parent) == (), "train rows are for looking at"
    assert main(["tokens", str(recipe), "--split", "test"]) == 0
    (look,) = (one for one in read_ledger(recipe.parent) if isinstance(one, NotedEvaluation))
    test = api.plan(recipe).plan.data["test"]
    assert (look.run_id, look.rows, look.stream_sha256) == ("", 3, test.stream_digest)
    assert look.purpose.startswith("show rows ")
