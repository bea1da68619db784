"""The token stream: the compiled form of a split, written by `plan` and read by the run.

One Arrow IPC file a split, not compressed, so that it is mapped into memory rather than read. Columns: `ids`
(large_list<int32>), `mask` (large_list<uint8>, 1 where a token is supervised), `prompt_length` (int32: tokens before
the last supervised stretch; for a classification, tokens of the first text), `label` (int32, -1 where there is none)
and `row` (int64, number of the row in its source file, from 0).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftc.spec.base import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SPLITS", "DroppedRow", "SplitReport", "TokenStream", "open_stream", "stream_digest"]


Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""Every part of the data, in the order in which they are named."""


class DroppedRow(Document):
    """A row that gives no tokens."""

    row: int
    """Number of the row in its source file, from 0."""
    reason: str
    """Why, in one line."""


class SplitReport(Document):
    """What a split's token stream holds and what became of the rows on the way."""

    rows_read: int
    rows: int
    """Rows in the stream."""
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
    """sha256 over the rows' tokens; see the function of this name."""

    @property
    def supervised_share(self) -> float:
        """Share of the tokens that the loss is computed on."""
        return self.supervised_tokens / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class TokenStream:
    """A split mapped into memory. Arrays are read-only views of the file."""

    all_ids: NDArray[np.int32]  # (tokens,)
    all_masks: NDArray[np.bool_]  # (tokens,)
    boundaries: NDArray[np.int64]  # (rows + 1,)
    prompt_lengths: NDArray[np.int32]  # (rows,)
    labels: NDArray[np.int32]  # (rows,)
    rows: NDArray[np.int64]  # (rows,)
    table: Any
    """The Arrow table, which keeps the mapping open."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return self.boundaries[1:] - self.boundaries[:-1]

    def ids(self, i: int) -> NDArray[np.int32]:
        """Token ids of row i."""
        return self.all_ids[self.boundaries[i] : self.boundaries[i + 1]]

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Which tokens of row i are supervised."""
        return self.all_masks[self.boundaries[i] : self.boundaries[i + 1]]

    def prompt_length(self, i: int) -> int:
        """Tokens of row i before its last answer: what the model gets when it generates."""
        return int(self.prompt_lengths[i])

    def digest(self) -> str:
        """`stream_digest` of what the file holds."""
        return stream_digest(self.all_ids, self.all_masks, self.boundaries, self.prompt_lengths, self.labels)


def open_stream(path: Path) -> TokenStream:
    """Maps a split's token stream into memory.

    Raises:
        OSError: There is no such file, or it is no Arrow file.
        ValueError: It is an Arrow file of another kind.
    """
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    if table.column_names != ["ids", "mask", "prompt_length", "label", "row"]:
        raise ValueError(f"{path.name} holds no token stream")
    columns = [column.chunk(0) for column in table.columns]
    ids, mask = columns[0], columns[1]
    return TokenStream(
        all_ids=ids.values.to_numpy(),
        all_masks=mask.values.to_numpy().view("bool"),
        boundaries=ids.offsets.to_numpy(),
        prompt_lengths=columns[2].to_numpy(),
        labels=columns[3].to_numpy(),
        rows=columns[4].to_numpy(),
        table=table,
    )


def stream_digest(
    ids: NDArray[np.int32],
    mask: NDArray[np.bool_],
    boundaries: NDArray[np.int64],
    prompt_lengths: NDArray[np.int32],
    labels: NDArray[np.int32],
) -> str:
    """sha256 over a split's content, in little-endian order and whatever the file's encoding.

    Each array is preceded by its length in bytes, so that no two splits give the same sequence of bytes.
    """
    state = hashlib.sha256()
    arrays: Sequence[NDArray[Any]] = (boundaries, ids, mask, prompt_lengths, labels)
    for values in arrays:
        little = values if sys.byteorder == "little" or values.dtype.itemsize == 1 else values.byteswap()
        state.update(little.nbytes.to_bytes(8, "little"))
        state.update(little.data)
    return state.hexdigest()
