"""What a recipe may say of trackers: no password, and no folder outside the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe
from ftc.spec.trackers import asked_trackers

__all__ = ["trackers_get_no_password", "trackers_write_into_the_project"]

_PASSWORD = re.compile(r"://[^/\s@]*:[^/\s@]+@")


def trackers_get_no_password(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """No address has a password in it: a recipe is committed, and copied into each run's folder."""
    for card, keys in asked_trackers(recipe.track) if recipe.track else ():
        for name in type(keys).model_fields:
            path = f"track.{card.name}.{name}"
            if isinstance(value := getattr(keys, name), str) and _PASSWORD.search(value):
                yield diagnostic(
                    "FTC731",
                    f"`{path}` contains a password",
                    source.span(path),
                    label="a password is here",
                    help=f"remove it, and set {' or '.join(card.secrets[:2]) or 'a variable of the environment'}",
                    path=path,
                )


def trackers_write_into_the_project(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """TensorBoard's folder is inside the project, and is not that of the runs themselves."""
    board = recipe.track.tensorboard if recipe.track else None
    if board is None:
        return
    folder = PurePosixPath(board.folder.replace("\\", "/"))
    is_outside = folder.is_absolute() or bool(PureWindowsPath(board.folder).drive) or ".." in folder.parts
    if is_outside or folder.parts[:1] in ((), ("runs",), (".ftc",)):
        yield diagnostic(
            "FTC732",
            f"event files can't be written to `{board.folder}`",
            source.span("track.tensorboard.folder"),
            help="name a folder of their own inside the project, such as `tensorboard`",
            path="track.tensorboard.folder",
        )
