"""A project whose rows are kept in pieces of a few rows each."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from ftc.compiler.tokens import kept_pieces
from tests.diagnostics.worlds import write_plain_model

__all__ = ["project_of_small_pieces"]


def project_of_small_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, keeper: ModuleType) -> Path:
    """The project's folder, which is the working folder from then on.

    Args:
        folder: Where project and cache are written.
        monkeypatch: Undoes it.
        recipe: Its `recipe.yaml`.
        keeper: The module that keeps pieces, from one row on.
    """
    project = folder / "project"
    (project / ".ftc").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setenv("FTC_CACHE", str(folder / "cache"))
    write_plain_model(project / "model")
    (project / "recipe.yaml").write_text(recipe, encoding="utf-8")
    for name, size in (("_SHORTEST", 2), ("_MEAN", 4), ("LONGEST", 16)):
        monkeypatch.setattr(kept_pieces, name, size)
    monkeypatch.setattr(keeper, "FEWEST_ROWS", 1)
    return project
