"""Metrics of numbers where they are hard: constant sides, ties, far from zero, many rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from ftc.runtime.metrics import numbers as module
from ftc.runtime.metrics import statistics_of
from ftc.runtime.metrics.numbers import Numbers
from ftc.runtime.metrics.slices import slice_result
from ftc.runtime.metrics.statistics import Statistics, difference, intervals


def of(name: str, expected: object, predicted: object) -> Statistics:
    sides = [np.array(side, np.float64).reshape(len(np.array(side)), -1) for side in (expected, predicted)]
    return statistics_of(name, Numbers(*sides))


def test_what_has_no_correlation_is_zero() -> None:
    for name in ("pearson", "spearman"):
        assert of(name, [1, 2, 3], [5, 5, 5]).observed == 0
        assert of(name, [1e9, 1e9, 1e9], [1, 2, 3]).observed == 0
        assert of(name, [4], [4]).observed == 0
    assert of("r2", [2, 2, 2], [2, 2, 2]).observed == 1
    assert of("r2", [2, 2, 2], [2, 2, 3]).observed == 0
    assert of("r2", [1, 2, 3], [2, 2, 2]).observed == pytest.approx(0)


def test_numbers_far_from_zero_lose_no_digits() -> None:
    chance = np.random.default_rng(1)
    small = chance.normal(size=(60, 1))
    noisy = small + chance.normal(size=(60, 1))
    for name in ("r2", "pearson", "spearman", "rmse", "mae"):
        far = of(name, small + 1e7, noisy + 1e7).observed
        assert far == pytest.approx(of(name, small, noisy).observed, rel=1e-6)


def rated(rows: int, count: int = 1, seed: int = 2) -> Numbers:
    """Ratings with ties, and predictions that follow them."""
    chance = np.random.default_rng(seed)
    expected = chance.integers(1, 6, size=(rows, count)).astype(np.float64)
    return Numbers(expected, expected + 1.5 * chance.normal(size=(rows, count)))


def test_many_rows_have_the_same_value_and_nearly_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    few = rated(400, 2)
    exact = statistics_of("spearman", few)
    monkeypatch.setattr(module, "_MOST_EXACT", 10)
    quick = statistics_of("spearman", few)
    assert quick.rows.shape == (400, 3)
    assert quick.observed == pytest.approx(exact.observed, abs=1e-12)
    one, other = intervals([exact]), intervals([quick])
    assert one[0] is not None
    assert other[0] is not None
    width = one[0].high - one[0].low
    assert abs(one[0].low - other[0].low) < 0.1 * width
    assert abs(one[0].high - other[0].high) < 0.1 * width
    better = Numbers(few.expected, few.expected + 0.5 * (few.predicted - few.expected))
    gains = [difference(statistics_of("spearman", few), statistics_of("spearman", better))]
    monkeypatch.undo()
    gains.append(difference(statistics_of("spearman", few), statistics_of("spearman", better)))
    found = [intervals([gain])[0] for gain in gains]
    assert gains[0].observed == pytest.approx(gains[1].observed, abs=1e-12)
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].low == pytest.approx(found[1].low, abs=0.1 * (found[1].high - found[1].low))
    assert found[0].high == pytest.approx(found[1].high, abs=0.1 * (found[1].high - found[1].low))


def test_groups_are_ranked_among_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rated(90)
    groups = ["a" if row % 3 else "b" for row in range(90)]
    results = []
    for most in (1000, 10):
        monkeypatch.setattr(module, "_MOST_EXACT", most)
        apart = {"spearman": (statistics_of("spearman", found), list(range(90)))}
        results.append(slice_result("side", groups, ["a", "b"], {}, {}, apart))
    for result in results:
        for group in result.groups:
            members = np.array([one == group.group for one in groups])
            theirs: Any = stats.spearmanr(found.expected[members, 0], found.predicted[members, 0])
            wanted = theirs.statistic
            assert group.tuned["spearman"] == pytest.approx(wanted, abs=1e-12)
            assert group.intervals["spearman"].low < wanted < group.intervals["spearman"].high
    exact, quick = (result.gaps["spearman"] for result in results)
    assert exact.interval is not None
    assert exact.by_chance is not None
    assert quick.value == pytest.approx(exact.value, abs=1e-12)
    assert quick.interval is None
    assert quick.by_chance is None


def test_intervals_hold_the_true_correlation() -> None:
    """Of 100 draws from one population, about 95 intervals hold its correlation."""
    true, held = 2 * np.sin(np.pi / 6 * 0.6), 0
    for seed in range(100):
        pair = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, true], [true, 1]], size=40)
        (interval,) = intervals([of("spearman", pair[:, 0], pair[:, 1])], resamples=400)
        held += interval is not None and interval.low <= 0.6 <= interval.high
    assert held >= 88
