"""Token streams by hand, in the format that runs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ftc.spec.documents.streams import Lists, TokenStream, open_stream

__all__ = ["no_lists", "write_columns"]


def no_lists(rows: int) -> Lists:
    """Lists of a column that means nothing for these rows."""
    return Lists(np.zeros(0, np.int32), np.zeros(rows + 1, np.int64))


def write_columns(
    file: Path,
    ids: Sequence[Sequence[int]],
    masks: Sequence[Sequence[int]],
    *,
    prompts: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
    rows: Sequence[int] | None = None,
    targets: Sequence[Sequence[int]] | None = None,
    offsets: Sequence[Sequence[int]] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
) -> TokenStream:
    """Writes a stream and opens it; columns that aren't given hold what they hold where they mean nothing."""
    count = len(ids)
    empty: list[list[int]] = [[] for _ in range(count)]
    table = pa.table(
        {
            "ids": pa.array(ids, pa.large_list(pa.int32())),
            "mask": pa.array(masks, pa.large_list(pa.uint8())),
            "prompt_length": pa.array(prompts or [0] * count, pa.int32()),
            "label": pa.array(labels or [-1] * count, pa.int32()),
            "row": pa.array(rows or range(count), pa.int64()),
            "place": pa.array([f"rows.jsonl:{row + 1}" for row in rows or range(count)], pa.large_string()),
            "targets": pa.array(targets or empty, pa.large_list(pa.int32())),
            "offsets": pa.array(offsets or empty, pa.large_list(pa.int32())),
            "texts": pa.array(texts or empty, pa.large_list(pa.large_string())),
        }
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return open_stream(file)
