"""Margins of what torch's allocator takes are those of the measured runs, and what none can hold is never offered."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.memory.margins import EXPANDABLE_REST, REPLAY_MISS, reserved_range
from ftc.compiler.memory.memory import verdict_of
from ftc.spec.documents.estimates import ByteRange

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "memory_margins.jsonl"
RUNS: list[dict[str, Any]] = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
GIB = 2**30


def largest(name: str, attention: str) -> float:
    """The largest ratio of the runs that loaded their weights in order, as ftc's do, rounded up to a hundredth."""
    ratios: list[float | None] = [run[name] for run in RUNS if run["attention"] == attention and not run["raced"]]
    return math.ceil(100 * max(ratio for ratio in ratios if ratio is not None)) / 100


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_margins_are_the_largest_misses_of_the_measured_runs(attention: Any) -> None:
    assert REPLAY_MISS[attention] == largest("measured_by_replayed", attention)
    assert EXPANDABLE_REST[attention] == largest("expandable_by_allocated", attention)


def test_flash_has_the_margins_of_sdpa_since_no_measured_run_used_it() -> None:
    assert {run["attention"] for run in RUNS} == {"eager", "sdpa"}
    for margins in (REPLAY_MISS, EXPANDABLE_REST):
        assert margins["flash_attention_2"] == margins["sdpa"]


@pytest.mark.parametrize("expandable", [True, False])
def test_the_high_end_has_room_above_the_replay(expandable: bool) -> None:
    """Also where the allocator wastes much, which a share of the tensors alone would not cover."""
    found = reserved_range(10 * GIB, 13 * GIB, "sdpa", on_card=True, expandable=expandable)
    assert (found.low, found.expected) == (10 * GIB, 13 * GIB)
    assert found.high == round(13 * GIB * REPLAY_MISS["sdpa"])
    without = reserved_range(10 * GIB, None, "sdpa", on_card=True, expandable=expandable)
    assert without.expected == 10 * GIB, "no log was replayed"
    assert without.high == round(10 * GIB * (EXPANDABLE_REST["sdpa"] if expandable else 1.26))
    assert reserved_range(GIB, 2 * GIB, "sdpa", on_card=False, expandable=False).high == 2 * GIB


@pytest.mark.parametrize(("limit", "verdict"), [(12, "fits"), (11, "tight"), (10, "tight"), (9, "does not fit")])
def test_tight_is_what_fits_as_expected(limit: int, verdict: str) -> None:
    assert verdict_of(ByteRange(low=8, expected=10, high=12), limit) == verdict
