"""Tokens that were packed for another process, or for the cache, come back as they were."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest

from ftc.compiler.tokens.packed_rows import packed, unpacked
from ftc.compiler.tokens.token_rows import RowCounts, RowTokens, flatten


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[]],
        [[0, 1], [65_535]],
        [[65_536], [], [7] * 9],
        [[2**24 - 1, 0]],
        [[2**24, 1], [2**31 - 1]],
        [[-1, 5]],
    ],
)
def test_ids_of_any_size_and_their_masks_come_back(rows: Sequence[Sequence[int]]) -> None:
    given = flatten(
        [RowTokens(n, array("i", ids), [(len(ids) // 2, len(ids))], len(ids) // 2) for n, ids in enumerate(rows)],
        RowCounts(),
    )
    found = unpacked(packed(given), RowCounts())
    assert (found.ids.dtype, found.mask.dtype) == (given.ids.dtype, given.mask.dtype)
    for name in ("ids", "mask", "boundaries", "prompt_length", "label", "row"):
        assert getattr(found, name).tolist() == getattr(given, name).tolist(), name
    assert found.counts == given.counts
