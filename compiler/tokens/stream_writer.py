"""Writes token streams. `ftc.spec.documents.streams` holds the format and reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.documents.streams import Lists, SplitReport, lengths_file, stream_digest
from ftc.spec.storage.atomic_write import replacing

__all__ = ["report", "write_stream"]


def write_stream(path: Path, tokens: TokenRows) -> SplitReport:
    """Writes a split beside its final place and renames it, so that a reader never sees half of it.

    The same rows give the same bytes with the same release of pyarrow; the digest depends on the content alone.
    """
    boundaries = pa.array(tokens.boundaries)
    table = pa.table(
        {
            "ids": pa.LargeListArray.from_arrays(boundaries, pa.array(tokens.ids)),
            "mask": pa.LargeListArray.from_arrays(boundaries, pa.array(tokens.mask.view(np.uint8))),
            "prompt_length": pa.array(tokens.prompt_length),
            "label": pa.array(tokens.label),
            "row": pa.array(tokens.row),
            "targets": _lists(tokens.targets),
            "offsets": _lists(tokens.offsets),
            "texts": pa.array(tokens.texts, pa.large_list(pa.large_string())),
        }
    )
    with replacing(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with replacing(lengths_file(path)) as file:
        np.save(file, _row_lengths(tokens), allow_pickle=False)
    return report(tokens)


def _row_lengths(tokens: TokenRows) -> NDArray[np.int32]:
    """(5, rows), as `ftc.spec.documents.streams.RowLengths` has them."""
    supervised = np.concatenate([[0], np.cumsum(tokens.mask)])
    targets, places = tokens.targets.values, tokens.targets.boundaries
    firsts = np.zeros(len(places) - 1, dtype=np.int64)
    has_target = places[1:] > places[:-1]
    firsts[has_target] = targets[places[:-1][has_target]]
    lengths, scored = np.diff(tokens.boundaries), np.diff(supervised[tokens.boundaries])
    shared = np.full(len(lengths), _shared(tokens))
    return np.stack((lengths, tokens.prompt_length, scored, firsts, shared)).astype(np.int32)


def _shared(tokens: TokenRows) -> int:
    """Tokens with which all prompts begin, of each of which at least one is left."""
    starts = tokens.boundaries[:-1]
    most = int(tokens.prompt_length.min()) - 1 if len(starts) else 0
    for place in range(most):
        column = tokens.ids[starts + place]
        if (column != column[0]).any():
            return place
    return max(0, most)


def _lists(lists: Lists) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(lists.boundaries), pa.array(lists.values))


def report(tokens: TokenRows) -> SplitReport:
    """Counts what a split holds."""
    lengths = np.diff(tokens.boundaries)
    supervised = np.concatenate([[0], np.cumsum(tokens.mask)])  # (tokens + 1,), supervised tokens before each
    counts = tokens.counts
    return SplitReport(
        rows_read=counts.read,
        rows=len(lengths),
        tokens=len(tokens.ids),
        length_p50=_percentile(lengths, 50),
        length_p95=_percentile(lengths, 95),
        length_max=int(lengths.max()),
        supervised_tokens=int(supervised[-1]),
        supervised_max=int(np.diff(supervised[tokens.boundaries]).max()),
        truncated_rows=counts.truncated,
        dropped_rows=counts.dropped,
        first_dropped=tuple(counts.first_dropped),
        unsupervised_turns=counts.unsupervised_turns,
        rows_without_stop_token=counts.stop_missing,
        rows_with_merged_boundary=counts.merged,
        stream_digest=stream_digest(
            (tokens.boundaries, tokens.ids, tokens.mask, tokens.prompt_length, tokens.label),
            (tokens.targets, tokens.offsets),
            tokens.texts,
        ),
    )


def _percentile(lengths: np.ndarray[tuple[int], np.dtype[np.int64]], percent: int) -> int:
    """The smallest length that so many percent of the rows don't exceed."""
    return int(np.percentile(lengths, percent, method="inverted_cdf"))
