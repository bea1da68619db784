"""A stream of many tokens lies in several files, its shards; one list names them.

A stream that fits into one shard is one file, as `ftc.spec.documents.streams` describes it. A larger one has a list in
that file's place, an Arrow file too, of the columns `shard` (the file's name, beside the list), `rows`, `tokens` and
`sha256` (the shard's own digest). The stream's digest is one over the shards' digests, so that each shard can be
compared, fetched and made again by itself. No row is in two shards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftc.spec import canonical

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["COLUMNS_OF_SHARDS", "DamagedShard", "Pieces", "Shard", "digest_of", "listed", "read_shards"]

COLUMNS_OF_SHARDS = ("shard", "rows", "tokens", "sha256")
"""Columns of the list."""
_MOST_SHARDS = 100_000


class DamagedShard(ValueError):
    """A shard is missing or isn't the one that the list names; the text says which, and why."""


class Shard(NamedTuple):
    """A part of a stream.

    Attributes:
        file: Its name in the list's folder.
        rows: Rows in it.
        tokens: Tokens of these.
        sha256: `stream_digest` of what it holds.
    """

    file: str
    rows: int
    tokens: int
    sha256: str


def digest_of(digests: Sequence[str]) -> str:
    """Digest of a stream that lies in several shards, over theirs in their order."""
    return canonical.digest({"shards": [*digests]})


def read_shards(stream: Path) -> tuple[Shard, ...]:
    """The shards of a stream in their order; none where it is one file.

    Args:
        stream: The stream's file.

    Raises:
        OSError: There is no such file, or it is no Arrow file.
        ValueError: It is a list that no writer of streams makes.
    """
    import pyarrow as pa

    with pa.memory_map(str(stream)) as source:
        reader = pa.ipc.open_file(source)
        return listed(reader.read_all()) if tuple(reader.schema.names) == COLUMNS_OF_SHARDS else ()


def listed(table: Any) -> tuple[Shard, ...]:
    """What a list says.

    Raises:
        ValueError: No writer of streams makes such a list.
    """
    table.validate(full=True)
    columns = (table.column(name).to_pylist() for name in COLUMNS_OF_SHARDS)
    found = [*zip(*columns, strict=True)]
    if not 0 < len(found) <= _MOST_SHARDS or not all(_is_shard(*values) for values in found):
        raise ValueError("its list of shards is damaged")
    return tuple(Shard(*values) for values in found)


def _is_shard(name: Any, rows: Any, tokens: Any, sha256: Any) -> bool:
    """Whether the values are of their types, and the name is one of a file beside the list."""
    is_counted = all(isinstance(one, int) and one >= 0 for one in (rows, tokens))
    if not is_counted or not isinstance(name, str) or not isinstance(sha256, str):
        return False
    return Path(name).name == name and name.endswith(".arrow")


class Pieces:
    """The arrays of several shards as one, none of which is copied where a slice lies in a single one.

    It is read as an array is: by slices, and by an array of places, which gives a copy of these.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = arrays
        self._starts = [*accumulate(map(len, arrays), initial=0)]

    def __len__(self) -> int:
        return self._starts[-1]

    def copy(self) -> Pieces:
        """The same numbers in memory of their own, which a slice within a shard is a view of."""
        return Pieces([array.copy() for array in self._arrays])

    def __getitem__(self, part: slice | NDArray[np.int64]) -> NDArray[Any]:
        if not isinstance(part, slice):
            return self._at(part)
        begin, end, step = part.indices(len(self))
        if step != 1:
            raise ValueError("numbers of shards are read in their order")
        first = min(bisect_right(self._starts, begin), len(self._arrays)) - 1
        start = self._starts[first]
        if end <= self._starts[first + 1]:
            return self._arrays[first][begin - start : max(begin, end) - start]
        import numpy as np

        parts = (
            array[max(0, begin - start) : end - start]
            for start, array in zip(self._starts, self._arrays, strict=False)
            if start < end and start + len(array) > begin
        )
        return np.concatenate([*parts])

    def _at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The numbers at some places, from 0, in their order."""
        import numpy as np

        if len(places) and not (places.min() >= 0 and places.max() < len(self)):
            raise IndexError("no shard has such a place")
        found = np.empty(len(places), self._arrays[0].dtype)
        shards = np.searchsorted(self._starts[1:], places, side="right")
        for shard in np.unique(shards).tolist():
            is_here = shards == shard
            found[is_here] = self._arrays[shard][places[is_here] - self._starts[shard]]
        return found
