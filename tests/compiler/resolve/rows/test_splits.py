"""The division of rows is a partition of exact size that follows from contents and seed alone."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ftc.compiler.resolve.rows.seeded_order import first_rows
from ftc.compiler.resolve.rows.splits import divide, num_copies
from ftc.spec.sections.data import PathSource, Split

SHARES = st.integers(0, 49).map(lambda percent: percent / 100)


def keys_of(count: int) -> list[bytes]:
    return [b"row %d" % number for number in range(count)]


def size_of(count: int, share: float) -> int:
    return int(count * Fraction(repr(share)) + Fraction(1, 2))


@given(count=st.integers(1, 300), validation=SHARES, test=SHARES, seed=st.integers(0, 2**32 - 1))
def test_each_row_is_in_exactly_one_part_of_exact_size(count: int, validation: float, test: float, seed: int) -> None:
    split = Split(validation=validation, test=test, seed=seed)
    parts, found = divide(keys_of(count), split)
    assert sorted(row for rows in parts.values() for row in rows) == list(range(count))
    assert all([*rows] == sorted(rows) for rows in parts.values())
    assert parts["train"]
    for part, share in (("validation", validation), ("test", test)):
        is_asked = share > 0
        assert (part in parts) == is_asked
        if is_asked and size_of(count, validation) + size_of(count, test) < count:
            assert len(parts[part]) == size_of(count, share)  # type: ignore[index]
    assert {finding.path for finding in found} == {f"data.split.{part}" for part, rows in parts.items() if not rows}


@given(
    classes=st.lists(st.integers(12, 80), min_size=1, max_size=6),
    validation=st.sampled_from([0.1, 0.15, 0.2]),
    test=st.sampled_from([0.1, 0.25, 0.3]),
)
def test_strata_keep_their_proportions(classes: list[int], validation: float, test: float) -> None:
    strata = [f"class {number}" for number, size in enumerate(classes) for _ in range(size)]
    parts, found = divide(keys_of(len(strata)), Split(validation=validation, test=test), strata)
    assert not found
    for part, share in (("validation", validation), ("test", test)):
        rows = parts[part]  # type: ignore[index]
        assert len(rows) == size_of(len(strata), share)
        counts = Counter(strata[row] for row in rows)
        for number, size in enumerate(classes):
            assert abs(counts[f"class {number}"] - size * share) < 1


@given(
    contents=st.lists(st.integers(0, 20), min_size=6, max_size=60),
    seed=st.integers(0, 1000),
    shuffle=st.randoms(use_true_random=False),
)
def test_order_of_the_file_changes_nothing_and_copies_stay_together(
    contents: list[int], seed: int, shuffle: random.Random
) -> None:
    split = Split(validation=0.2, test=0.2, seed=seed)
    shuffled = shuffle.sample(contents, len(contents))

    def division(values: list[int]) -> dict[str, list[int]]:
        parts, _ = divide([b"%d" % value for value in values], split, [str(value % 3) for value in values])
        return {part: sorted(values[row] for row in rows) for part, rows in parts.items()}

    divided = division(contents)
    assert divided == division(shuffled)
    seen = Counter(value for values in divided.values() for value in set(values))
    assert all(count == 1 for count in seen.values())


def test_the_seed_changes_the_division() -> None:
    first, _ = divide(keys_of(100), Split(seed=1))
    again, _ = divide(keys_of(100), Split(seed=1))
    other, _ = divide(keys_of(100), Split(seed=2))
    assert first == again
    assert first["test"] != other["test"]


def test_more_rows_move_few_others() -> None:
    before, _ = divide(keys_of(1000), Split())
    after, _ = divide(keys_of(1010), Split())
    moved = set(before["test"]) ^ {row for row in after["test"] if row < 1000}
    assert len(moved) <= 20


def test_a_share_that_gives_no_row_names_the_smallest_that_does() -> None:
    _, (found,) = divide(keys_of(20), Split(validation=0.01, test=0))
    assert (found.code, found.path) == ("FTC371", "data.split.validation")
    assert "0.025" in found.help[0]
    assert "0.01 of 20 rows is 0.2" in found.notes[0]


@settings(deadline=None)  # a busy machine is no fault
@given(count=st.integers(2, 5000))
def test_the_smallest_share_works(count: int) -> None:
    _, found = divide(keys_of(count), Split(validation=1e-9, test=0))
    share = float(found[0].help[0].partition(" is ")[2].partition(";")[0])
    parts, found = divide(keys_of(count), Split(validation=share, test=0))
    assert not found
    assert len(parts["validation"]) == 1


def test_rows_that_are_all_the_same_cant_be_divided() -> None:
    parts, found = divide([b"same"] * 50, Split())
    assert [finding.code for finding in found] == ["FTC371", "FTC371"]
    assert len(parts["train"]) == 50


def test_a_stratum_with_one_row_is_trained_on() -> None:
    strata = ["common"] * 30 + ["rare"]
    for seed in range(20):
        parts, _ = divide(keys_of(31), Split(validation=0.3, test=0.3, seed=seed), strata)
        assert 30 in parts["train"]


def test_files_of_their_own_take_no_rows() -> None:
    parts, found = divide(keys_of(10), Split(validation=0, test=PathSource(path="test.jsonl")))
    assert (parts, found) == ({"train": array("q", range(10))}, [])


@given(count=st.integers(1, 50), most=st.integers(1, 60), seed=st.integers(0, 99))
def test_fewer_training_rows_are_a_part_of_more(count: int, most: int, seed: int) -> None:
    assume(most < count)
    keys = keys_of(count)
    fewer = first_rows(range(count), keys, seed, most)
    more = first_rows(range(count), keys, seed, most + 1)
    assert len(fewer) == most
    assert [*fewer] == sorted(fewer)
    assert set(fewer) < set(more)


@pytest.mark.parametrize(("contents", "count"), [("abc", 0), ("aab", 1), ("aaaa", 3)])
def test_copies_are_counted(contents: str, count: int) -> None:
    assert num_copies([content.encode() for content in contents]) == count


@given(
    classes=st.lists(st.integers(3, 40), min_size=1, max_size=5),
    folds=st.integers(2, 5),
    test=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_folds_share_out_the_rows_that_are_not_test_rows(
    classes: list[int], folds: int, test: float, seed: int
) -> None:
    strata = [f"class {number}" for number, size in enumerate(classes) for _ in range(size)]
    assume(len(strata) >= 4 * folds)
    keys = keys_of(len(strata))
    whole, _ = divide(keys, Split(test=test, seed=seed), strata)
    found = [
        divide(keys, Split(test=test, seed=seed, fold=f"{number} of {folds}"), strata) for number in range(1, folds + 1)
    ]
    assert not any(findings for _, findings in found if test == 0)
    parts = [each for each, _ in found]
    assert all(each.get("test") == whole.get("test") for each in parts), "test rows are the same as without folds"
    validated = [row for each in parts for row in each["validation"]]
    assert sorted(validated) == sorted(set(range(len(keys))) - set(whole.get("test", ())))
    for each in parts:
        assert sorted([*each["train"], *each["validation"]]) == sorted(validated)
        for number in range(len(classes)):
            mine = Counter(strata[row] for row in each["validation"])[f"class {number}"]
            assert abs(mine - sum(strata[row] == f"class {number}" for row in validated) / folds) < 1


def test_groups_and_copies_stay_in_one_fold() -> None:
    groups = [f"customer {number // 4}" for number in range(80)]
    for number in range(1, 5):
        parts, found = divide(keys_of(80), Split(test=0.2, fold=f"{number} of 4"), groups=groups)
        assert not found
        assert len(parts["validation"]) == 16
        assert not {groups[row] for row in parts["validation"]} & {groups[row] for row in parts["train"]}


def test_more_folds_than_groups_are_refused() -> None:
    groups = ["one"] * 20 + ["two"] * 20
    _, found = divide(keys_of(40), Split(test=0, fold="3 of 3"), groups=groups)
    assert [one.path for one in found] == ["data.split.fold"]
