"""Each promise of SECURITY.md names the test that holds it, and that test is there and runs in some session."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ftc.spec.storage.cached import CACHED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w./]+?)(?:::(\w+))?`")
SESSION = re.compile(r"`nox -s (\w+)")


def rows(page: str) -> list[tuple[str, str]]:
    """Promise and test of each row of the tables whose last column names tests."""
    found = []
    for table in re.findall(r"(?m)(?:^\|.*\n)+", page):
        cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        if cells[0][-1].strip(" |") == "test":
            found += [(": ".join(promise), test) for *promise, test in cells[2:]]
    return found


def missing(page: str) -> list[str]:
    """Names of tests and sessions on a page that aren't there."""
    found = [f"{file}::{test}" if test else file for file, test in NAMED.findall(page) if not _is_there(file, test)]
    sessions = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    return found + [name for name in SESSION.findall(page) if f"def {name}(session" not in sessions]


def _is_there(file: str, test: str) -> bool:
    path = ROOT / file
    if path.is_dir() or not path.is_file():
        return path.is_dir() and not test and any(path.glob("test_*.py"))
    body = ast.parse(path.read_text(encoding="utf-8")).body
    tests = {one.name for one in body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")}
    return test in tests if test else bool(tests)


def test_every_named_test_and_session_is_there() -> None:
    assert missing(PAGE) == []


@pytest.mark.parametrize(("promise", "test"), rows(PAGE))
def test_every_promise_names_a_test(promise: str, test: str) -> None:
    assert promise
    assert NAMED.search(test), f"no test holds: {promise}"


def test_the_table_of_caches_is_that_of_the_code() -> None:
    _, _, table = PAGE.partition("| cache | made from |")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n\n")[0].splitlines()[2:]]
    told = {names: (made_from, compared) for names, made_from, compared in cells}
    known = {" ".join(f"`{one}`" for one in kind.files): (kind.made_from, kind.compared) for kind in CACHED}
    assert {names: rest for names, rest in told.items() if names != "the hub's cache"} == known


def test_a_name_of_nothing_is_noticed() -> None:
    page = "`tests/e2e/test_skeptic.py::test_no_such` `tests/none.py` `tests/fuzz/` `nox -s nothing`"
    assert missing(page) == ["tests/e2e/test_skeptic.py::test_no_such", "tests/none.py", "nothing"]
    assert len(rows(PAGE)) >= 40
