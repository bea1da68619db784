"""How a recipe begins: its language as a schema, a starter from data, and what another tool's configuration becomes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.verbs.text import shown_path

if TYPE_CHECKING:
    from ftc.spec.documents.imported import Imported
    from ftc.spec.documents.started import Started

__all__ = ["import_recipe", "init", "schema"]


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the recipe."""
    from ftc.spec.language.json_schema import editor_schema

    return editor_schema()


def init(file: Path | str, *, task: str | None = None, data: Path | None = None, base: str | None = None) -> Started:
    """Writes a starter recipe with what can be read off the data, the task included where it isn't given.

    Returns:
        What was guessed, what else could be meant, and the first rows; `file` is the recipe.

    Raises:
        Refusal: The file exists, or the data can't be read.
    """
    from ftc.compiler.recipes.starter import write_starter

    return write_starter(Path(file), task=task, data=data, base=base)


def import_recipe(
    file: Path | str,
    *,
    output: Path | str | None = None,
    tool: str | None = None,
    task: str | None = None,
    data: Path | str | None = None,
    hub_file: str | None = None,
    base: str | None = None,
) -> Imported:
    """Turns another tool's configuration into a recipe, with the fate of each key; see `import_file` for the arguments.

    Raises:
        Refusal: The file is of no known tool or can't be read, or the output exists.
    """
    from ftc.compiler.importers.translate import Given, import_file

    path = Path(file)
    given = Given(tool, task, Path(data) if data else None, hub_file, base)
    return import_file(path, shown_path(path), Path(output) if output else None, given)
