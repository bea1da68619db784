"""Who used a digest, and where a file of weights comes from: looked up in locks, plans and records, never guessed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.compiler.diff.values import leaves
from ftc.compiler.tokens.row_index import recall_rows
from ftc.spec.base import Document
from ftc.spec.storage.paths import RunFolder

__all__ = ["Use", "uses_of"]


class Use(Document):
    """One place in which a digest stands."""

    kind: str
    """`lock` or `run`."""
    file: str
    """The document, relative to the project's root."""
    name: str
    """Name of the lock's recipe, or of the run."""
    path: str
    """Where in the document, such as `data.sources.rows.file.sha256`."""
    status: str = ""
    """Of a run."""


def uses_of(root: Path, digest: str, cache: Path) -> tuple[Use, ...]:
    """Every lock and run of a project that holds a digest, or rows among which it is.

    Args:
        root: The project's root.
        digest: A sha256, or its first 8 digits or more.
        cache: ftc's cache, which knows the digests of single rows.
    """
    wanted = digest.lower()
    return tuple(use for one in _documents(root) for use in _uses_in(one, wanted, cache))


@dataclass(frozen=True, slots=True)
class _Document:
    kind: str
    file: str
    name: str
    plain: dict[str, Any]
    status: str = ""


def _documents(root: Path) -> Iterator[_Document]:
    runs = root / "runs"
    for file in sorted(root.rglob("*.lock.json")):
        if not file.is_relative_to(runs) and ".git" not in file.parts:
            yield from _read("lock", file, root, file.name.removesuffix(".lock.json"))
    for folder in sorted(runs.glob("*/*")):
        place = RunFolder(folder)
        status = "".join(one.plain.get("status", "") for one in _read("run", place.record, root, folder.name))
        for file in (place.plan, place.record):
            yield from _read("run", file, root, folder.name, status)


def _read(kind: str, file: Path, root: Path, name: str, status: str = "") -> Iterator[_Document]:
    try:
        plain = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return
    if isinstance(plain, dict):
        yield _Document(kind, file.relative_to(root).as_posix(), name, plain, status)


def _uses_in(document: _Document, wanted: str, cache: Path) -> Iterator[Use]:
    for path, value in leaves(document.plain):
        where = path
        if path.endswith("rows_sha256") and (row := _row(cache, str(value), wanted)) is not None:
            where = f"{path.removesuffix('.rows_sha256')}, row {row + 1:,}"
        elif not (isinstance(value, str) and len(value) == 64 and value.startswith(wanted)):
            continue
        yield Use(kind=document.kind, file=document.file, name=document.name, path=where, status=document.status)


def _row(cache: Path, rows_sha256: str, wanted: str) -> int | None:
    rows: Iterable[bytes] = recall_rows(cache, rows_sha256) or ()
    return next((number for number, row in enumerate(rows) if row.hex().startswith(wanted)), None)
