"""Runs that are sought among others: the same are found whatever the number of parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ftc.compiler.quality import digest_sets, sought_runs
from ftc.compiler.quality.digest_sets import distinct, is_among
from ftc.compiler.quality.sought_runs import SoughtRuns


@pytest.mark.parametrize("in_part", [4_000_000, 40])
def test_all_runs_are_found_that_both_have(in_part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sought_runs, "_IN_PART", in_part)
    draw = np.random.Generator(np.random.PCG64(1))
    some: Any = draw.integers(0, 2**64, 900, dtype=np.uint64)
    other: Any = draw.integers(0, 2**64, 5_000, dtype=np.uint64)
    splits = [np.concatenate([some[:500], some[:7]]), some[500:]]
    met = np.concatenate([other, some[::3], some[::3]])

    sought = SoughtRuns(sum(map(len, splits)))
    for number, digests in enumerate(splits):
        for begin in range(0, len(digests), 100):
            part = digests[begin : begin + 100]
            sought.add(number, part, np.arange(begin, begin + len(part)))
    passed = sought.may_have(met)
    assert passed[len(other) :].all()
    sought.meet(met[passed])

    found: dict[int, dict[int, tuple[int, bool]]] = {0: {}, 1: {}}
    for number, digests, starts, is_met in sought.met():
        for digest, start, one in zip(digests.tolist(), starts.tolist(), is_met.tolist(), strict=True):
            found[number][start] = digest, one
    known = set(some[::3].tolist())
    for number, digests in enumerate(splits):
        assert found[number] == {at: (one, one in known) for at, one in enumerate(digests.tolist())}


def test_runs_of_one_digest_are_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sought_runs, "_IN_PART", 1)
    digests = np.array([3, 9, 3, 9, 3], np.uint64)
    sought = SoughtRuns(len(digests))
    sought.add(0, digests, np.arange(5))
    parts = [{*part.tolist()} for _, part, _, _ in sought.met() if len(part)]
    assert sorted(map(sorted, parts)) == [[3], [9]]


@pytest.mark.parametrize("few", [1 << 17, 10])
def test_numbers_are_found_among_few_and_many(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_sets, "_FEW", few)
    draw = np.random.Generator(np.random.PCG64(2))
    some: Any = draw.integers(0, 300, 200, dtype=np.uint64)
    known: Any = draw.integers(0, 300, 100, dtype=np.uint64)
    assert is_among(some, known).tolist() == [one in set(known.tolist()) for one in some.tolist()]
    assert distinct(known).tolist() == sorted(set(known.tolist()))
    assert not is_among(some, known[:0]).any()
    assert distinct(known[:0]).tolist() == []
