"""Digests of single rows, kept in ftc's cache under the digest of them all, so that changed rows can be named later.

An index is 32 bytes a row. Emptying the cache costs the names and nothing else: the lock still tells that rows changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ftc.compiler.resolve.rows.row_digests import Digests, rows_digest
from ftc.spec.storage.atomic_write import write_file
from ftc.spec.storage.cache import named_content
from ftc.spec.storage.cached import ROWS

__all__ = ["RowChanges", "recall_rows", "remember_rows", "row_changes"]

_BYTES = 32


@dataclass(frozen=True, slots=True)
class RowChanges:
    """How rows came to be other rows.

    Attributes:
        added: Numbers, from 0, of rows of the new file that the old one lacks.
        removed: Numbers, from 0, of rows of the old file that the new one lacks.
        first_moved: Number, from 0, of the first row of the new file that both have and that comes in another order;
            None where the order is the same.
    """

    added: tuple[int, ...]
    removed: tuple[int, ...]
    first_moved: int | None = None

    @property
    def is_reordered(self) -> bool:
        """Whether the rows that both have come in another order."""
        return self.first_moved is not None

    def __str__(self) -> str:
        """The changes in a few words, rows counted from 1."""
        words = [f"{sign}{len(rows):,} rows" for sign, rows in (("+", self.added), ("-", self.removed)) if rows]
        if first := min((rows[0] for rows in (self.added, self.removed) if rows), default=None):
            words.append(f"the first is row {first + 1:,}")
        elif words:
            words.append("the first is row 1")
        if self.first_moved is not None:
            which = "the others" if words else "the same rows"
            words.append(f"{which} in another order, the first that moved is row {self.first_moved + 1:,}")
        return ", ".join(words) or "the same rows"


def remember_rows(folder: Path, digests: Digests) -> None:
    """Keeps an index in a folder; one that can't be written is not kept.

    Args:
        folder: ftc's cache.
        digests: sha256 of each row, in order.
    """
    file = _file(folder, rows_digest(digests))
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, digests.data)
    except OSError:
        return


def recall_rows(folder: Path, rows_sha256: str) -> list[bytes] | None:
    """The index of rows with a digest, or None where the cache doesn't have it, or has something else."""

    def digests(data: bytes) -> list[bytes]:
        return [data[at : at + _BYTES] for at in range(0, len(data), _BYTES)]

    data = named_content(_file(folder, rows_sha256), lambda data: rows_digest(digests(data)) == rows_sha256)
    return digests(data) if data is not None else None


def row_changes(old: Sequence[bytes], new: Sequence[bytes]) -> RowChanges:
    """What became of rows. Of equal rows the last ones count as added or removed."""
    added, removed = _surplus(new, old), _surplus(old, new)
    gone, come = set(removed), set(added)
    kept_old = [row for number, row in enumerate(old) if number not in gone]
    kept_new = [(number, row) for number, row in enumerate(new) if number not in come]
    moved = (number for (number, row), before in zip(kept_new, kept_old, strict=True) if row != before)
    return RowChanges(added, removed, next(moved, None))


def _surplus(rows: Sequence[bytes], others: Sequence[bytes]) -> tuple[int, ...]:
    """Numbers of the rows that `others` has fewer of."""
    left = Counter(others)
    found = []
    for number, row in enumerate(rows):
        left[row] -= 1
        if left[row] < 0:
            found.append(number)
    return tuple(found)


def _file(folder: Path, rows_sha256: str) -> Path:
    return ROWS.under(folder) / rows_sha256
