"""What the verbs that take many files are given: files, folders, and `-` for standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["STDIN", "STDOUT", "recipes_in", "stdin_text"]

STDIN = "-"
"""Stands for standard input."""
STDOUT = "-"
"""Stands for standard output."""

SUFFIXES = (".yaml", ".yml")
LARGEST = 256 * 1024 + 1
"""Bytes that are read of a file or of standard input; one more than a recipe may have."""


def recipes_in(names: Sequence[str]) -> Iterator[str]:
    """The files that are meant: each name as it stands, and for a folder all recipes below it, in order.

    Of a folder's YAML those files are recipes that say `ftc:` at their top level. A file that another of them extends
    is left out, since it may be a part alone; what is wrong in it is told of the one that extends it.
    """
    for name in names:
        folder = Path(name)
        if name != STDIN and folder.is_dir():
            yield from map(str, _below(folder))
        else:
            yield name


def stdin_text() -> bytes:
    """What stands on standard input, as far as it could be a recipe."""
    return sys.stdin.buffer.read(LARGEST)


def _below(folder: Path) -> Iterator[Path]:
    extended: set[Path] = set()
    recipes = []
    for file in sorted(_yaml_files(folder)):
        keys = _top_level(file)
        if "ftc" in keys:
            recipes.append(file)
        if base := keys.get("extends"):
            extended.add((file.parent / base).resolve())
    return (file for file in recipes if file.resolve() not in extended)


def _yaml_files(folder: Path) -> Iterator[Path]:
    """YAML below a folder; hidden folders, and those of runs, are not entered."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "runs"]
        names = (name for name in files if name.endswith(SUFFIXES) and not name.startswith("."))
        yield from (Path(place) / name for name in names)


def _top_level(file: Path) -> dict[str, str]:
    """Keys that begin a line, with the rest of it; a look at the text, which need not be valid."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.removeprefix("\ufeff").splitlines())
    return {key: value.partition(" #")[0].strip().strip("'\"") for key, colon, value in lines if colon}
