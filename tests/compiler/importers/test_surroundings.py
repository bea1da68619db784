"""What an importer may see of the disk: the project, by relative paths, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.compiler.importers.translate import as_written, surroundings_of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    for folder in (".git", "jobs", "data"):
        (root / folder).mkdir(parents=True)
    (root / "data" / "rows.jsonl").write_text("{}")
    (tmp_path / "outside.jsonl").write_text("secret")
    monkeypatch.chdir(root)
    return root


def test_files_are_found_from_the_configuration_and_from_the_working_folder(project: Path) -> None:
    around = surroundings_of(project / "jobs" / "job.yaml", project / "recipes" / "recipe.yaml")
    assert around.locate("../data/rows.jsonl") == "../data/rows.jsonl"
    assert around.locate("data/rows.jsonl") == "../data/rows.jsonl"
    assert around.read("data/rows.jsonl") == b"{}"
    assert around.locate("data/absent.jsonl") is None
    assert around.read("data") is None


@pytest.mark.parametrize("path", ["../outside.jsonl", "../../outside.jsonl", "/etc/passwd", "~/x", "a\0b", ""])
def test_nothing_outside_the_project_is_looked_at(project: Path, path: str) -> None:
    around = surroundings_of(project / "jobs" / "job.yaml", project / "recipe.yaml")
    assert around.locate(path) is None
    assert around.read(path) is None


def test_a_link_out_of_the_project_is_not_followed(project: Path) -> None:
    (project / "data" / "link.jsonl").symlink_to(project.parent / "outside.jsonl")
    around = surroundings_of(project / "job.yaml", project / "recipe.yaml")
    assert around.read("data/link.jsonl") is None


def test_a_recipe_of_another_project_gets_no_path_into_this_one(project: Path, tmp_path: Path) -> None:
    around = surroundings_of(project / "job.yaml", tmp_path / "elsewhere" / "recipe.yaml")
    assert around.locate("data/rows.jsonl") is None


def test_paths_are_relative_to_the_recipe(project: Path) -> None:
    assert as_written(project / "data" / "rows.jsonl", Path("jobs/recipe.yaml")) == "../data/rows.jsonl"
