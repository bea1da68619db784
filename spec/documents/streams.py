"""The token stream: the compiled form of a split, written by `plan` and read by the run.

One Arrow IPC file a split or shard (`stream_shards`), not compressed, so that it is mapped and not read. Columns:

- `ids` (large_list<int32>): the tokens. For an encoder-decoder those of the encoder, then those of the decoder; for a
  preference prompt and chosen answer, then prompt and rejected answer.
- `mask` (large_list<uint8>): 1 where a token is supervised, or where a word with a tag or a compared text begins.
- `prompt_length` (int32): tokens before the last supervised span, or of the encoder, or of the first text of several.
- `label` (int32): the row's class, -1 where it has none.
- `row` (int64): number of the row among those that were read, from 0. Several windows of a row have the same.
- `place` (large_string): the row's name, such as `data/tickets.csv:38`; empty where it has none.
- `targets` (large_list<int32>): what is learned where it is neither the next token nor one class. Classes of a
  multi-label row, ascending; numbers of a regression, as the bits of float32; the tag of each supervised token; first
  and last token of an answer, 0 where the window doesn't hold it; tokens of a preference's first sequence, and then
  whether its answer is rated good; tokens of the longest of compared texts and then their score's bits. Empty else.
- `offsets` (large_list<int32>): begin and end character of each token in a context, two a token, -1 where a token is
  no part of it; empty where no answer is cut out of a text. In rows to predict for, those of each tagged word.
- `texts` (large_list<large_string>): what metrics need of a row beside its tokens: the context and then the right
  answers; for a written answer the right ones, where there are several; numbers as they are in the data. Empty else.
- `images` (large_list<large_string>): sha256 of each image of the row, in the order of its tokens. The column is there
  where rows have images; the images themselves are beside the streams, in `images.arrow`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ftc.spec.base import Document
from ftc.spec.documents.stream_shards import COLUMNS_OF_SHARDS, DamagedShard, Pieces, Shard, digest_of, listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "SPLITS",
    "TAUGHT",
    "DroppedRow",
    "Lists",
    "RowLengths",
    "SplitReport",
    "TokenStream",
    "lengths_file",
    "open_lengths",
    "open_stream",
    "stream_digest",
]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""Every part of the data, in the order in which they are named."""
TAUGHT = "taught"
"""Stem of the training rows in the tokens of a teacher with another tokenizer; `targets` are the numbers of its targets
that the model's are compared with, -1 for none."""
COLUMNS = ("ids", "mask", "prompt_length", "label", "row", "place", "targets", "offsets", "texts")
"""Columns of a stream's file, in their order."""
_WITH_IMAGES = (*COLUMNS, "images")
_EARLIER_COLUMNS = tuple(name for name in COLUMNS if name != "place")
"""Those of streams that were written before rows had names."""


class DroppedRow(Document):
    """A row that gives no tokens."""

    row: int
    """Number of the row among those that were read, from 0."""
    place: str = ""
    """Its name, such as `data/tickets.csv:38`; empty in plans of earlier releases."""
    reason: str


class SplitReport(Document):
    """What a split's token stream holds and what became of the rows on the way."""

    rows_read: int
    rows: int
    """Rows in the stream: windows and blocks count as such."""
    tokens: int
    length_p50: int
    """Median row length in tokens: the length that half of the rows don't exceed."""
    length_p95: int
    length_max: int
    supervised_tokens: int
    """Tokens that the loss is computed on; 0 for classification, where a row's label is what is learned."""
    supervised_max: int
    """Most supervised tokens of any one row."""
    truncated_rows: int
    dropped_rows: int
    first_dropped: tuple[DroppedRow, ...]
    """The first few dropped rows."""
    unsupervised_turns: int
    """Turns of the assistant that the model would see differently when it generates, and so aren't learned from."""
    rows_without_stop_token: int
    """Rows in which the template writes no special token after an answer, so that the model doesn't learn to stop."""
    rows_with_merged_boundary: int
    """Rows in which one token holds the end of the prompt and the begin of the answer; it is supervised."""
    stream_digest: str
    """sha256 over the rows' tokens; see the function of this name. Of several shards one over theirs."""

    def measured(self, form: str) -> int:
        """Rows that people would count: questions rather than their windows, by the form of the text."""
        return self.rows_read - self.dropped_rows if form == "extract" else self.rows

    @property
    def supervised_share(self) -> float:
        """Share of the tokens that the loss is computed on."""
        return self.supervised_tokens / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class Lists:
    """A list of numbers for each row, flat: row i is `values[boundaries[i]:boundaries[i + 1]]`."""

    values: NDArray[np.int32]
    boundaries: NDArray[np.int64]

    def __getitem__(self, i: int) -> NDArray[np.int32]:
        return self.values[self.boundaries[i] : self.boundaries[i + 1]]


@dataclass(frozen=True, slots=True)
class RowLengths:
    """How long the rows of a split are: all that batches and time hang on. A small file beside the stream holds it."""

    tokens: NDArray[np.int64]  # (rows,)
    prompt: NDArray[np.int64]  # (rows,)
    """Tokens before the last supervised stretch; of an encoder-decoder those of the encoder."""
    scored: NDArray[np.int64]  # (rows,)
    """Supervised tokens."""
    first_target: NDArray[np.int64]  # (rows,)
    """Of a preference the tokens of its first sequence, of texts that are compared those of the longest."""
    shared: int = 0
    """Tokens with which all prompts begin, at least one of each left out."""
    shards: tuple[int, ...] = ()
    """First row of each shard; none of one file, or of some rows alone."""

    def cut(self, most: int) -> RowLengths:
        """The same rows, none longer than so many tokens."""
        tokens, prompt, scored = (array.clip(max=most) for array in (self.tokens, self.prompt, self.scored))
        return RowLengths(tokens, prompt, scored, self.first_target, min(self.shared, most), self.shards)

    def sample(self, most: int) -> RowLengths:
        """At most so many rows, evenly spread."""
        return self.take(slice(None, None, max(1, -(-len(self.tokens) // most))))

    def take(self, rows: slice | NDArray[np.int64]) -> RowLengths:
        """Some rows, by their numbers."""
        return RowLengths(self.tokens[rows], self.prompt[rows], self.scored[rows], self.first_target[rows], self.shared)


def lengths_file(stream: Path) -> Path:
    """The file of the lengths that belongs to a split's stream."""
    return stream.with_suffix(".lengths.npy")


def open_lengths(stream: Path) -> RowLengths:
    """The lengths of a split's rows.

    Args:
        stream: File of the split's stream.

    Raises:
        OSError: There is no such file.
        ValueError: It is another kind of file.
    """
    import numpy as np

    tokens, prompt, scored, first, shared, *shards = np.load(lengths_file(stream), allow_pickle=False).astype(np.int64)
    starts = [int(row) for each in shards for row in np.flatnonzero(np.diff(each, prepend=-1))]
    return RowLengths(tokens, prompt, scored, first, int(shared[0]) if len(shared) else 0, (*starts,))


@dataclass(frozen=True, slots=True)
class TokenStream:
    """A split mapped into memory. Arrays are read-only views of the file; those of several shards give slices alone."""

    all_ids: NDArray[np.int32]  # (tokens,)
    all_masks: NDArray[np.bool_]  # (tokens,)
    boundaries: NDArray[np.int64]  # (rows + 1,)
    prompt_lengths: NDArray[np.int32]  # (rows,)
    labels: NDArray[np.int32]  # (rows,)
    rows: NDArray[np.int64]  # (rows,)
    targets: Lists
    offsets: Lists
    table: Any
    """The Arrow table, which keeps the mapping open and holds the texts; None for rows that were never in a file."""
    pixels: Callable[[TokenStream, Sequence[int]], Any] | None = None
    """Gives the images of rows as the model takes them, None for rows without; a run sets it where rows have images."""
    shards: tuple[TokenStream, ...] = ()
    """The shards, where there are several."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return self.boundaries[1:] - self.boundaries[:-1]

    @property
    def shard_starts(self) -> tuple[int, ...]:
        """The first row of each shard; none of one file."""
        return tuple(accumulate(map(len, self.shards[:-1]), initial=0)) if self.shards else ()

    def ids(self, i: int) -> NDArray[np.int32]:
        """Token ids of row i."""
        return self.all_ids[self.boundaries[i] : self.boundaries[i + 1]]

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Which tokens of row i are supervised."""
        return self.all_masks[self.boundaries[i] : self.boundaries[i + 1]]

    def marked(self, i: int) -> list[NDArray[np.int32]]:
        """Token ids of each text of row i, which begin at its marked tokens."""
        ids, begins = self.ids(i), [*self.mask(i).nonzero()[0].tolist(), None]
        return [ids[begin:end] for begin, end in pairwise(begins)]

    def prompt_length(self, i: int) -> int:
        """Tokens of row i before its last answer: what the model gets when it generates."""
        return int(self.prompt_lengths[i])

    def pair_weight(self, i: int) -> float:
        """What the loss of pair i is multiplied by; 1 where all pairs count alike."""
        bits = self.targets[i][1:]
        return float(bits.view("float32")[0]) if len(bits) else 1.0

    def is_good(self, i: int) -> bool:
        """Whether the answer of row i is rated good.

        Raises:
            ValueError: Nobody has rated it.
        """
        rating = self.targets[i][1:].tolist()
        if len(rating) != 1:
            raise ValueError(f"row {i} has no rating")
        return bool(rating[0])

    def place(self, i: int) -> str:
        """Name of row i, such as `data/tickets.csv:38`; empty where it has none."""
        if self.table is None or "place" not in self.table.column_names:
            return ""
        return str(self.table.column("place")[i].as_py())

    @property
    def has_images(self) -> bool:
        """Whether rows have images."""
        return self.pixels is not None or (self.table is not None and "images" in self.table.column_names)

    def images(self, i: int) -> list[str]:
        """sha256 of each image of row i."""
        return list(self.table.column("images")[i].as_py()) if self.table is not None and self.has_images else []

    def texts(self, i: int) -> list[str]:
        """What metrics need of row i beside its tokens."""
        return list(self.table.column("texts")[i].as_py()) if self.table is not None else []

    def digest(self) -> str:
        """`stream_digest` of what the file holds.

        Raises:
            ValueError: Its texts lie where the file has none; Arrow would read past its end.
        """
        if self.shards:
            return digest_of([one.digest() for one in self.shards])
        self.table.validate(full=True)
        return stream_digest(
            (self.boundaries, self.all_ids, self.all_masks, self.prompt_lengths, self.labels),
            (self.targets, self.offsets),
            self.table.column("texts").chunk(0).to_pylist(),
            self.table.column("images").chunk(0).to_pylist() if self.has_images else None,
        )


def open_stream(path: Path) -> TokenStream:
    """Maps a split's token stream into memory, all of its shards where it has several.

    Raises:
        OSError: There is no such file, or it is no Arrow file.
        ValueError: It is an Arrow file of another kind.
        DamagedShard: A shard is missing, or isn't the one that is listed.
    """
    table = _mapped(path)
    if tuple(table.column_names) == COLUMNS_OF_SHARDS:
        return _joined([_shard(path.resolve().with_name(one.file), one) for one in listed(table)])
    return _one_file(table, path)


def _mapped(path: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _one_file(table: Any, path: Path) -> TokenStream:
    if tuple(table.column_names) not in (COLUMNS, _EARLIER_COLUMNS, _WITH_IMAGES):
        raise ValueError(f"{path.name} is not a token stream")
    columns = {name: table.column(name).chunk(0) for name in _EARLIER_COLUMNS}
    ids = columns["ids"]
    return TokenStream(
        all_ids=_numbers(ids.values, "int32"),
        all_masks=_numbers(columns["mask"].values, "uint8").view("bool"),
        boundaries=_numbers(ids.offsets, "int64"),
        prompt_lengths=_numbers(columns["prompt_length"], "int32"),
        labels=_numbers(columns["label"], "int32"),
        rows=_numbers(columns["row"], "int64"),
        targets=_lists(columns["targets"]),
        offsets=_lists(columns["offsets"]),
        table=table,
    )


def _shard(path: Path, expected: Shard) -> TokenStream:
    try:
        found = _one_file(_mapped(path), path)
    except (OSError, ValueError) as error:
        raise DamagedShard(f"its shard `{path.name}` is missing, or no part of a token stream") from error
    if (len(found), len(found.all_ids)) != (expected.rows, expected.tokens):
        raise DamagedShard(f"its shard `{path.name}` has {len(found):,} rows where its list says {expected.rows:,}")
    return found


def _joined(shards: Sequence[TokenStream]) -> TokenStream:
    import numpy as np
    import pyarrow as pa

    def pieces(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return cast("NDArray[Any]", Pieces(arrays))  # which whoever takes rows out of it can't tell from an array

    def bounds(each: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        starts = accumulate((int(one[-1]) for one in each), initial=0)
        return np.concatenate([np.zeros(1, np.int64), *(one[1:] + at for one, at in zip(each, starts, strict=False))])

    def lists(each: Sequence[Lists]) -> Lists:
        return Lists(pieces([one.values for one in each]), bounds([one.boundaries for one in each]))

    return TokenStream(
        all_ids=pieces([one.all_ids for one in shards]),
        all_masks=pieces([one.all_masks for one in shards]),
        boundaries=bounds([one.boundaries for one in shards]),
        prompt_lengths=np.concatenate([one.prompt_lengths for one in shards]),
        labels=np.concatenate([one.labels for one in shards]),
        rows=np.concatenate([one.rows for one in shards]),
        targets=lists([one.targets for one in shards]),
        offsets=lists([one.offsets for one in shards]),
        table=pa.concat_tables([one.table for one in shards]),
        shards=tuple(shards),
    )


def _lists(column: Any) -> Lists:
    return Lists(_numbers(column.values, "int32"), _numbers(column.offsets, "int64"))


def _numbers(array: Any, kind: str) -> NDArray[Any]:
    """A view of an Arrow array without nulls. Arrow's own way to NumPy imports pandas first, which takes a second."""
    import numpy as np

    if str(array.type) != kind:
        raise ValueError(f"a token stream has {kind} where this file has {array.type}")
    data = array.buffers()[1]
    if data is None or not len(array):
        return np.empty(0, kind)
    return np.frombuffer(data, kind)[array.offset : array.offset + len(array)]


def stream_digest(
    arrays: Sequence[NDArray[Any]],
    lists: Sequence[Lists],
    texts: Sequence[Sequence[str]],
    images: Sequence[Sequence[str]] | None = None,
) -> str:
    """sha256 over a split's content, in little-endian order and whatever the file's encoding.

    Each array is preceded by its length in bytes, so that no two splits give the same sequence of bytes.

    Args:
        arrays: Boundaries, ids, mask, prompt lengths and labels.
        lists: Targets and offsets.
        texts: Texts of each row.
        images: sha256 of each image of each row; None where the stream has no such column.
    """
    state = hashlib.sha256()
    for values in (*arrays, *(part for one in lists for part in (one.boundaries, one.values))):
        little = values if sys.byteorder == "little" or values.dtype.itemsize == 1 else values.byteswap()
        state.update(little.nbytes.to_bytes(8, "little"))
        state.update(little.data)
    for row in (*texts, *(images or ())):
        state.update(len(row).to_bytes(8, "little"))
        for text in row:
            encoded = text.encode()
            state.update(len(encoded).to_bytes(8, "little") + encoded)
    return state.hexdigest()
