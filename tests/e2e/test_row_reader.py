"""Rows that an installed package reads: planned in a process of their own, locked, trained on, and what goes wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("setuptools")

from ftc.compiler.resolve.rows.package_rows import read_by_package
from ftc.spec.diagnostics import Diagnostic, Refusal
from tests.e2e.conftest import MakeProject
from tests.e2e.test_extension import _ftc, site, wheelhouse

__all__ = ["site", "wheelhouse"]

_READER = "courtesy-metrics:tickets"


@pytest.fixture
def read(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`read(text, body)` reads a file with a reader of this body in place of the example's."""
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    monkeypatch.setenv("A_SECRET", "hidden")
    file = tmp_path / "rows.log"

    def reading(text: str, body: str = "") -> Any:
        file.write_text(text, encoding="utf-8")
        if body:
            module = site / "courtesy_metrics" / "__init__.py"
            module.write_text(f"import os\n\ndef tickets(path):\n    {body}\n", encoding="utf-8")
        return read_by_package(file, "rows.log", _READER, None)

    return reading


def _refused(read: Callable[..., Any], *given: str) -> Diagnostic:
    with pytest.raises(Refusal) as refused:
        read(*given)
    (found,) = refused.value.diagnostics
    assert found.code == "FTC485"
    return found


def test_rows_have_their_lines(read: Callable[..., Any]) -> None:
    table = read("text: a\nlabel: x\n\n\ntext: b\nlabel: y\n")
    assert table.rows == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert table.where(1) == "rows.log:5"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("yield 3", "gives int, not a mapping"),
        ("yield {'a': 1}, 0", "gives 0 as the number of a line, which begin at 1"),
        ("yield {'a': 1}, True", "gives True as the number of a line"),
        ("yield 3, 4", "gives int, not a mapping"),
        ("yield {'a': float('nan')}", "row 1 with what is no value of JSON"),
        ("yield {'a': {1, 2}}", "raised TypeError"),
        ("yield {'a': 1}; os._exit(3)", "ended after 0 rows"),
        ("yield {'a': 'x' * 2**25}", "a row of more than 16 MiB"),
        ("return 3", "raised TypeError"),
        ("yield {'a': os.environ['A_SECRET']}", "raised KeyError"),
    ],
)
def test_what_is_no_row_is_refused(read: Callable[..., Any], body: str, words: str) -> None:
    assert words in _refused(read, "x", body).summary


def test_a_fault_has_its_line(read: Callable[..., Any]) -> None:
    found = _refused(read, "text: a\n\nnothing here\n")
    assert found.span is not None
    assert (found.span.file, found.span.line) == ("rows.log", 3)
    assert "a line without a colon, after 1 rows" in found.summary


@pytest.mark.slow
def test_rows_of_a_package_are_planned_trained_on_and_audited(project: MakeProject, site: Path, tmp_path: Path) -> None:
    root, mark = project("classification", "lora", steps=2), tmp_path / "imported"
    (name,) = (file.name for file in root.glob("rows.*"))
    code, said = _ftc(None, "plan", "recipe.yaml", "--set", f"data.source.reader={_READER}")
    assert code == 3, said
    assert "FTC480" in said, "nothing is read by a package that isn't there"
    code, said = _ftc(site, "plan", "recipe.yaml", "-o", "plain.plan.json")
    assert code == 0, said
    rows = _rows(root / name)
    (root / "rows.log").write_text(
        "\n".join("".join(f"{key}: {value}\n" for key, value in row.items()) for row in rows), encoding="utf-8"
    )
    recipe = root / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace(f"path: {name}", f"path: rows.log, reader: '{_READER}'"), encoding="utf-8")
    code, said = _ftc(site, "plan", "recipe.yaml", "-o", "job.plan.json")
    assert code == 0, said
    assert "row reader `tickets`; this plan has it read rows, in a process of its own" in said
    assert mark.exists()
    plain, plan = (json.loads(Path(f"{one}.plan.json").read_text()) for one in ("plain", "job"))
    (before,), (source,) = (one["lock"]["data"]["sources"].values() for one in (plain, plan))
    assert source["rows_sha256"] == before["rows_sha256"], "the same rows, whatever they were written in"
    assert source["asked"]["reader"] == _READER
    (platform,) = plan["lock"]["platforms"].values()
    assert "courtesy-metrics" in platform["packages"]

    mark.unlink()
    for until in (("--until", "1"), ()):
        code, said = _ftc(site, "apply", "job.plan.json", *until)
        assert code == 0, said
    (run,) = Path("runs").glob("*/*/")
    for verb in (("audit", run.name), ("diff", "plain.plan.json", "job.plan.json"), ("plan", "recipe.yaml")):
        code, said = _ftc(site, *verb)
        assert not mark.exists(), f"{verb}: rows are in the cache, and what compares reads none by a package"
    (root / "rows.log").write_text("text: a\nlabel: b\n", encoding="utf-8")
    code, said = _ftc(site, "audit", run.name)
    assert "rows.log" in said
    assert code != 0
    assert not mark.exists()

    (root / "rows.log").write_text("text a\n", encoding="utf-8")
    code, said = _ftc(site, "plan", "recipe.yaml")
    assert code == 3, said
    assert "FTC485" in said
    assert "rows.log:1" in said


def _rows(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    import csv

    with file.open(encoding="utf-8", newline="") as lines:
        return [*csv.DictReader(lines)]
