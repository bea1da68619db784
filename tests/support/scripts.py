"""Scripts that lie beside recipes, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

__all__ = ["fetch_script"]

RECIPES = Path(__file__).parents[2] / "recipes"


def fetch_script(folder: str, name: str = "fetch") -> ModuleType:
    """`recipes/<folder>/<name>.py`, loaded for each who asks."""
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", RECIPES / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
