"""Intervals of measured values: right as often as they say, paired, repeatable, and silent where rows can't tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ftc.runtime.metrics.statistics import Statistics, difference, intervals, share_of
from ftc.spec.documents.record import Interval

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]


def mean(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def f1(sums: Floats) -> Floats:
    """From true positives, predicted and expected, each summed."""
    return np.asarray(2 * sums[..., 0] / np.maximum(1e-12, sums[..., 1] + sums[..., 2]))


def with_ones(values: Floats) -> Floats:
    return np.stack((values, np.ones_like(values)), axis=1)


def right_answers(generator: np.random.Generator, count: int) -> Pair:
    """Base right in 60 %, tuned in 70 %, on the same rows that are hard for both."""
    hardness = generator.random(count)
    tuned = (hardness < 0.75) ^ (generator.random(count) < 0.1)
    return with_ones((hardness < 0.6).astype(float)), with_ones(tuned.astype(float))


def overlaps(generator: np.random.Generator, count: int) -> Pair:
    """Scores such as ROUGE: most of them low, never below 0 or above 1."""
    base = generator.beta(1, 2, count)
    return with_ones(base), with_ones(base + 0.3 * (1 - base) * generator.beta(2, 2, count))


def rare_class(generator: np.random.Generator, count: int) -> Pair:
    """Counts for the F1 of a class that a fifth of the rows has."""
    expected = generator.random(count) < 0.2

    def counts(accuracy: float) -> Floats:
        found = np.where(generator.random(count) < accuracy, expected, ~expected)
        return np.stack((found & expected, found, expected), axis=1).astype(float)

    return counts(0.8), counts(0.9)


def gain(base: Floats, tuned: Floats, value: Callable[[Floats], Floats], **options: int) -> Interval | None:
    (found,) = intervals([difference(Statistics(base, value), Statistics(tuned, value))], **options)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "value", "count"),
    [(right_answers, mean, 200), (overlaps, mean, 50), (rare_class, f1, 150)],
    ids=["accuracy", "overlap", "f1"],
)
def test_a_95_percent_interval_of_a_gain_holds_the_true_gain_in_93_to_97_percent(
    make: Callable[[np.random.Generator, int], Pair], value: Callable[[Floats], Floats], count: int
) -> None:
    base, tuned = make(np.random.default_rng(0), 2_000_000)
    truth = float(value(tuned.sum(axis=0)) - value(base.sum(axis=0)))
    repetitions = 1000
    held = 0
    for number in range(repetitions):
        found = gain(*make(np.random.default_rng(number + 1), count), value, seed=number, resamples=600)
        assert found is not None
        held += found.low <= truth <= found.high
    assert 0.93 <= held / repetitions <= 0.97


def test_two_models_on_the_same_rows_are_told_apart_better_than_on_different_rows() -> None:
    base, tuned = overlaps(np.random.default_rng(5), 300)
    paired = gain(base, tuned, mean)
    shuffled = gain(base, np.random.default_rng(6).permutation(tuned), mean)
    assert paired
    assert shuffled
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 2


def test_the_same_rows_and_seed_give_the_same_interval_and_another_seed_nearly_the_same() -> None:
    rows = right_answers(np.random.default_rng(3), 120)[0]
    first, again, other = (intervals([Statistics(rows, mean)], seed=seed)[0] for seed in (7, 7, 8))
    assert first == again != other
    assert first
    assert other
    assert first.low == pytest.approx(other.low, abs=0.03)
    assert first.high == pytest.approx(other.high, abs=0.03)


@pytest.mark.parametrize("rows", [np.ones((30, 2)), np.ones((1, 2))], ids=["all alike", "one row"])
def test_rows_that_can_not_tell_give_no_interval(rows: Floats) -> None:
    assert intervals([Statistics(rows, mean)]) == [None]


def test_more_rows_give_a_narrower_interval_around_the_value() -> None:
    few, many = (
        intervals([Statistics(right_answers(np.random.default_rng(2), count)[0], mean)])[0] for count in (50, 5000)
    )
    assert few
    assert many
    assert few.low < many.low < 0.6 < many.high < few.high


def few_differ(generator: np.random.Generator, count: int) -> tuple[list[float], list[float]]:
    """Two models that say the same of nearly all rows: the second is right in 4 % more and wrong in 1 % more."""
    base = generator.random(count) < 0.7
    fate = generator.random(count)
    before = np.where(fate < 0.04, False, np.where(fate < 0.05, True, base))
    after = np.where(fate < 0.04, True, np.where(fate < 0.05, False, base))
    return before.astype(float).tolist(), after.astype(float).tolist()


@pytest.mark.parametrize("count", [50, 100, 200])
def test_a_share_that_few_rows_tell_apart_has_an_interval_that_holds(count: int) -> None:
    """Resamples held the true gain in 90 % at 100 rows, and told nothing where no row differs."""
    repetitions, held = 1000, 0
    for number in range(repetitions):
        pair = few_differ(np.random.default_rng(number), count)
        (found,) = intervals([difference(*map(share_of, pair))])
        assert found is not None
        held += found.low <= 0.03 <= found.high
    assert held / repetitions >= 0.95


def test_a_share_of_rows_that_are_all_alike_has_an_interval() -> None:
    right = share_of([1.0] * 20)
    alone, gain = intervals([right, difference(right, right)])
    assert alone is not None
    assert gain is not None
    assert [alone.low, alone.high] == pytest.approx([0.025 ** (1 / 20), 1])
    assert -0.13 < gain.low == -gain.high < -0.12, "1.96 sqrt(2 / 22 / 22)"


def test_a_gain_of_shares_is_as_bonett_and_price_have_it() -> None:
    """43 rows right by the second alone and 19 by the first alone, of 200: by their formula, counted by hand."""
    pairs = [(0.0, 1.0)] * 43 + [(1.0, 0.0)] * 19 + [(1.0, 1.0)] * 100 + [(0.0, 0.0)] * 38
    before, after = (share_of(list(column)) for column in zip(*pairs, strict=True))
    (found,) = intervals([difference(before, after)])
    middle, spread = 24 / 202, ((64 / 202 - (24 / 202) ** 2) / 202) ** 0.5
    assert found is not None
    assert (found.low, found.high) == pytest.approx((middle - 1.959964 * spread, middle + 1.959964 * spread), abs=1e-6)


def test_shares_of_some_rows_and_other_metrics_stand_beside_each_other() -> None:
    shares, scores = share_of([1.0, 0.0] * 20), Statistics(with_ones(np.linspace(0, 1, 40)), mean)
    members = np.arange(40) % 2 == 0
    some, *both = intervals([shares.of(members)]) + intervals([scores, shares])
    assert some == intervals([share_of([1.0] * 20)])[0]
    assert both == [*intervals([scores]), *intervals([shares])]


def changed_in(rows: int, count: int, seed: int = 0) -> Statistics:
    """The gain of a score that changed in some of the rows, up and down."""
    generator = np.random.default_rng(seed)
    base = generator.beta(1, 2, count)
    change = np.zeros(count)
    change[:rows] = generator.normal(0.2, 0.4, rows)
    return difference(Statistics(with_ones(base), mean), Statistics(with_ones(base + change), mean))


def test_a_gain_that_few_rows_tell_of_has_no_interval_or_one_that_holds() -> None:
    """The scores of 6 in 100 rows change; resamples that counted all rows held the true gain in 85 %."""
    held, told = 0, 0
    for number in range(400):
        rows = int(np.random.default_rng(number).binomial(100, 0.06))
        (found,) = intervals([changed_in(rows, 100, number)], seed=number, resamples=500)
        assert (found is None) == (rows < 5)
        told += found is not None
        held += found is not None and found.low <= 0.06 * 0.2 <= found.high
    assert held / told >= 0.93


def test_few_rows_in_all_that_differ_still_tell() -> None:
    assert intervals([changed_in(3, 3)]) != [None]
    assert intervals([changed_in(4, 60)]) == [None]
