"""The tutorial's notebook runs from top to bottom, on a tiny model, and has no outputs that could be out of date."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_the_notebook_has_no_outputs() -> None:
    assert CODE
    assert [cell["id"] for cell in CODE if cell["outputs"] or cell["execution_count"]] == []


def test_the_notebook_runs_and_each_cell_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from tests.support.projects import make_model

    make_model(tmp_path / "tiny", "encoder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTC_TUTORIAL_MODEL", "tiny")
    names: dict[str, Any] = {}
    for cell in CODE:
        *statements, last = ast.parse(cell["source"]).body
        exec(compile(ast.Module([*statements], []), cell["id"], "exec"), names)  # noqa: S102 - the notebook's own code
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names)  # noqa: S307 - as above
            assert getattr(shown, "_repr_html_", lambda shown=shown: repr(shown))()
        else:
            exec(compile(ast.Module([last], []), cell["id"], "exec"), names)  # noqa: S102 - the notebook's own code
    assert names["run"].evaluation is not None
    assert names["report"].verdict == "CONSISTENT"
