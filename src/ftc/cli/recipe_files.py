"""Recipes as a command line names them: files, folders, standard input, or nothing where there is only one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

__all__ = ["STDIN", "only_recipe", "recipes_in", "stdin_text"]

STDIN = "-"
"""Stands for standard input where a verb reads recipes."""
USUAL = "recipe.yaml"
"""Where `ftc init` writes."""
_MOST_NAMED = 5
_SUFFIXES = (".yaml", ".yml")


def recipes_in(names: Sequence[str]) -> Iterator[str]:
    """The files that are meant: each name as it stands, and for a folder all recipes below it, in order.

    Of a folder's YAML those files are recipes that say `ftc:` at their top level. A file that another of them extends
    is left out, since it may be only a part; its mistakes are reported for the one that extends it.
    """
    for name in names:
        folder = Path(name)
        if name != STDIN and folder.is_dir():
            yield from map(str, _recipes_below(folder))
        else:
            yield name


def only_recipe() -> str:
    """The recipe that is meant where none is named: `recipe.yaml`, or else the only one of the working folder.

    Raises:
        Refusal: There is none (FTC603), or there are several (FTC604).
    """
    from ftc.spec.diagnostics import Refusal, diagnostic

    if Path(USUAL).is_file():
        return USUAL
    found = [file.as_posix() for file in _recipes_among(file for file in Path().iterdir() if file.is_file())]
    if not found:
        help = "name a recipe, or write one with `ftc init --data ROWS`"
        raise Refusal([diagnostic("FTC603", "this folder has no recipe", help=help)])
    if len(found) > 1:
        named = ", ".join(f"`{name}`" for name in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED:,} more" if len(found) > _MOST_NAMED else ""
        summary = f"this folder has {len(found):,} recipes: {named}{more}"
        help = f"name one of them; one that is called `{USUAL}` is taken without a name"
        raise Refusal([diagnostic("FTC604", summary, help=help)])
    return found[0]


def stdin_text() -> bytes:
    """What is on standard input, as far as it could be a recipe."""
    from ftc.spec.language.source import LARGEST_FILE

    return sys.stdin.buffer.read(LARGEST_FILE + 1)


def _recipes_below(folder: Path) -> Iterator[Path]:
    """Recipes below a folder; hidden folders, and those of runs, are not entered."""
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "runs"]
        files += [Path(place, name) for name in names]
    return _recipes_among(files)


def _recipes_among(files: Iterable[Path]) -> Iterator[Path]:
    """Those files that are recipes, without those that others extend, in order."""
    extended: set[Path] = set()
    recipes: list[Path] = []
    for file in files:
        if not file.name.endswith(_SUFFIXES) or file.name[0] == "." or not file.is_file():
            continue
        keys = _top_level_keys(file)
        if "ftc" in keys:
            recipes.append(file)
        if base := keys.get("extends"):
            extended.add((file.parent / base).resolve())
    return (file for file in sorted(recipes) if file.resolve() not in extended)


def _top_level_keys(file: Path) -> dict[str, str]:
    """Keys that begin a line, with the rest of it; a look at the text, which need not be valid."""
    from ftc.spec.language.source import LARGEST_FILE

    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST_FILE).decode("utf-8", "replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.removeprefix("\ufeff").splitlines())
    return {key: value.partition(" #")[0].strip().strip("'\"") for key, colon, value in lines if colon}
