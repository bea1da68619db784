"""The tutorial's notebook runs from top to bottom, on a tiny model, and has no outputs that could be out of date."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_the_notebook_has_no_outputs() -> None:
    assert CODE
    assert [cell["id"] for cell in CODE if cell["outputs"] or cell["execution_count"]] == []


SHOW = """
def show(value):
    assert getattr(value, "_repr_html_", lambda: repr(value))()
"""


@pytest.mark.slow
def test_the_notebook_runs_and_each_cell_can_be_shown(tmp_path: Path) -> None:
    """As a script in a process of its own, in which a cell's last value is shown as a notebook would."""
    pytest.importorskip("torch")
    from tests.support.projects import make_model

    make_model(tmp_path / "tiny", "encoder")
    lines = [SHOW]
    for cell in CODE:
        *statements, last = ast.parse(cell["source"]).body
        if isinstance(last, ast.Expr):
            last = ast.Expr(ast.Call(ast.Name("show"), [last.value], []))
        lines.append(ast.unparse(ast.Module([*statements, last], [])))
    lines.append('assert run.evaluation is not None and report.verdict == "CONSISTENT"')
    script = tmp_path / "tutorial.py"
    script.write_text("\n\n".join(lines), encoding="utf-8")
    env = {**os.environ, "FTC_TUTORIAL_MODEL": "tiny"}
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
