"""A run of a file without a header: each verb that reads new rows says how it reads their first line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ftc import api
from tests.e2e.conftest import Ftc, MakeProject


@pytest.mark.slow
def test_new_rows_with_and_without_a_header(project: MakeProject, ftc: Ftc) -> None:
    root = project("classification", steps=2)
    lines = (root / "rows.csv").read_text(encoding="utf-8").splitlines()
    header = next(csv.reader(lines))
    (root / "rows.csv").write_text("\n".join(lines[1:]) + "\n", encoding="utf-8")
    recipe = (root / "recipe.yaml").read_text(encoding="utf-8")
    named = recipe.replace("path: rows.csv", f"path: rows.csv, columns: [{', '.join(header)}]")
    assert named != recipe
    (root / "recipe.yaml").write_text(named, encoding="utf-8")
    run = api.apply(Path("recipe.yaml")).record.id
    said = "the first line of rows.csv is read as a row"
    for verb in ("predict", "eval", "drift"):
        answer = ftc(verb, run, "--data", "rows.csv")
        assert said in answer.text, answer.text
    measured = ftc("eval", run, "--data", "rows.csv", "--format", "json")
    assert json.loads(measured.out)["evaluation"]["tuned"]["rows"] == len(lines) - 1
    Path("named.csv").write_text("\n".join([",".join(header).upper(), *lines[1:]]) + "\n", encoding="utf-8")
    answer = ftc("eval", run, "--data", "named.csv", "--format", "json")
    assert json.loads(answer.out)["evaluation"]["tuned"]["rows"] == len(lines) - 1
    assert "is read as" not in answer.err
    Path("other.csv").write_text("\n".join(["Sentence,Class", *lines[1:3]]) + "\n", encoding="utf-8")
    refused = ftc("predict", run, "--data", "other.csv")
    assert (refused.code, "FTC362" in refused.text) == (3, True), refused.text
