"""An import from file to file: the only part of the importers that looks at the disk.

A configuration may lead only into its own project, and into that of the working folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ftc.compiler.importers.translate import import_configuration
from ftc.compiler.importers.translation import Options, Surroundings
from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, safe_path
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.imported import Imported
from ftc.spec.language.source import shown_lines

__all__ = ["Given", "as_written", "import_file", "surroundings_of"]

_MOST_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says beside the configuration.

    Attributes:
        tool: Whose configuration it is; told by its keys where left out.
        task: What the rows are, `generation` or `chat`, where no key tells.
        data: The rows, in place of those that the configuration names.
        hub_file: Which file of its data set on the hub holds the rows.
        base: The base model, in place of the one that it names.
    """

    tool: str | None = None
    task: str | None = None
    data: Path | None = None
    hub_file: str | None = None
    base: str | None = None


def import_file(file: Path, shown_as: str, output: Path | None, given: Given) -> Imported:
    """Reads a configuration of Axolotl, LLaMA-Factory, torchtune, TRL or Oumi, and writes the recipe where told.

    Args:
        file: The configuration.
        shown_as: Its name in places.
        output: Where to write the recipe; a file that is there is never touched. Paths in the recipe are relative to
            its folder, or to the working folder.
        given: What the user adds.

    Raises:
        Refusal: The file is of no known tool (FTC391) or can't be read (FTC390), or the output exists (FTC651).
        OSError: A file can't be read or written.
    """
    content = file.read_bytes()
    recipe = output or Path("recipe.yaml")
    data = as_written(given.data, recipe) if given.data else None
    options = Options(task=given.task, data=data, hub_file=given.hub_file, base=given.base)
    around = surroundings_of(file, recipe)
    try:
        imported = import_configuration(content, shown_as, tool=given.tool, options=options, around=around)
    except Refusal as refusal:
        refusal.sources = {shown_as: shown_lines(content)}
        raise
    if output and imported.recipe:
        _write_new(output, imported.recipe)
    return imported


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8", newline="\n") as new:
            new.write(text)
    except FileExistsError:
        summary = f"`{file}` is there already"
        raise Refusal([diagnostic("FTC651", summary, help="choose another name; nothing was changed")]) from None


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
