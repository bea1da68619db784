"""Folders that ftc fills and git leaves alone: weights, checkpoints, and predictions with what people wrote."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_ignored"]

_TEXT = "# Written once by ftc: what runs leave is large and may hold personal data; delete me to commit it.\n*\n"


def make_ignored(folder: Path) -> None:
    """Makes a folder of the project with a `.gitignore` in it; one that is there already stays as it is.

    Where it can't be made, whatever writes to it next says why.
    """
    try:
        folder.mkdir(parents=True)
        with (folder / ".gitignore").open("x", encoding="utf-8", newline="\n") as file:
            file.write(_TEXT)
    except OSError:
        return
