"""Which rows of a data file changed, as far as the cache and the disk can tell."""

from __future__ import annotations

from pathlib import Path

from ftc.compiler.diff.locks import RowsOf
from ftc.compiler.diff.sides import Thing
from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, safe_path
from ftc.compiler.resolve.rows.table import Row, shown
from ftc.compiler.tokens.row_index import recall_rows, row_changes
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.difference import ChangedRows
from ftc.spec.documents.lockfile import SourceLock

__all__ = ["rows_lookup"]

_MOST_EXAMPLES = 3


def rows_lookup(new: Thing, cache: Path, missed: list[str]) -> RowsOf:
    """A function that compares the rows of one use; what it can't compare goes into `missed`."""

    def look_up(use: str, was: SourceLock, now: SourceLock) -> ChangedRows | None:
        before, after = recall_rows(cache, was.rows_sha256), recall_rows(cache, now.rows_sha256)
        if before is None or after is None:
            missed.append(f"which rows of `{use}` changed: this machine never planned with {_which(before, after)}")
            return None
        found = row_changes(before, after)
        return ChangedRows(
            added=len(found.added),
            removed=len(found.removed),
            reordered=found.is_reordered,
            examples=_examples(found.added, now, new.folder) + _numbers(found.removed),
        )

    return look_up


def _which(before: object, after: object) -> str:
    return "either" if before is None and after is None else "the old ones" if before is None else "the new ones"


def _numbers(removed: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"- row {number + 1:,} of the old file" for number in removed[:_MOST_EXAMPLES])


def _examples(added: tuple[int, ...], source: SourceLock, folder: Path | None) -> tuple[str, ...]:
    """The first added rows with their text, where the file is the one that was locked."""
    first = added[:_MOST_EXAMPLES]
    rows = _rows_of(folder, source) if folder and first and "path" in source.asked else None
    return tuple(f"+ row {number + 1:,}" + (f"  {shown(rows[number])}" if rows else "") for number in first)


def _rows_of(folder: Path, source: SourceLock) -> list[Row] | None:
    from ftc.compiler.resolve.rows.tables import read_rows

    try:
        path = safe_path(project_root(folder / "recipe"), str(source.asked["path"]), folder)
        if not path.is_file() or file_digest(path) != source.file.sha256:
            return None
        return list(read_rows(path, path.name).rows)
    except (OSError, Refusal, UnsafePath):
        return None
