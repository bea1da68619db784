"""Data files of a recipe's section, found in a folder or on a served hub, and their rows."""

from __future__ import annotations

from pathlib import Path

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.rows.data import ResolvedData, resolve_data
from ftc.compiler.resolve.rows.data_files import DataFiles, locate_data
from ftc.compiler.resolve.rows.reading import SpanOf
from ftc.spec.diagnostics import Span
from ftc.spec.documents.lockfile import Lock
from ftc.spec.sections.data import Data
from ftc.spec.tasks import Task
from ftc.spec.tasks.classification import Classification

__all__ = ["located", "resolved"]

_TASK = Classification(kind="classification")


def _nowhere(path: str) -> Span | None:
    return None


def located(
    data: Data, folder: Path, *, endpoint: str | None = None, lock: Lock | None = None, span_of: SpanOf = _nowhere
) -> DataFiles:
    """The files by use; without an endpoint those of the hub by its cache alone."""
    return locate_data(
        data,
        folder=folder,
        root=folder,
        hub=Hub(offline=endpoint is None, cache_dir=folder / "hub", endpoint=endpoint),
        digests=DigestCache(folder / "digests"),
        span_of=span_of,
        lock=lock,
    )


def resolved(
    data: Data,
    folder: Path,
    task: Task = _TASK,
    *,
    endpoint: str | None = None,
    lock: Lock | None = None,
    span_of: SpanOf = _nowhere,
) -> ResolvedData:
    """The rows by part, as `located` finds their files."""
    files = located(data, folder, endpoint=endpoint, lock=lock, span_of=span_of)
    return resolve_data(data, task, files, span_of)
