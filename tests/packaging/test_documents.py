"""What README and docs tell people to type and to write is right: every recipe validates, every command parses."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftc.cli.main import parse
from ftc.cli.verbs import SECTIONS
from ftc.compiler.rules.check import check_recipe

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("tutorial.md", "guide.md", "ci.md", "exports.md")),
    *(page for name in ("concepts", "guides", "migration") for page in sorted((ROOT / "docs" / name).glob("*.md"))),
    *(ROOT / "recipes" / name / "README.md" for name in ("demo", "tasks")),
]
NOTES = [page for folder in (".", "docs", "docs/*", "recipes/*", "benchmarks") for page in ROOT.glob(f"{folder}/*.md")]
"""Every page that people read."""
SESSIONS = re.compile(r"nox -s((?: [a-z_0-9]+)+)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if found[1] == kind:
                yield page.relative_to(ROOT).as_posix(), found[2]


RECIPES = [(page, text) for page, text in blocks("yaml") if text.startswith("ftc: 1\n")]
COMMANDS = sorted(
    {
        (page, " ".join(shlex.split(line, comments=True)[1:]))
        for page, text in blocks("sh")
        for line in text.splitlines()
        if line.startswith("ftc ")
    }
)


@pytest.mark.parametrize(("page", "text"), RECIPES)
def test_a_recipe_that_is_shown_is_one(page: str, text: str) -> None:
    checked = check_recipe(text.encode(), page)
    assert checked.diagnostics == ()
    assert checked.recipe is not None


@pytest.mark.parametrize(("page", "words"), COMMANDS)
def test_a_command_that_is_shown_is_understood(page: str, words: str) -> None:
    words = re.split(r" [<>] ", words)[0]
    typed = [word for word in words.replace("[", "").replace("]", "").split() if word != "…"]
    if typed[0] == "help":
        with pytest.raises(SystemExit, match=r"^0$"):
            parse(typed)
    else:
        parse(typed)


def test_a_session_that_is_named_is_one() -> None:
    module = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [one for one in module.body if isinstance(one, ast.FunctionDef)]
    sessions = {one.name for one in functions if any("nox.session" in ast.unparse(by) for by in one.decorator_list)}
    texts = {page.name: page.read_text(encoding="utf-8") for page in (*NOTES, ROOT / ".ci" / "run")}
    named = {(page, name) for page, text in texts.items() for run in SESSIONS.findall(text) for name in run.split()}
    assert {page for page, _ in named} > {"README.md", "CONTRIBUTING.md", "run"}
    assert [one for one in sorted(named) if one[1] not in sessions] == []


def test_every_verb_is_shown() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    known = [one.name for section in SECTIONS.values() for one in section]
    assert [verb for verb in known if f"\nftc {verb}" not in readme] == []


def test_a_link_within_the_pages_leads_to_a_heading() -> None:
    """The site's build checks all links; this finds a wrong heading without it."""
    titles: dict[Path, set[str]] = {}
    for page in NOTES:
        found = re.findall(r"^#{1,6} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        titles[page.resolve()] = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}
    for page in NOTES:
        for target, heading in re.findall(r"\]\(([\w./-]*\.md)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            known = titles.get((page.parent / target).resolve())
            assert known is None or heading in known, f"{page.name}: {target}#{heading}"
