"""What an importer may ask about the disk: only the project of the configuration, and that of the working folder."""

from __future__ import annotations

import os
from pathlib import Path

from ftc.compiler.importers.translation import Surroundings
from ftc.compiler.resolve.files.safe_paths import UnsafePath, project_root, safe_path

__all__ = ["as_written", "surroundings_of"]

_MOST_BYTES = 4 * 2**20


def surroundings_of(configuration: Path, recipe: Path) -> Surroundings:
    """The disk as seen from a configuration. Tools start in a project's folder, or beside the file; both are tried.

    Args:
        configuration: The file that is read.
        recipe: Where the recipe will lie; paths are written relative to its folder.
    """
    folders = tuple(dict.fromkeys((configuration.absolute().parent, Path.cwd())))

    def find(path: str) -> Path | None:
        return next((found for folder in folders if (found := _inside(folder, path))), None)

    def locate(path: str) -> str | None:
        found = find(path)
        is_in_project = found is not None and found.is_relative_to(project_root(recipe).resolve())
        return as_written(found, recipe) if found and is_in_project else None

    def read(path: str) -> bytes | None:
        found = find(path)
        try:
            return found.read_bytes() if found and found.is_file() and found.stat().st_size <= _MOST_BYTES else None
        except OSError:
            return None

    return Surroundings(locate, read)


def as_written(path: Path, recipe: Path) -> str:
    """A path as the recipe writes it: relative to its own folder, with `/`."""
    return Path(os.path.relpath(path.absolute(), recipe.absolute().parent)).as_posix()


def _inside(folder: Path, path: str) -> Path | None:
    """The file or folder at a stranger's path, if it is there and lies inside the project."""
    try:
        found = safe_path(project_root(folder / "recipe"), path, folder)
        return found if found.exists() else None
    except (UnsafePath, OSError):
        return None
