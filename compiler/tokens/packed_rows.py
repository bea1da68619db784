"""Tokens of some rows as bytes, with what happened to these rows, so that another process can make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.in_processes import frame, unframed
from ftc.compiler.tokens.token_rows import SHOWN_DROPS, LongRow, RowCounts, TokenRows
from ftc.spec.documents.streams import DroppedRow, Lists

__all__ = ["packed", "unpacked"]

_SUMS = ("dropped", "too_long", "unsupervised_turns", "stop_missing", "merged", "words_without_token", "answers_cut")
_KINDS = (np.int64, np.int32, np.int32, np.int64, np.int32, np.int64, np.int32, np.int64)


def packed(rows: TokenRows) -> bytes:
    """Rows, with the counts of these alone."""
    counts = rows.counts
    told = {
        **{name: getattr(counts, name) for name in _SUMS},
        "cut": counts.cut,
        "first_dropped": [one.model_dump() for one in counts.first_dropped],
        "first_too_long": counts.first_too_long,
        "longest_too_long": counts.longest_too_long,
    }
    lists = (rows.targets.values, rows.targets.boundaries, rows.offsets.values, rows.offsets.boundaries)
    arrays = (np.packbits(rows.mask), rows.boundaries, rows.prompt_length, rows.label, rows.row, *lists)
    texts = rows.texts if any(rows.texts) else None
    return frame([told, texts, rows.images, len(rows.ids)], [_narrow(rows.ids), *(one.tobytes() for one in arrays)])


def unpacked(data: bytes, counts: RowCounts, numbers: Sequence[int] | None = None) -> TokenRows:
    """The rows; what was counted of them is added to other counts.

    Args:
        data: What `packed` gave.
        counts: Counts of these rows and of others.
        numbers: The number of each of the rows that were packed, where these were counted from 0.
    """
    (told, texts, images, num_tokens), (narrow, bits, *parts) = unframed(data)
    _add(counts, told if numbers is None else _numbered(told, numbers, counts.place))
    ids = _widened(narrow, num_tokens)
    mask = np.unpackbits(np.frombuffer(bits, np.uint8), count=num_tokens).view(np.bool_)
    arrays: list[NDArray[Any]] = [np.frombuffer(part, kind) for part, kind in zip(parts, _KINDS, strict=True)]
    boundaries, prompt_length, label, row, targets, target_bounds, offsets, offset_bounds = arrays
    if numbers is not None:
        row = np.asarray(numbers, np.int64)[row]
    return TokenRows(
        ids=ids,
        mask=mask,
        boundaries=boundaries,
        prompt_length=prompt_length,
        label=label,
        row=row,
        targets=Lists(targets, target_bounds),
        offsets=Lists(offsets, offset_bounds),
        texts=[()] * len(row) if texts is None else [tuple(one) for one in texts],
        counts=counts,
        images=images,
    )


def _narrow(ids: NDArray[np.int32]) -> bytes:
    """Ids as two or three bytes each, which hold those of every usual vocabulary; else as four."""
    bytes_of_each = ids.astype("<i4", copy=False).view(np.uint8).reshape(-1, 4)
    largest = int(ids.max(initial=0)) if int(ids.min(initial=0)) >= 0 else 1 << 24
    size = next((size for size in (2, 3) if largest < 1 << 8 * size), 4)
    return bytes_of_each[:, :size].tobytes()


def _widened(data: bytes, count: int) -> NDArray[np.int32]:
    """The ids that `_narrow` was given."""
    found = np.zeros((count, 4), np.uint8)
    size = len(data) // max(1, count)
    found[:, :size] = np.frombuffer(data, np.uint8).reshape(count, size)
    return found.view("<i4").reshape(-1).astype(np.int32, copy=False)


def _numbered(told: dict[str, Any], numbers: Sequence[int], place: Callable[[int], str]) -> dict[str, Any]:
    dropped = [
        {**one, "row": numbers[one["row"]], "place": place(numbers[one["row"]])} for one in told["first_dropped"]
    ]
    too_long = [[numbers[row], *more] for row, *more in told["first_too_long"]]
    cut = [numbers[row] for row in told["cut"]]
    return {**told, "cut": cut, "first_dropped": dropped, "first_too_long": too_long}


def _add(counts: RowCounts, told: dict[str, Any]) -> None:
    for name in _SUMS:
        setattr(counts, name, getattr(counts, name) + told[name])
    counts.cut += told["cut"]
    dropped = [DroppedRow(**one) for one in told["first_dropped"]]
    counts.first_dropped = [*counts.first_dropped, *dropped][:SHOWN_DROPS]
    too_long = [LongRow(*one) for one in told["first_too_long"]]
    counts.first_too_long = [*counts.first_too_long, *too_long][:SHOWN_DROPS]
    counts.longest_too_long = max(counts.longest_too_long, told["longest_too_long"])
