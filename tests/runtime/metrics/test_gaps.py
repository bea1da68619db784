"""Gaps between groups: intervals that hold the true gap as often as they say, where there is none as well."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ftc.runtime.metrics.slices import gap_by_chance, gap_interval
from ftc.runtime.metrics.statistics import mean_of
from tests.support.metric_values import class_statistics

REPETITIONS = 60
"""Coverage of 95 % is then known to within 3 %; `benchmarks/gap_coverage.py` knows it better, and of more cases."""


def dealt(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.eye(len(sizes), dtype=bool), sizes, axis=0)


@pytest.mark.parametrize(
    ("shares", "size", "least"),
    [([0.8] * 10, 20, 0.95), ([0.85] * 9 + [0.5], 40, 0.91)],
    ids=["no gap", "one apart"],
)
def test_a_95_percent_interval_of_a_gap_holds_the_true_gap(shares: list[float], size: int, least: float) -> None:
    members = dealt([size] * len(shares))
    held = 0
    for number in range(REPETITIONS):
        right = np.random.default_rng(number).random(len(members)) < np.repeat(shares, size)
        found = gap_interval(mean_of(right.astype(float).tolist()), members, most=1)
        assert found is not None
        held += found.low - 1e-9 <= max(shares) - min(shares) <= found.high + 1e-9
    assert held / REPETITIONS >= least


def test_two_groups_far_apart_have_students_interval() -> None:
    """Where nothing can be mistaken, it is the one that everybody knows."""
    first, second = np.random.default_rng(1).normal(0, 1, 200), np.random.default_rng(2).normal(5, 1, 200)
    found = gap_interval(mean_of([*first, *second]), dealt([200, 200]))
    assert found is not None
    reach = 1.972 * math.hypot(first.std(ddof=1), second.std(ddof=1)) / math.sqrt(200)
    assert found.low == pytest.approx(second.mean() - first.mean() - reach, abs=0.02)
    assert found.high == pytest.approx(second.mean() - first.mean() + reach, abs=0.02)


def test_it_holds_the_measured_gap_and_stays_in_the_metrics_bounds() -> None:
    generator = np.random.default_rng(3)
    for sizes in ([6, 6], [2, 40, 3], [1, 30, 30], [4] * 12):
        expected, predicted = (generator.integers(0, 2, sum(sizes)) for _ in range(2))
        members = dealt(sizes)
        statistics = class_statistics("accuracy", expected.tolist(), predicted.tolist())
        shares = [float((expected == predicted)[chosen].mean()) for chosen in members.T]
        found = gap_interval(statistics, members, most=1)
        assert found is not None
        assert 0 <= found.low <= max(shares) - min(shares) <= found.high <= 1
        empty = np.hstack((members, np.zeros((len(members), 1), dtype=bool)))
        assert gap_interval(statistics, empty, most=1) == found, "a group without rows doesn't count"


def test_groups_that_happen_to_be_equal_may_still_differ() -> None:
    """Eight of ten right in both groups tells hardly more of their gap than eight and nine."""
    right = [1.0] * 8 + [0.0] * 2
    equal, apart = (
        gap_interval(mean_of(rows), dealt([10, 10]), most=1) for rows in (right * 2, right + [1.0] * 9 + [0.0])
    )
    assert equal is not None
    assert apart is not None
    assert equal.low == apart.low == 0
    assert 0.3 < equal.high <= apart.high + 0.1


@pytest.mark.parametrize("sizes", [[8], [1, 1], [5, 5]], ids=["one group", "a row each", "all alike"])
def test_rows_that_can_not_tell_give_no_interval(sizes: list[int]) -> None:
    rows = mean_of([1.0] * 5 + [0.0] * (sum(sizes) - 5) if sizes == [5, 5] else [0.5] * sum(sizes))
    assert gap_interval(rows, dealt(sizes)) is None


@pytest.mark.parametrize(("groups", "size"), [(2, 40), (20, 10)])
def test_what_chance_adds_to_a_gap_is_told_beside_it(groups: int, size: int) -> None:
    """No group differs from another here, so the gaps of many such splits are all chance; each split tells of them."""
    generator = np.random.default_rng(5)
    members = dealt([size] * groups)
    observed, told = [], []
    for _ in range(60):
        right = (generator.random(groups * size) < 0.8).astype(float)
        shares = [right[chosen].mean() for chosen in members.T]
        observed.append(max(shares) - min(shares))
        told.append(gap_by_chance(mean_of(right.tolist()), members))
    noise = float(np.std(observed)) / math.sqrt(len(observed))
    assert np.mean(observed) > 0.05
    assert abs(np.mean(observed) - np.mean([one for one in told if one is not None])) < 3 * noise
