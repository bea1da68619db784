"""What a recipe may say about trackers: their folders are inside the project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.language.source import Source
from ftc.spec.sections.recipe import Recipe
from ftc.spec.trackers import TensorBoard

__all__ = ["trackers_write_into_the_project", "unusable_folder"]


def trackers_write_into_the_project(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """TensorBoard's folder is inside the project, and is not that of the runs themselves."""
    board = recipe.track.tensorboard if recipe.track else None
    if board is not None and (finding := unusable_folder(board, source.span("track.tensorboard.folder"))):
        yield finding


def unusable_folder(board: TensorBoard, span: Span | None = None) -> Diagnostic | None:
    """Why event files can't be written to a folder (FTC731); None where they can."""
    folder = PurePosixPath(board.folder.replace("\\", "/"))
    is_outside = folder.is_absolute() or bool(PureWindowsPath(board.folder).drive) or ".." in folder.parts
    if not is_outside and folder.parts[:1] not in ((), ("runs",), (".ftc",)):
        return None
    return diagnostic(
        "FTC731",
        f"event files can't be written to `{board.folder}`",
        span,
        help="name a folder of their own inside the project, such as `tensorboard`",
        path="track.tensorboard.folder" if span is not None else None,
    )
