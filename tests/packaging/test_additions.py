"""One home per concept: what docs/architecture.md says an addition touches is counted, and so are helpers used once."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.test_layout import ROOT, sources

PAGE = ROOT / "docs" / "architecture.md"
MOST_USED_ONCE = 0.255
"""Share of functions that are private and used once: cuts that only obey a length make a reader jump."""

Row = tuple[str, frozenset[str]]


def additions() -> list[Row]:
    """The table's rows: the example, and the product files that name it."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- additions:start -->")[2].partition("<!-- additions:end")[0]
    rows = [line.strip("| ").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return [(re.findall(r"`([^`]+)`", row[2])[0], frozenset(re.findall(r"`([^`]+\.py)`", row[1]))) for row in rows]


@functools.cache
def parsed() -> dict[str, ast.Module]:
    """Every product file by its path."""
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in sources()}


@functools.cache
def words(path: str) -> frozenset[str]:
    """Texts and identifiers of a file; docstrings and comments explain and don't count."""
    tree = parsed()[path]
    with_docs = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, with_docs)]
    explained = {id(one.value) for body in bodies for one in body if isinstance(one, ast.Expr)}
    return frozenset(_words(tree, explained))


def _words(tree: ast.Module, explained: set[int]) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in explained:
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.ClassDef(name=name):
                yield name
            case _:
                pass


def test_the_table_is_found() -> None:
    assert len(additions()) >= 6


@pytest.mark.slow
@pytest.mark.parametrize(("example", "files"), additions(), ids=[example for example, _ in additions()])
def test_an_addition_touches_what_the_page_says(example: str, files: frozenset[str]) -> None:
    assert {path for path in parsed() if example in words(path) or Path(path).stem == example} == files


@pytest.mark.slow
def test_few_helpers_are_used_once() -> None:
    functions = used_once = 0
    for tree in parsed().values():
        names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        uses = Counter(
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Name | ast.Attribute)
        )
        functions += len(names)
        used_once += sum(name.startswith("_") and not name.startswith("__") and uses[name] == 1 for name in set(names))
    assert used_once <= MOST_USED_ONCE * functions
