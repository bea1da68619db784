"""JSON lines in several processes, as long as every line is what most lines are: one object and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from ftc.compiler.resolve.rows.in_processes import frame, num_jobs, spread, unframed
from ftc.compiler.resolve.rows.row_store import Row, RowWriter, StoredRows
from ftc.compiler.resolve.rows.table import LARGEST_ROW
from ftc.compiler.resolve.rows.text_rows import BOM
from ftc.compiler.stages import advance

__all__ = ["plain_lines"]

_PIECE_BYTES = 4 << 20
_FEWEST_PIECES = 4


def plain_lines(path: Path, parse: Callable[[str], Row]) -> tuple[StoredRows, tuple[str, ...]] | None:
    """All rows of a file, one for each of its lines, and their columns in the order in which they appear.

    Args:
        path: The file.
        parse: A line as an object.

    Returns:
        None where a single process reads as fast, or a line is empty or at fault: whoever reads line by line says how.

    Raises:
        OSError: The file can't be read.
    """
    borders = _borders(path) if num_jobs() > 1 and path.stat().st_size >= _FEWEST_PIECES * _PIECE_BYTES else []
    pieces, writer, columns = [*pairwise(borders)], RowWriter(), dict[str, None]()

    def work(which: range) -> Iterator[bytes]:
        with path.open("rb") as file:
            for begin, end in (pieces[number] for number in which):
                file.seek(begin)
                yield _checked(file.read(end - begin), parse)

    with closing(spread(len(pieces), work)) as results:
        for result in results:
            if not result:
                advance("reading", -len(writer))  # they are read again
                return None
            (names, lengths), (data,) = unframed(result)
            writer.add_parts(lengths, data)
            columns.update(dict.fromkeys(names))
            advance("reading", len(lengths))
    return (writer.rows(), tuple(columns)) if pieces else None


def _borders(path: Path) -> list[int]:
    """Where pieces of whole lines begin, and the end of the file; none where the lines are no plain ones."""
    found, size = [0], path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(BOM)) == BOM:
            return []
        for place in range(_PIECE_BYTES, size, _PIECE_BYTES):
            file.seek(place)
            if len(file.readline(LARGEST_ROW + 1)) > LARGEST_ROW:
                return []
            if file.tell() > found[-1]:
                found.append(file.tell())
    return found if found[-1] == size else [*found, size]


def _checked(data: bytes, parse: Callable[[str], Row]) -> bytes:
    """Columns and rows of a piece; nothing where a line is empty or at fault."""
    columns: dict[str, None] = {}
    rows: list[bytes] = []
    for raw in data.removesuffix(b"\n").split(b"\n"):
        try:
            text = raw.decode()
            begin = text.strip()
            if not begin.startswith("{") or len(raw) >= LARGEST_ROW:
                return b""
            row = parse(text)
        except (ValueError, RecursionError):
            return b""
        rows.append((raw if len(begin) == len(text) else begin.encode()) + b",")
        if not row.keys() <= columns.keys():
            columns.update(dict.fromkeys(row))
    return frame([[*columns], [*map(len, rows)]], [b"".join(rows)])
