"""`safe_path` lets nothing out of the project."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, safe_path

ESCAPES = [
    *("/etc/passwd", "//server/share", "~/x", "~root/x", "../x", "a/../../x", "../../../../etc/passwd", "a/b/../../.."),
    *("C:\\x", "C:/x", "c:x", "\\\\server\\share", "..\\x", "a\\b", "", "   ", "x" * 5000),
    *("a\0b", "a\nb", "a\x1b[0m", "a\u202eb", "a\u200bb", "\ud800"),
]


@pytest.mark.parametrize("user", ESCAPES)
def test_escapes_are_refused(tmp_path: Path, user: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UnsafePath) as caught:
        safe_path(root, user)
    found = caught.value.diagnostic(path="data.source.path")
    assert found.code == "FTC300"
    assert len(found.summary) < 200


@pytest.mark.parametrize("user", ["a.csv", "./a.csv", "x/../a.csv", "name with space", "über.csv", "$(id)", "%2e%2e/a"])
def test_plain_paths_pass(tmp_path: Path, user: str) -> None:
    assert safe_path(tmp_path, user).is_relative_to(tmp_path.resolve())


def test_upward_stays_inside_the_project(tmp_path: Path) -> None:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    assert safe_path(tmp_path, "../data/a.csv", recipes) == tmp_path.resolve() / "data/a.csv"
    with pytest.raises(UnsafePath):
        safe_path(tmp_path, "../../a.csv", recipes)


def test_links_are_judged_by_where_they_lead(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "inner").mkdir(parents=True)
    outside.mkdir()
    (root / "good").symlink_to(root / "inner")
    (root / "bad").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    assert safe_path(root, "good/a") == (root / "inner/a").resolve()
    for user in ("bad", "bad/a", "loop/a"):
        with pytest.raises(UnsafePath):
            safe_path(root, user)


def test_a_link_that_leads_out_names_its_target(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (root / "data/link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePath) as caught:
        safe_path(root, "link/a.csv", root / "data")
    assert caught.value.diagnostic().summary == (
        "the path `link/a.csv` is a link to a file outside the project, `../elsewhere/a.csv`"
    )
    assert "not a link" in caught.value.diagnostic().help[0]
    with pytest.raises(UnsafePath) as caught:
        safe_path(root, "../../a.csv", root / "data")
    assert caught.value.diagnostic().summary == "the path `../../a.csv` is outside the project"


@given(st.text(alphabet="ab./\\~: \0", max_size=20))
def test_a_path_that_passes_lies_under_the_root(user: str) -> None:
    root = Path(__file__).parent.resolve()
    with contextlib.suppress(UnsafePath):
        assert safe_path(root, user).is_relative_to(root)


@pytest.mark.parametrize("marker", [".git", ".ftc"])
def test_the_root_is_the_nearest_marked_folder(tmp_path: Path, marker: str) -> None:
    recipe = tmp_path / "a/b/recipe.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.touch()
    (tmp_path / "a" / marker).mkdir()
    assert project_root(recipe) == (tmp_path / "a").resolve()
