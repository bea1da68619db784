"""Each folder here is a test: a recipe that gives the finding of its name, and `expected.txt`, what a user then sees.

Folders are named by the code, with a word behind it where a code has several. Codes of the text, the schema and the
rules come from `validate`, which looks at the recipe alone; all others come from `plan`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.codes import CODES
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity
from ftc.views.diagnostics import render_text
from tests.diagnostics.worlds import prepare

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIXTURES = sorted(path.name for path in HERE.glob("FTC*"))

ELSEWHERE: dict[str, str] = {}
"""Codes that no recipe alone can give, with the test that shows each."""


def code_of(fixture: str) -> str:
    return fixture[:6]


def findings(fixture: str, recipe: Path) -> tuple[tuple[Diagnostic, ...], api.Sources, int]:
    """What is found, the lines that it points into, and the exit code."""
    code = code_of(fixture)
    if code < "FTC214":
        checked = api.validate(recipe)
        errors = [found for found in checked.diagnostics if found.is_error]
        return checked.diagnostics, checked.sources, Refusal(errors).exit_code if errors else 0
    try:
        planned = api.plan(recipe, locked=code == "FTC503", offline=True)
    except Refusal as refusal:
        return refusal.diagnostics, refusal.sources, refusal.exit_code
    return planned.diagnostics, planned.sources, 0


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixture in a project of its own, with its surroundings, as the working folder."""
    name = request.param
    copy = tmp_path / "project"
    shutil.copytree(HERE / name, copy)
    (copy / ".ftc").mkdir()
    (copy / "expected.txt").unlink(missing_ok=True)
    prepare(copy, name)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(copy)
    return copy


@pytest.mark.parametrize(("fixture", "folder"), [(name, name) for name in FIXTURES], ids=FIXTURES, indirect=["folder"])
def test_what_a_user_sees(fixture: str, folder: Path, request: pytest.FixtureRequest) -> None:
    before = sorted(folder.rglob("*"))
    found, sources, exit_code = findings(fixture, Path("recipe.yaml"))
    code = code_of(fixture)
    assert code in [finding.code for finding in found]
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    assert exit_code == (CODES[errors[0].code].exit_code if errors else 0)
    assert all(finding.help for finding in found), "every finding says how to mend it"
    if errors:
        assert sorted(folder.rglob("*")) == before, "a refusal writes nothing"
    text = render_text(found, sources, width=100)
    expected = HERE / fixture / "expected.txt"
    if request.config.getoption("--update-golden"):
        expected.write_text(text, encoding="utf-8", newline="\n")
    assert text == expected.read_text(encoding="utf-8")


def test_every_code_is_shown() -> None:
    shown = {code_of(name) for name in FIXTURES}
    assert shown <= set(CODES)
    assert not shown & set(ELSEWHERE), "one place is enough"
    assert sorted(set(CODES) - shown - set(ELSEWHERE)) == []


@pytest.mark.parametrize(("code", "test"), ELSEWHERE.items())
def test_codes_shown_elsewhere_have_a_real_test(code: str, test: str) -> None:
    file, _, function = test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(async )?def {function}\(", text, re.MULTILINE), f"{function} is not in {file}"
    assert code in text, f"{file} never names {code}"
