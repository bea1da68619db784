"""Tests of drift: how often they say so where there is none, and what they find, beside other people's definitions."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from collections import Counter
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency
from sklearn.linear_model import Ridge

from benchmarks.drift import alarms, draw
from ftc.runtime.evaluation import two_samples
from ftc.runtime.evaluation.drift_tests import Sample, compared, damage_tests, metric_tests, settled
from ftc.runtime.evaluation.two_samples import classifier_test, counted, distributed, named
from ftc.spec.documents.data_drift import MetricDrift
from ftc.spec.documents.intervals import Interval


def test_reports_without_drift_seldom_say_so() -> None:
    found = alarms("no drift", 15, rows=60, reference=80, level=0.05)
    assert found["any"] <= 3, found


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("rows longer by a quarter", "length"),
        ("20 % of the rows in unknown words", "novel rows"),
        ("one topic 60 % instead of 20 %", "predicted classes"),
        ("encoding errors in 15 % instead of 2 %", "rows with encoding errors"),
        ("each row four times", "repeated rows"),
    ],
)
def test_each_kind_of_drift_is_called_what_it_is(case: str, name: str) -> None:
    found = alarms(case, 2, rows=160, reference=200, level=0.05)
    assert found[name] == 2, found
    others = Counter({one: count for one, count in found.items() if one not in (name, "any", "inputs", "novel rows")})
    assert others.total() <= 1, found


def test_a_classifier_finds_what_no_count_shows() -> None:
    """Words in reversed order have the same counts, lengths and answers."""
    chance = np.random.default_rng(1)
    known, new = draw(chance, 120), draw(chance, 120)
    assert new.tokens is not None
    turned = Sample.of([sorted(row, reverse=True) for row in new.tokens], names=new.names, numbers=new.numbers)
    plain, found = (settled(compared(known, one, 0.01).tests, 0.01) for one in (new, turned))
    assert not any(one.drifted for one in plain)
    (test,) = (one for one in found if one.name == "inputs")
    assert test.drifted
    assert test.value > 0.8
    assert test.minimum_detectable is not None
    assert 0.55 < test.minimum_detectable < 0.75


def test_scores_of_a_fold_are_those_of_a_ridge_regression_on_the_others() -> None:
    chance = np.random.default_rng(2)
    rows = chance.normal(size=(30, 6))
    folds, sides = chance.integers(0, 5, 30), chance.integers(0, 2, 30).astype(float)
    centered, answers = rows - rows.mean(axis=0), sides - sides.mean()
    for fold, matrix in enumerate(two_samples.out_of_fold(rows, folds)):
        held = folds == fold
        ridge = Ridge(alpha=1.0, fit_intercept=False).fit(centered[~held], answers[~held])
        np.testing.assert_allclose(matrix @ answers, ridge.predict(centered[held]), atol=1e-8)


def test_rows_with_one_text_are_not_recognized() -> None:
    """New rows that repeat each other's text say nothing of each other, since they are in one fold."""
    chance = np.random.default_rng(3)
    texts = chance.normal(size=(40, 50))
    rows = np.concatenate([texts[:20], np.repeat(texts[20:], 3, axis=0)])
    keys = [*range(20), *np.repeat(np.arange(20, 40), 3).tolist()]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert classifier_test("inputs", "inputs", rows, 20, keys).value < 0.75
    assert classifier_test("inputs", "inputs", rows, 20, list(range(80))).value > 0.8


@pytest.mark.parametrize("shift", [0, 25, 60])
def test_shares_by_permutations_beside_the_usual_formula(shift: int) -> None:
    before = [("a",)] * 200 + [("b",)] * 150 + [("c",)] * 50
    now = [("a",)] * (100 + shift) + [("b",)] * (75 - shift) + [("c",)] * 25
    found = named("classes", before, now)
    table = [[200, 150, 50], [100 + shift, 75 - shift, 25]]
    known: Any = chi2_contingency(table)
    assert found.p == pytest.approx(known.pvalue, abs=0.02)
    assert found.value == pytest.approx(shift / 200, abs=1e-9) or found.value == pytest.approx(-shift / 200, abs=1e-9)


def test_several_names_a_row() -> None:
    before, now = [("a", "b"), ("a",), ()] * 40, [("a", "b"), ("a",), ("b",)] * 40
    assert named("classes", before, now).p < 0.001
    assert named("classes", before, list(reversed(before))).p == 1.0


def test_what_is_shown_in_eighty_of_a_hundred_cases_is() -> None:
    chance, level = np.random.default_rng(4), 0.01
    draws: dict[str, list[bool]] = {"share": [], "numbers": [], "classes": []}
    share = counted("x", "damage", (10, 200), (10, 100), worse=True).power(level)
    gap = distributed("x", "answers", range(200), range(100), "").power(level)
    even = [("a",), ("b",)] * 100
    change = named("x", even, even[:100]).power(level)
    for _ in range(60):
        more = (chance.binomial(200, 0.05), 200), (chance.binomial(100, 0.05 + share), 100)
        draws["share"].append(counted("x", "damage", *more, worse=True).p <= level)
        old, moved = chance.uniform(size=200).tolist(), (chance.uniform(size=100) - gap).tolist()
        draws["numbers"].append(distributed("x", "answers", old, moved, "").p <= level)
        drawn = [
            [("a",) if one else ("b",) for one in chance.random(n) < p] for n, p in ((200, 0.5), (100, 0.5 + change))
        ]
        draws["classes"].append(named("x", *drawn).p <= level)
    assert all(sum(found) >= 40 for found in draws.values()), {name: sum(found) for name, found in draws.items()}


def test_p_values_are_adjusted_by_holm() -> None:
    tests = [counted(str(count), "damage", (0, 200), (count, 200), worse=True) for count in (0, 6, 12)]
    found = settled(tests, 0.05)
    raw = [one.p for one in tests]
    assert [one.adjusted_p for one in found] == pytest.approx([1.0, min(1.0, 2 * raw[1]), 3 * raw[2]])
    assert [one.drifted for one in found] == [False, 2 * raw[1] <= 0.05, True]
    assert settled([], 0.05) == ()


def test_metrics_by_both_intervals() -> None:
    sure = Interval(low=0.7, high=0.88)
    worse = MetricDrift(rows=100, value=0.6, interval=Interval(low=0.5, high=0.69), test_value=0.8, test_interval=sure)
    (found,) = metric_tests({"accuracy": worse}, 80)
    assert found.p == pytest.approx(2 * 0.00177, abs=1e-3)  # -0.2 by a half-width of sqrt(0.09² + 0.1²)
    few = MetricDrift(
        rows=120,
        value=0.375,
        interval=Interval(low=0.288, high=0.468),
        test_value=0.0,
        test_interval=Interval(low=0.0, high=0.522),
    )
    (unsure,) = metric_tests({"accuracy": few}, 5)
    assert unsure.p > 0.1, "five test rows say little, however wrong"
    unknown = worse.model_copy(update={"test_interval": None})
    assert list(metric_tests({"accuracy": unknown}, 80)) == []


def test_damage_that_no_row_has_is_no_test() -> None:
    known, new = draw(np.random.default_rng(5), 20, broken=0), draw(np.random.default_rng(6), 20, broken=0)
    assert damage_tests(known, new) == []


def test_rows_that_are_all_alike_or_empty() -> None:
    empty: list[list[int]] = [[]] * 12
    for tokens in ([[5, 6, 7]] * 12, empty):
        one = Sample.of(tokens)
        assert not any(test.drifted for test in settled(compared(one, one, 0.05).tests, 0.05))
