"""The tree holds together: the links that make one package of three top-level folders, and sizes that stay readable."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("spec", "compiler", "runtime")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def sources() -> list[Path]:
    """Every Python file of the package, each once, at its real place."""
    own = (path for path in (ROOT / "src").rglob("*.py") if path.resolve().is_relative_to(ROOT / "src"))
    return sorted({*own, *(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))})


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_a_relative_link_to_its_top_level_folder(layer: str) -> None:
    link = ROOT / "src" / "ftc" / layer
    assert link.is_symlink(), f"{link} is no link; on Windows clone with `git -c core.symlinks=true clone`"
    assert link.readlink() == Path("..", "..", layer)
    assert link.resolve() == (ROOT / layer).resolve()
    assert (ROOT / layer / "__init__.py").is_file()


def test_layers_are_known_by_their_full_name_alone() -> None:
    code = f"import ftc, ftc.spec.sections.recipe, sys; print(*sorted(set({LAYERS!r}) & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert child.stdout.split() == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src" / "ftc" / "py.typed").is_file()


def test_files_and_functions_fit_in_the_head() -> None:
    too_long = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > LONGEST_FILE:
            too_long.append(f"{path}: {lines} lines")
        too_long += [f"{path}: {name}, {lines} lines" for name, lines in _functions(text) if lines > LONGEST_FUNCTION]
    assert too_long == []


def test_what_runs_as_a_program_runs_last() -> None:
    """What stood behind it would not be there yet, and only a run as a program, never an import, would miss it."""
    early = []
    for path in sources():
        if "__main__" not in (text := path.read_text(encoding="utf-8")):
            continue
        body = ast.parse(text).body
        tests = [ast.unparse(node.test) if isinstance(node, ast.If) else "" for node in body]
        early += [path for test in tests[:-1] if "__main__" in test]
    assert early == []


def _functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1
