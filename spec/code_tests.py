"""Tests of code beside a prompt, as public data sets have them, read without running any of it.

Four ways of writing them are known: a list of statements such as `assert add(1, 2) == 3` (MBPP), Python code
(HumanEval's `check(candidate)`, functions `test_…`, classes of `unittest`, assert statements), pairs of what a program
reads and prints as `{"inputs": […], "outputs": […]}` (APPS, TACO), and the same as a list of `{"input": …, "output":
…}`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ftc.spec.storage.reading import parse_json

__all__ = ["CANDIDATE", "CONFINING", "CodeTests", "read_code_tests"]

CANDIDATE = "_candidate"
"""Name under which a test finds the last function that an answer defines, where it names none: HumanEval's."""
CONFINING = ("linux", ("x86_64", "aarch64"))
"""The system whose kernel confines code, and the machines whose calls `ftc.runtime.rewards.code_child` knows."""
_MOST = 1000
"""Tests of a row."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
"""Statements that run nothing of an answer."""


@dataclass(frozen=True, slots=True)
class CodeTests:
    """Tests of one row; either field is empty.

    Attributes:
        tests: Python code that raises where an answer fails; each is complete.
        cases: What a program reads, and what it has to print.
    """

    tests: tuple[str, ...] = ()
    cases: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.tests) + len(self.cases)


def read_code_tests(text: str) -> CodeTests:
    """The tests in a row's reference.

    Args:
        text: Code, or a JSON list or object.

    Raises:
        ValueError: It has no tests that are understood; says why, in words that complete "the tests …".
    """
    try:
        found = _of_json(text) if text.lstrip().startswith(("[", "{")) else CodeTests(tuple(_in_code(text)))
    except RecursionError:  # what is read without can still be too deep to be written again
        raise ValueError("are nested too deeply") from None
    if not len(found):
        raise ValueError("contain no assert statement, no test function and no case")
    if len(found) > _MOST:
        raise ValueError(f"are more than {_MOST:,}")
    return found


def _of_json(text: str) -> CodeTests:
    try:
        value = parse_json(text)
    except ValueError:
        raise ValueError("begin like JSON and are none") from None
    match value:
        case {"fn_name": str()}:
            raise ValueError("call a function by `fn_name`, which is not supported: write assert statements")
        case {"inputs": [*inputs], "outputs": [*outputs]} if len(inputs) == len(outputs):
            return CodeTests(cases=tuple((_lines(a), _lines(b)) for a, b in zip(inputs, outputs, strict=True)))
        case [*items] if items and all(isinstance(item, str) for item in items):
            found = [
                [*_in_code(item)] if all(isinstance(one, _DEFINITIONS) for one in _parsed(item)) else [item]
                for item in items
            ]
            if not all(found):
                raise ValueError("contain an item that tests nothing, so that every answer would pass it")
            return CodeTests(tuple(chain.from_iterable(found)))
        case [*items] if all(isinstance(item, dict) and {"input", "output"} <= item.keys() for item in items):
            return CodeTests(cases=tuple((_lines(item["input"]), _lines(item["output"])) for item in items))
        case _:
            raise ValueError("are neither a list of assert statements nor pairs of input and output")


def _lines(value: Any) -> str:
    """What a program reads or prints: text, or its lines."""
    text = "\n".join(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
    if not isinstance(text, str):
        raise ValueError("contain an input or output that is not text")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("contain half a character (a lone surrogate), which no program can read")
    return text


def _parsed(code: str) -> list[ast.stmt]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd escapes in texts, which harm no test
            return ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"are not valid Python: {getattr(error, 'msg', error)}") from None


def _in_code(text: str) -> Iterator[str]:
    """Each test with the statements before it that are none."""
    body = _parsed(text)
    functions = {one.name: one for one in body if isinstance(one, ast.FunctionDef)}
    called = {name for one in body if (name := _called(one)) is not None}
    before: list[str] = []
    for statement in body:
        source, calls = ast.unparse(statement), list[str]()
        match statement:
            case ast.FunctionDef(name=name, args=args):
                if name.startswith("test") and not args.args:
                    calls = [f"{name}()"]
                elif name == "check" and len(args.args) == 1 and name not in called:
                    calls = [f"check({CANDIDATE})"]
            case ast.ClassDef(name=name, bases=bases) if any("TestCase" in ast.unparse(base) for base in bases):
                methods = [one.name for one in statement.body if isinstance(one, ast.FunctionDef)]
                calls = [f"{name}({method!r}).debug()" for method in methods if method.startswith("test")]
            case ast.ClassDef() | ast.AsyncFunctionDef():
                pass
            case _ if _called(statement) in functions or any(
                isinstance(one, ast.Assert) for one in ast.walk(statement)
            ):
                yield "\n".join([*before, source])
                continue
        before.append(source)
        yield from ("\n".join([*before, call]) for call in calls)


def _called(statement: ast.stmt) -> str | None:
    """Name of the function that a statement calls and does nothing else; None for other statements."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name
        case _:
            return None
