"""What is made of rows in pieces, kept in the cache: of a changed file only the changed pieces are made again.

A piece is as many rows as stand between two whose own content says that a piece ends. So rows that are added, changed
or gone change the pieces that they are in, and no other; and a piece holds its rows by their place in it, whatever
their numbers are by now. Each piece is kept as soon as it is made: a plan that was interrupted goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from ftc.compiler.resolve.rows.in_processes import num_jobs, ranges, spread
from ftc.compiler.resolve.rows.row_store import written
from ftc.spec import canonical
from ftc.spec.storage.cache import Cache
from ftc.spec.storage.cached import PIECES
from ftc.spec.storage.paths import cache_folder

__all__ = ["FEWEST_ROWS", "LONGEST", "KeptPieces", "Piece", "pieces_of"]

FEWEST_ROWS = 10_000
"""Rows of a split whose pieces are kept: fewer are tokenized within some seconds."""
MOST_BYTES = 8 * 2**30
"""Of all pieces of a kind, and of those that one plan keeps: a plan uses both kinds, one after the other, and neither
may take the other's place.
"""
_SPARED = 2
"""Times what the streams take, as far as pieces tell, that stays free on the disk: a plan needs it more than pieces."""
_PACKING = 2
"""Raised when the same tokens are packed in another way."""
_SHORTEST, _MEAN, LONGEST = 256, 1024, 4096
"""Rows of a piece: fewest, in the mean beyond these, and most."""
Kind = Literal["texts", "tokens"]
"""What pieces hold."""


class Piece(NamedTuple):
    """Rows that follow one another, and the sha256 of their JSON."""

    rows: range
    sha256: str


def pieces_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[Piece]:
    """All rows in pieces, which end by their content."""
    some = ranges(len(rows))

    def ends(which: range) -> Iterator[bytes]:
        for one in (some[number] for number in which):
            found = (number for number, row in zip(one, written(rows, one), strict=True) if not zlib.crc32(row) % _MEAN)
            yield np.fromiter(found, np.int64).tobytes()

    pieces = [*_between(len(rows), (end for data in spread(len(some), ends) for end in np.frombuffer(data, np.int64)))]

    def digests(which: range) -> Iterator[bytes]:
        for one in (pieces[number] for number in which):
            state = hashlib.sha256()
            for row in written(rows, one):
                state.update(row)
            yield state.hexdigest().encode()

    for piece, digest in zip(pieces, spread(len(pieces), digests), strict=True):
        yield Piece(piece, digest.decode())


def _between(count: int, ends: Iterable[int]) -> Iterator[range]:
    """So many rows in pieces, which end with the rows that may be a piece's last, where neither is too short or long.

    Args:
        count: All rows.
        ends: Rows that may be a piece's last, ascending.
    """
    begin = 0
    for last in (*map(int, ends), count - 1):
        while last + 1 - begin >= LONGEST:
            yield range(begin, begin := begin + LONGEST)
        if last + 1 - begin >= (1 if last == count - 1 else _SHORTEST):
            yield range(begin, begin := last + 1)


class KeptPieces:
    """The pieces that were made in one way, such as tokens by the same tokenizer, template and form of text.

    Args:
        kind: Of what is made; each kind has room of its own.
        made_from: All that what is made depends on beside the rows, as JSON values.
    """

    def __init__(self, kind: Kind, made_from: Mapping[str, Any]) -> None:
        self._kind = kind
        self._made_from = canonical.digest({**made_from, "packing": _PACKING})
        self._cache = Cache(PIECES.under(cache_folder()) / f"{kind}-{self._made_from[:32]}")
        self._used: set[Path] = set()
        self._count, self._room = 0, 0

    def through(
        self,
        pieces: Sequence[Piece],
        encode: Callable[[range], bytes],
        *,
        keeps: Callable[[bytes], bool] = lambda _: True,
        begin: Callable[[], None] | None = None,
    ) -> Iterator[bytes]:
        """What each piece gives, in their order: what is kept, and the rest made in several processes.

        Args:
            pieces: The rows' pieces.
            encode: Makes it of some rows.
            keeps: Whether what was made may be kept.
            begin: What is done once before any are made, for all processes.
        """
        files = [self._cache.folder / _name(piece) for piece in pieces]
        self._used.update(files)
        missing = [number for number, file in enumerate(files) if not file.is_file()]
        room = MOST_BYTES - sum(map(_size, self._used))
        self._count, self._room = len(pieces), room // num_jobs()  # processes take turns, and get about as much each

        def made(which: range) -> Iterator[bytes]:
            yield from (self._made(pieces[missing[number]], encode, keeps) for number in which)

        if missing and begin is not None:
            begin()
        new, absent = spread(len(missing), made), set(missing)
        for number, piece in enumerate(pieces):
            if number in absent:
                yield next(new)
            else:
                found = self._recall(piece)
                yield self._made(piece, encode, keeps) if found is None else found

    def finish(self) -> None:
        """Trims the cache where any were wanted: else none were put there, either."""
        if self._used:
            self.trim()

    def trim(self) -> None:
        """Removes pieces that were not used for longest, while all of the kind take too much; those used here stay.

        Pieces of an earlier release, which have no kind, count as some of this one.
        """
        found, others = [], {*get_args(Kind)} - {self._kind}
        for folder in self._cache.folder.parent.glob("*/"):
            Cache(folder).sweep()
            for file in folder.glob("*.json") if folder.name.partition("-")[0] not in others else ():
                with suppress(OSError):
                    state = file.stat()
                    found.append((state.st_mtime_ns, state.st_size, file))
        too_much = sum(size for _, size, _ in found) - MOST_BYTES
        for _, size, file in sorted(found):
            if too_much <= 0:
                return
            if file not in self._used:
                with suppress(OSError):
                    file.unlink()
                    too_much -= size

    def _made(self, piece: Piece, encode: Callable[[range], bytes], keeps: Callable[[bytes], bool]) -> bytes:
        data = encode(piece.rows)
        text = b64encode(data).decode("ascii")  # to compress it takes as long as to make it
        if keeps(data) and self._has_room(len(text), len(data) * self._count):
            self._cache.keep(_name(piece), self._key(piece), text)
            self._room -= _size(self._cache.folder / _name(piece))
        return data

    def _has_room(self, size: int, streams: int) -> bool:
        """Whether a piece may be kept: the cache is there to save time, and never to end a plan.

        Args:
            size: Bytes of the piece.
            streams: What the plan writes, about.
        """
        try:
            self._cache.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._cache.folder).free
        except OSError:
            return False
        return size <= self._room and size + _SPARED * streams <= free

    def _recall(self, piece: Piece) -> bytes | None:
        kept = self._cache.recall(_name(piece), self._key(piece))
        with suppress(OSError):
            os.utime(self._cache.folder / _name(piece))
        return b64decode(kept) if isinstance(kept, str) else None

    def _key(self, piece: Piece) -> dict[str, str]:
        return {"kind": "made of rows", "made_from": self._made_from, "rows": piece.sha256}


def _name(piece: Piece) -> str:
    return f"{piece.sha256[:32]}.json"


def _size(file: Path) -> int:
    """Bytes of a file; 0 where it is not there."""
    try:
        return file.stat().st_size
    except OSError:
        return 0
