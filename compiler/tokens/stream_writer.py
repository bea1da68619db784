"""Writes a split's token stream: one file while its tokens fit into a shard, else shards and a list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.images import Picture
from ftc.compiler.resolve.rows.in_processes import spread
from ftc.compiler.resolve.rows.spool import forget
from ftc.compiler.stages import advance
from ftc.compiler.tokens.token_rows import TokenRows, supervised_counts
from ftc.spec.documents.stream_images import sizes_file
from ftc.spec.documents.stream_shards import COLUMNS_OF_SHARDS, Shard, digest_of
from ftc.spec.documents.streams import Lists, SplitReport, lengths_file, stream_digest
from ftc.spec.storage.atomic_write import replacing

__all__ = ["SHARD_BYTES", "write_image_sizes", "write_images", "write_stream"]

SHARD_BYTES = 2**30
"""Most bytes of a shard's tokens. Another value gives streams of more than one shard other digests."""
_TOKEN_BYTES = 5  # an id and whether it is learned
_AT_ONCE = 1 << 14  # rows
_FEWEST_APART = 1 << 22
"""Tokens of a file from which processes for it are worth it."""


def write_stream(path: Path, tokens: TokenRows, place: Callable[[int], str] = lambda row: "") -> SplitReport:
    """Writes a split beside its final place and renames it, so that a reader never sees half of it.

    The same rows give the same bytes with the same release of pyarrow; the digest depends on the content alone.

    Args:
        path: The stream's file, or that of the list of its shards, which lie beside it.
        tokens: The split.
        place: A row's name by its number; names no row where left out.
    """
    parts = [*_parts(tokens.boundaries)]
    if len(parts) > 1:
        shards = _write_shards(path, tokens, parts, place)
        _write(path, _list(shards))
        digest = digest_of([one.sha256 for one in shards])
    else:
        write = _write_beside if len(tokens.ids) >= _FEWEST_APART else _write_rows
        digest = write(path, tokens, place)
        advance("writing", len(tokens.row))
    supervised = supervised_counts(tokens)
    with replacing(lengths_file(path)) as lengths:
        np.save(lengths, _row_lengths(tokens, supervised, parts), allow_pickle=False)
    return _report(tokens, supervised, digest)


def _write_shards(path: Path, tokens: TokenRows, parts: Sequence[range], place: Callable[[int], str]) -> list[Shard]:
    """Writes the shards of a stream, in several processes."""
    files = [path.with_name(f"{path.stem}.{number:05}.arrow") for number in range(len(parts))]

    def work(which: range) -> Iterator[bytes]:
        yield from (_write_rows(files[one], _between(tokens, parts[one]), place).encode() for one in which)

    shards = []
    digests = spread(len(parts), work, fewest=2)
    for file, part, digest in zip(files, parts, digests, strict=True):
        num_tokens = int(tokens.boundaries[part.stop] - tokens.boundaries[part.start])
        shards.append(Shard(file.name, len(part), num_tokens, digest.decode()))
        advance("writing", len(part))
    return shards


def _write_rows(path: Path, tokens: TokenRows, place: Callable[[int], str]) -> str:
    """Writes rows to one file, and gives their digest."""
    _write(path, _table(tokens, place))
    digest = _digest(tokens)
    _forget(tokens)
    return digest


def _write_beside(path: Path, tokens: TokenRows, place: Callable[[int], str]) -> str:
    """As `_write_rows`, with the digest made by another process meanwhile."""

    def work(which: range) -> Iterator[bytes]:
        for part in which:
            if part:
                _write(path, _table(tokens, place))
            yield b"" if part else _digest(tokens).encode()
            _forget(tokens)

    digest, _ = spread(2, work, fewest=2)
    return digest.decode()


def _forget(tokens: TokenRows) -> None:
    forget(tokens.ids, tokens.mask, tokens.boundaries, tokens.targets.values, tokens.offsets.values)


def write_image_sizes(stream: Path, images: Sequence[Sequence[str]] | None, pictures: Mapping[str, Picture]) -> None:
    """Writes how large the images of a split's rows are; nothing where they have none.

    Args:
        stream: The split's file.
        images: sha256 of each image of each row.
        pictures: Size of each image.
    """
    if images is None:
        return
    found = [(row, *pictures[name]) for row, names in enumerate(images) for name in names]
    with replacing(sizes_file(stream)) as file:
        np.save(file, np.array(found, dtype=np.int32).reshape(-1, 3).T, allow_pickle=False)


def write_images(path: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Writes the images of streams, each with its digest."""
    schema = pa.schema({"sha256": pa.large_string(), "content": pa.large_binary()})
    with replacing(path) as file, pa.ipc.new_file(file, schema) as writer:
        for digest, data in contents:  # a batch for each, so that no more than one is held
            writer.write_batch(
                pa.record_batch(
                    [pa.array([digest], pa.large_string()), pa.array([data], pa.large_binary())], schema=schema
                )
            )


def _parts(bounds: NDArray[np.int64]) -> Iterator[range]:
    """The rows of each shard: as many as fit, and at least one.

    From the first row on, so that rows that come behind the others leave all shards but the last as they are.
    """
    count, most, begin = len(bounds) - 1, SHARD_BYTES // _TOKEN_BYTES, 0
    while begin < count:
        fitting = int(np.searchsorted(bounds, bounds[begin] + most, side="right")) - 1
        yield range(begin, begin := max(begin + 1, fitting))


def _between(tokens: TokenRows, part: range) -> TokenRows:
    """Some rows that follow one another, over the same memory."""
    rows = slice(part.start, part.stop)

    def cut(lists: Lists) -> Lists:
        bounds = lists.boundaries[part.start : part.stop + 1]
        return Lists(lists.values[bounds[0] : bounds[-1]], bounds - bounds[0])

    ids = cut(Lists(tokens.ids, tokens.boundaries))
    return TokenRows(
        ids=ids.values,
        mask=tokens.mask[tokens.boundaries[part.start] : tokens.boundaries[part.stop]],
        boundaries=ids.boundaries,
        prompt_length=tokens.prompt_length[rows],
        label=tokens.label[rows],
        row=tokens.row[rows],
        targets=cut(tokens.targets),
        offsets=cut(tokens.offsets),
        texts=tokens.texts[rows],
        counts=tokens.counts,
        images=tokens.images[rows] if tokens.images else None,
    )


def _table(tokens: TokenRows, place: Callable[[int], str]) -> pa.Table:
    boundaries = pa.array(tokens.boundaries)
    return pa.table(
        {
            "ids": pa.LargeListArray.from_arrays(boundaries, pa.array(tokens.ids)),
            "mask": pa.LargeListArray.from_arrays(boundaries, pa.array(tokens.mask.view(np.uint8))),
            "prompt_length": pa.array(tokens.prompt_length),
            "label": pa.array(tokens.label),
            "row": pa.array(tokens.row),
            "place": _names(tokens.row, place),
            "targets": _arrow_lists(tokens.targets),
            "offsets": _arrow_lists(tokens.offsets),
            "texts": _texts(tokens.texts),
            **({"images": pa.array(tokens.images, pa.large_list(pa.large_string()))} if tokens.images else {}),
        }
    )


def _list(shards: list[Shard]) -> pa.Table:
    columns = [[one.file, one.rows, one.tokens, one.sha256] for one in shards]
    return pa.table(dict(zip(COLUMNS_OF_SHARDS, map(list, zip(*columns, strict=True)), strict=True)))


def _write(path: Path, table: pa.Table) -> None:
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _names(rows: NDArray[np.int64], place: Callable[[int], str]) -> pa.LargeStringArray:
    pieces, ends = list[bytes](), [np.zeros(1, np.int64)]
    for begin in range(0, len(rows), _AT_ONCE):
        names = [place(row).encode() for row in rows[begin : begin + _AT_ONCE].tolist()]
        ends.append(np.cumsum([*map(len, names)]) + ends[-1][-1])
        pieces.append(b"".join(names))
    offsets, data = pa.py_buffer(np.concatenate(ends)), pa.py_buffer(b"".join(pieces))
    return pa.LargeStringArray.from_buffers(len(rows), offsets, data)


def _texts(rows: Sequence[Sequence[str]]) -> pa.LargeListArray:
    """Lists of texts; of rows without any no object is asked, which would import pandas."""
    if any(rows):
        return pa.array(rows, pa.large_list(pa.large_string()))
    none = pa.LargeStringArray.from_buffers(0, pa.py_buffer(bytes(8)), pa.py_buffer(b""))
    return pa.LargeListArray.from_arrays(pa.array(np.zeros(len(rows) + 1, np.int64)), none)


def _row_lengths(tokens: TokenRows, supervised: NDArray[np.int64], parts: Sequence[range]) -> NDArray[np.int32]:
    """(5, rows), as `ftc.spec.documents.streams.RowLengths` has them; of several shards a sixth: each row's shard."""
    targets, places = tokens.targets.values, tokens.targets.boundaries
    firsts = np.zeros(len(places) - 1, dtype=np.int64)
    has_target = places[1:] > places[:-1]
    firsts[has_target] = targets[places[:-1][has_target]]
    found = np.empty((5 + (len(parts) > 1), len(firsts)), np.int32)
    found[0], found[1], found[2] = np.diff(tokens.boundaries), tokens.prompt_length, supervised
    found[3], found[4] = firsts, _shared(tokens)
    if len(parts) > 1:
        found[5] = np.repeat(np.arange(len(parts)), [*map(len, parts)])
    return found


def _shared(tokens: TokenRows) -> int:
    """Tokens with which all prompts begin, of each of which at least one is left."""
    starts = tokens.boundaries[:-1]
    most = max(0, int(tokens.prompt_length.min()) - 1) if len(starts) else 0
    first = tokens.ids[:most].copy()  # of the first row, which begins with them
    for begin in range(0, len(starts), _AT_ONCE):
        for place in range(most):
            if (tokens.ids[starts[begin : begin + _AT_ONCE] + place] != first[place]).any():
                most = place
                break
        forget(tokens.ids)
    return most


def _arrow_lists(lists: Lists) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(lists.boundaries), pa.array(lists.values))


def _digest(tokens: TokenRows) -> str:
    return stream_digest(
        (tokens.boundaries, tokens.ids, tokens.mask, tokens.prompt_length, tokens.label),
        (tokens.targets, tokens.offsets),
        tokens.texts,
        tokens.images,
    )


def _report(tokens: TokenRows, supervised: NDArray[np.int64], digest: str) -> SplitReport:
    """Counts what a split holds."""
    lengths = np.diff(tokens.boundaries)
    counts = tokens.counts
    return SplitReport(
        rows_read=counts.read,
        rows=len(lengths),
        tokens=len(tokens.ids),
        length_p50=_percentile(lengths, 50),
        length_p95=_percentile(lengths, 95),
        length_max=int(lengths.max()),
        supervised_tokens=int(supervised.sum()),
        supervised_max=int(supervised.max()),
        truncated_rows=counts.truncated,
        dropped_rows=counts.dropped,
        first_dropped=tuple(counts.first_dropped),
        unsupervised_turns=counts.unsupervised_turns,
        rows_without_stop_token=counts.stop_missing,
        rows_with_merged_boundary=counts.merged,
        stream_digest=digest,
    )


def _percentile(lengths: np.ndarray[tuple[int], np.dtype[np.int64]], percent: int) -> int:
    """The smallest length that so many percent of the rows don't exceed."""
    return int(np.percentile(lengths, percent, method="inverted_cdf"))
