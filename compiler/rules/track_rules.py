"""What a recipe may say about trackers: their folders are inside the project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe

__all__ = ["trackers_write_into_the_project"]


def trackers_write_into_the_project(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """TensorBoard's folder is inside the project, and is not that of the runs themselves."""
    board = recipe.track.tensorboard if recipe.track else None
    if board is None:
        return
    folder = PurePosixPath(board.folder.replace("\\", "/"))
    is_outside = folder.is_absolute() or bool(PureWindowsPath(board.folder).drive) or ".." in folder.parts
    if is_outside or folder.parts[:1] in ((), ("runs",), (".ftc",)):
        yield diagnostic(
            "FTC731",
            f"event files can't be written to `{board.folder}`",
            source.span("track.tensorboard.folder"),
            help="name a folder of their own inside the project, such as `tensorboard`",
            path="track.tensorboard.folder",
        )
