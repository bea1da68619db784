"""Exit codes have one home: no verb writes a number of its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ftc
from ftc.spec.exit_codes import ExitCode

_CODES = {value for name, value in vars(ExitCode).items() if name.isupper()}
_LIGHT = "import sys, ftc.cli.arguments; print('ftc.spec.diagnostics' in sys.modules, 'ftc.spec.codes' in sys.modules)"


def _answers(tree: ast.Module) -> Iterator[ast.expr]:
    """What functions that give a whole number return, what processes exit with, and the module's constants."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name, returns=ast.expr() as given) if ast.unparse(given) in ("int", "int | None"):
                returned = [one for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
                yield from (one.value for one in returned if one.value and not name.startswith("_count"))
            case ast.Call(func=ast.Name(id="SystemExit") | ast.Attribute(value=ast.Name(id="sys"), attr="exit")):
                yield from node.args
            case _:
                pass
    yield from (node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict))


def _numbers(answer: ast.expr) -> Iterator[int]:
    match answer:
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_numbers(body), *_numbers(orelse))
        case ast.BoolOp(values=values) | ast.Dict(values=values):
            yield from (number for value in values for number in _numbers(value))
        case ast.BinOp(left=left, right=right):
            yield from (*_numbers(left), *_numbers(right))
        case ast.Constant(value=int() as number) if number in _CODES and not isinstance(number, bool):
            yield number
        case _:
            return


@pytest.mark.parametrize("file", sorted((Path(ftc.__file__).parent / "cli").glob("*.py")), ids=lambda file: file.stem)
def test_no_verb_has_an_exit_code_of_its_own(file: Path) -> None:
    found = [(answer.lineno, n) for answer in _answers(ast.parse(file.read_text())) for n in _numbers(answer)]
    assert not found, file.name


def test_the_table_costs_no_import() -> None:
    done = subprocess.run([sys.executable, "-c", _LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
