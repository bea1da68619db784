"""Rows as tokens: what becomes of each row of a split, and all of them as flat arrays."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.resolve.rows.spool import Spool, forget
from ftc.spec.documents.streams import DroppedRow, Lists

__all__ = [
    "NO_LABEL",
    "SHOWN_DROPS",
    "Limit",
    "LongRow",
    "RowCounts",
    "RowTokens",
    "TokenRows",
    "flatten",
    "joined",
    "supervised_counts",
    "taken",
]

SHOWN_DROPS = 5
"""Rows that are named of those that were left out."""
_AT_ONCE = 1 << 14  # rows
NO_LABEL = -1
"""Label of a row that has no single class."""


class Limit(NamedTuple):
    """The longest row in tokens, and whether longer ones are cut to it or left out."""

    max_length: int
    cuts: bool

    def reason(self, num_tokens: int, what: str = "") -> str:
        """Why a row of so many tokens is left out."""
        return f"{num_tokens:,} tokens{what}, over {self.max_length:,}"


class LongRow(NamedTuple):
    """A row that was left out for its length."""

    row: int
    num_tokens: int


@dataclass(slots=True)
class RowCounts:
    """What happened to the rows on their way; `place` gives a row's name by its number."""

    read: int = 0
    place: Callable[[int], str] = "row {}".format
    cut: list[int] = field(default_factory=list)
    """Numbers of the rows that were cut to the length."""
    dropped: int = 0
    first_dropped: list[DroppedRow] = field(default_factory=list)
    too_long: int = 0
    """Those of the dropped rows that don't fit into the length."""
    first_too_long: list[LongRow] = field(default_factory=list)
    longest_too_long: int = 0
    """Tokens of the longest of these."""
    unsupervised_turns: int = 0
    """Turns of the assistant whose generation prompt is no prefix of the text."""
    stop_missing: int = 0
    """Rows in which the template writes no special token after an answer."""
    merged: int = 0
    """Rows in which one token holds the prompt's end and the answer's begin; it is supervised."""
    words_without_token: int = 0
    """Words that have no token of their own, so that their tags are neither learned nor measured."""
    answers_cut: int = 0
    """Answers whose begin or end falls inside of a token, or that no window holds whole."""

    @property
    def truncated(self) -> int:
        """How many rows were cut to the length."""
        return len(self.cut)

    def drop(self, row: int, reason: str) -> None:
        """Counts a row that gives no tokens."""
        self.dropped += 1
        if len(self.first_dropped) < SHOWN_DROPS:
            self.first_dropped.append(DroppedRow(row=row, place=self.place(row), reason=reason))

    def drop_long(self, row: int, num_tokens: int, reason: str) -> None:
        """Counts a row that gives no tokens, since it doesn't fit."""
        self.drop(row, reason)
        self.too_long += 1
        self.longest_too_long = max(self.longest_too_long, num_tokens)
        if len(self.first_too_long) < SHOWN_DROPS:
            self.first_too_long.append(LongRow(row, num_tokens))


@dataclass(frozen=True, slots=True)
class TokenRows:
    """A split as tokens; row i is `ids[boundaries[i]:boundaries[i + 1]]`."""

    ids: NDArray[np.int32]  # (tokens,)
    mask: NDArray[np.bool_]  # (tokens,), True where the token is supervised
    boundaries: NDArray[np.int64]  # (rows + 1,)
    prompt_length: NDArray[np.int32]  # (rows,), tokens before the last supervised stretch, or of a pair's first text
    label: NDArray[np.int32]  # (rows,), class index, or -1
    row: NDArray[np.int64]  # (rows,), number of the source row, from 0
    targets: Lists
    offsets: Lists
    texts: list[Sequence[str]]
    counts: RowCounts
    images: list[Sequence[str]] | None = None
    """sha256 of each image of each row; None where rows have none."""

    @property
    def teaches(self) -> bool:
        """Whether there is anything to learn from: a supervised token, a label, other targets, or prompts to answer."""
        asks = bool((self.prompt_length == np.diff(self.boundaries)).any())
        return asks or bool(self.mask.any() or (self.label != NO_LABEL).any() or len(self.targets.values))


BareText = tuple[int, list[int]]
"""A row's number and the tokens of its text, without any that begin or end one."""


@dataclass(slots=True)
class RowTokens:
    """One row's tokens on the way to `TokenRows`; columns are those of `ftc.spec.documents.streams`."""

    row: int
    ids: array[int]
    supervised: list[tuple[int, int]]
    prompt_length: int
    label: int = NO_LABEL
    targets: Sequence[int] = ()
    offsets: Sequence[int] = ()
    texts: Sequence[str] = ()
    images: Sequence[str] = ()


def joined(given: Iterable[TokenRows]) -> TokenRows:
    """Chunks, of which there is at least one, one after the other; what many of them hold goes to disk as they come."""
    columns = {name: Spool() for name in ("ids", "mask", "prompt_length", "label", "row")}
    bounds, targets, offsets = _Bounds(), _Bounds(), _Bounds()
    values, texts, images = (Spool(), Spool()), list[Sequence[str]](), list[Sequence[str]]()
    counts: RowCounts | None = None
    for chunk in given:
        for name, spool in columns.items():
            spool.add(getattr(chunk, name).tobytes())
        for ends, some in (
            (bounds, chunk.boundaries),
            (targets, chunk.targets.boundaries),
            (offsets, chunk.offsets.boundaries),
        ):
            ends.add(some)
        for spool, lists in zip(values, (chunk.targets, chunk.offsets), strict=True):
            spool.add(lists.values.tobytes())
        texts += chunk.texts
        images += chunk.images or [()] * len(chunk.texts)
        counts = counts or chunk.counts
    assert counts is not None, "there is a chunk"
    return TokenRows(
        ids=columns["ids"].mapped("int32"),
        mask=columns["mask"].mapped("bool"),
        boundaries=bounds.whole(),
        prompt_length=columns["prompt_length"].mapped("int32"),
        label=columns["label"].mapped("int32"),
        row=columns["row"].mapped("int64"),
        targets=Lists(values[0].mapped("int32"), targets.whole()),
        offsets=Lists(values[1].mapped("int32"), offsets.whole()),
        texts=texts,
        counts=counts,
        images=_of_images(images),
    )


class _Bounds:
    """Where each row ends, counted over all chunks."""

    def __init__(self) -> None:
        self._spool, self._end = Spool(), 0
        self._spool.add(bytes(8))

    def add(self, bounds: NDArray[np.int64]) -> None:
        """Puts a chunk's own ends behind the others."""
        self._spool.add((bounds[1:] + self._end).tobytes())
        self._end += int(bounds[-1])

    def whole(self) -> NDArray[np.int64]:
        """(rows + 1,) All of them, from 0 on."""
        return self._spool.mapped("int64")


def taken(rows: TokenRows, numbers: Sequence[int]) -> TokenRows:
    """Some of the rows, in the order of the numbers; the counts stay those of all."""
    starts, ends = rows.boundaries[:-1][numbers], rows.boundaries[1:][numbers]
    places = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
    tokens = np.concatenate([np.zeros(0, np.int64), *places])
    return TokenRows(
        ids=rows.ids[tokens],
        mask=rows.mask[tokens],
        boundaries=np.cumsum([0, *(ends - starts)], dtype=np.int64),
        prompt_length=rows.prompt_length[numbers],
        label=rows.label[numbers],
        row=rows.row[numbers],
        targets=_lists([rows.targets[number].tolist() for number in numbers]),
        offsets=_lists([rows.offsets[number].tolist() for number in numbers]),
        texts=[rows.texts[number] for number in numbers],
        counts=rows.counts,
        images=_of_images([rows.images[number] for number in numbers]) if rows.images else None,
    )


def _of_images(rows: list[Sequence[str]]) -> list[Sequence[str]] | None:
    return rows if any(rows) else None


def flatten(chunk: Iterable[RowTokens], counts: RowCounts) -> TokenRows:
    """Rows in the order of their numbers; windows of one row stay in theirs."""
    tokens = sorted(chunk, key=lambda t: t.row)
    lengths = np.array([len(t.ids) for t in tokens], dtype=np.int64)
    boundaries = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    mask = np.zeros(int(boundaries[-1]), dtype=np.bool_)
    for start, t in zip(boundaries.tolist(), tokens, strict=False):
        for begin, end in t.supervised:
            mask[start + begin : start + end] = True
    return TokenRows(
        ids=np.frombuffer(b"".join([t.ids for t in tokens]), dtype=np.int32),
        mask=mask,
        boundaries=boundaries,
        prompt_length=np.array([t.prompt_length for t in tokens], dtype=np.int32),
        label=np.array([t.label for t in tokens], dtype=np.int32),
        row=np.array([t.row for t in tokens], dtype=np.int64),
        targets=_lists([t.targets for t in tokens]),
        offsets=_lists([t.offsets for t in tokens]),
        texts=[t.texts for t in tokens],
        counts=counts,
        images=_of_images([t.images for t in tokens]),
    )


def _lists(rows: Sequence[Sequence[int]]) -> Lists:
    values = np.array([value for row in rows for value in row], dtype=np.int32)
    return Lists(values, np.cumsum([0, *map(len, rows)], dtype=np.int64))


def supervised_counts(tokens: TokenRows) -> NDArray[np.int64]:
    """(rows,) How many tokens of each row are supervised."""
    found, bounds = np.zeros(len(tokens.row), np.int64), tokens.boundaries
    for begin in range(0, len(found), _AT_ONCE):
        some = bounds[begin : begin + _AT_ONCE + 1]
        before = np.concatenate([[0], np.cumsum(tokens.mask[some[0] : some[-1]])])
        found[begin : begin + _AT_ONCE] = np.diff(before[some - some[0]])
        forget(tokens.mask)
    return found
