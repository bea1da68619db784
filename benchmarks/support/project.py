"""A project of its own for a benchmark: a model, rows and a recipe in a folder that is thrown away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["MODEL", "copy_project", "make_project"]

MODEL = Path(__file__).parent.parent.parent / "recipes" / "demo" / "models" / "smollm2-instruct"
"""SmolLM2-135M-Instruct, as `recipes/demo/fetch.py` leaves it."""


def make_project(folder: Path, recipe: str, rows: Iterable[dict[str, Any]], model: Path = MODEL) -> Path:
    """Fills a folder with `recipe.yaml`, `rows.jsonl` and `model/`, and gives the recipe's path.

    The model's files are linked where the file system can, since a benchmark doesn't change them.
    """
    (folder / ".ftc").mkdir(parents=True)
    shutil.copytree(model, folder / "model", copy_function=_linked)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return folder / "recipe.yaml"


def copy_project(folder: Path, recipe: Path) -> Path:
    """Copies a recipe with everything beside it, and gives the copy's path: planning it writes no lock elsewhere."""
    shutil.copytree(recipe.parent, folder, copy_function=_linked, ignore=shutil.ignore_patterns(".*"))
    (folder / ".ftc").mkdir()
    return folder / recipe.name


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
