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


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_fit_in_the_head(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert [name for name, lines in _functions(text) if lines > LONGEST_FUNCTION] == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_runs_as_a_program_runs_last(path: Path) -> None:
    """What stood behind it would not be there yet, and only a run as a program, never an import, would miss it."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    programs = [at for at, node in enumerate(body) if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
    assert all(at == len(body) - 1 for at in programs)


def _functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1
