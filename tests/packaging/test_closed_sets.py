"""A closed set is matched member by member: a new member is a type error, never a silent default."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.test_additions import parsed
from tests.packaging.test_layout import ROOT

LAYERS = ("compiler", "runtime", "src/ftc/views")
OPEN: dict[str, str] = {
    "compiler/importers/axolotl_rows.py": "another tool's words",
    "compiler/importers/torchtune.py": "another tool's words",
    "compiler/importers/translation.py": "nodes of another tool's YAML, by the step that leads into them",
    "compiler/resolve/files/hub_errors.py": "exceptions of huggingface_hub",
    "compiler/resolve/rows/conversation_checks.py": "values of a stranger's rows",
    "compiler/resolve/rows/row_checks.py": "values of a stranger's rows",
    "compiler/resolve/rows/canonical_rows.py": "values of a stranger's rows",
    "compiler/resolve/rows/arrow_values.py": "values of a stranger's rows",
    "compiler/resolve/rows/content_parts.py": "values of a stranger's rows",
    "compiler/resolve/rows/workbook_rows.py": "cells of a workbook",
    "compiler/tokens/opacity.py": "jinja's nodes; what isn't known is refused",
    "runtime/evaluation/judge.py": "a server's answer",
    "src/ftc/views/checks.py": "names of checks, of which older plans have others",
    "src/ftc/views/progress.py": "a listener picks the events that it shows",
}
"""Files that match on something that ftc doesn't define, with what that is."""
_VALUES = {"bool", "dict", "float", "int", "list", "set", "str", "tuple"}


def _matches(layer: str) -> Iterator[tuple[str, ast.Match]]:
    for path, tree in parsed().items():
        if path.startswith(f"{layer}/"):
            yield from ((path, node) for node in ast.walk(tree) if isinstance(node, ast.Match))


def _ends_in_default(match: ast.Match) -> bool:
    """Whether the last case takes everything that is left, without saying that nothing is."""
    last = match.cases[-1]
    takes_all = ast.unparse(last.pattern) == "_" and last.guard is None  # one with a name is typed by its use
    return takes_all and not any(word in ast.unparse(last.body[0]) for word in ("assert_never", "raise "))


def _is_of_members(match: ast.Match) -> bool:
    """Whether its cases are words or classes of ftc's own, rather than kinds of values such as numbers and lists."""
    patterns = [node for case in match.cases for node in ast.walk(case.pattern)]
    classes = {ast.unparse(node.cls) for node in patterns if isinstance(node, ast.MatchClass)}
    values = {ast.unparse(node.value) for node in patterns if isinstance(node, ast.MatchValue)}
    return bool(values - {"''"} or classes - _VALUES)


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_no_match_on_a_closed_set_has_a_silent_default(layer: str) -> None:
    found = [
        f"{path}:{match.lineno}"
        for path, match in _matches(layer)
        if path not in OPEN and _is_of_members(match) and _ends_in_default(match)
    ]
    assert found == []


def test_files_with_open_sets_exist() -> None:
    assert [path for path in OPEN if not Path(ROOT / path).is_file()] == []


@pytest.mark.parametrize(
    ("code", "is_default"),
    [
        ("match x:\n case 'a':\n  y = 1\n case _:\n  y = 2", True),
        ("match x:\n case Mine():\n  y = 1\n case _:\n  y = 2", True),
        ("match x:\n case 'a':\n  y = 1\n case _:\n  assert_never(x)", False),
        ("match x:\n case str():\n  y = 1\n case _:\n  y = 2", False),
    ],
)
def test_the_check_knows_a_default(code: str, is_default: bool) -> None:
    (match,) = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Match))
    assert (_is_of_members(match) and _ends_in_default(match)) is is_default
