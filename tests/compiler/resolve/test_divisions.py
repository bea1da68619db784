"""Divisions by group, by time and by hash keep their promise, whatever the rows."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.compiler.resolve.rows.division import read_division
from ftc.compiler.resolve.rows.splits import divide
from ftc.compiler.resolve.rows.table import Table
from ftc.spec.diagnostics import Refusal
from ftc.spec.sections.data import Data, PathSource, Split

PARTS = ("test", "validation", "train")


def keys_of(count: int) -> list[bytes]:
    return [b"row %d" % number for number in range(count)]


@settings(deadline=None)
@given(
    groups=st.lists(st.integers(0, 12).map(str), min_size=12, max_size=80),
    contents=st.integers(2, 90),
    by=st.sampled_from(["share", "hash"]),
)
def test_no_group_is_in_two_parts(groups: list[str], contents: int, by: str) -> None:
    keys = [b"%d" % (number % contents) for number in range(len(groups))]
    parts, _ = divide(keys, Split(validation=0.2, test=0.2, by=by), groups=groups)  # type: ignore[arg-type]
    of_part = [{groups[row] for row in rows} for rows in parts.values()]
    assert sum(map(len, of_part)) == len(set(groups))
    assert sorted(row for rows in parts.values() for row in rows) == list(range(len(groups)))
    if by == "share":
        assert sum(len({keys[row] for row in rows}) for rows in parts.values()) == len(set(keys)), "nor is a copy"
        assert len(parts["test"]) <= int(len(groups) * Fraction(1, 5) + Fraction(1, 2))


@settings(deadline=None)
@given(times=st.lists(st.integers(0, 30).map(float), min_size=5, max_size=60), copies=st.integers(4, 70))
def test_no_training_row_is_newer_than_a_measured_one(times: list[float], copies: int) -> None:
    keys = [b"%d" % (number % copies) for number in range(len(times))]
    parts, _ = divide(keys, Split(validation=0.2, test=0.2, time="date"), times=times)
    known: dict[bytes, float] = {}
    for row, key in enumerate(keys):
        known[key] = min(times[row], known.get(key, times[row]))
    for newer, older in (("test", "validation"), ("validation", "train"), ("test", "train")):
        if parts[newer] and parts[older]:  # type: ignore[index]
            assert min(known[keys[row]] for row in parts[newer]) >= max(known[keys[row]] for row in parts[older])  # type: ignore[index]


def test_by_hash_no_row_moves_when_others_are_added() -> None:
    split = Split(validation=0.1, test=0.2, by="hash")
    few, _ = divide(keys_of(1000), split)
    many, _ = divide(keys_of(3000), split)
    for part in PARTS:
        assert [*few[part]] == [row for row in many[part] if row < 1000]  # type: ignore[index]
    assert abs(len(many["test"]) - 600) < 70
    assert abs(len(many["validation"]) - 300) < 50


def test_a_group_that_is_mostly_of_one_class_counts_as_it() -> None:
    chance = random.Random(1)
    groups = [str(number // 4) for number in range(400)]
    strata = ["rare" if int(group) % 5 == 0 and chance.random() < 0.9 else "usual" for group in groups]
    parts, found = divide(keys_of(400), Split(validation=0, test=0.2), strata, groups=groups)
    assert not found
    rare = sum(strata[row] == "rare" for row in parts["test"])
    assert len(parts["test"]) == 80
    assert 10 <= rare <= 18, "one fifth of all rare rows is 14"


@pytest.mark.parametrize(
    ("split", "more", "smallest"),
    [
        (Split(validation=0, test=0.01), {}, 0.0250),
        (Split(validation=0, test=0.1, group="g"), {"groups": [str(number // 5) for number in range(20)]}, 0.225),
        (Split(validation=0.5, test=0.1, group="g"), {"groups": [str(number // 5) for number in range(20)]}, 0.225),
        (Split(validation=0, test=0.01, time="t"), {"times": [float(number) for number in range(20)]}, 0.025),
        (Split(validation=0.5, test=0.1, group="g"), {"groups": ["a"] * 20}, None),
    ],
)
def test_the_smallest_ratio_that_works_is_named_and_works(
    split: Split, more: dict[str, Any], smallest: float | None
) -> None:
    parts, found = divide(keys_of(20), split, **more)
    assert not parts["test"]
    about_test = next(finding for finding in found if finding.path == "data.split.test")
    if smallest is None:
        assert "smallest ratio" not in about_test.help[0]
        return
    assert f"the smallest ratio that gives a row is {smallest:g};" in about_test.help[0]
    parts, _ = divide(keys_of(20), split.model_copy(update={"test": smallest}), **more)
    assert parts["test"]


def test_times_are_read_with_and_without_a_zone() -> None:
    stamps = ["2024-05-31", "2024-05-31T01:00:00+02:00", "2024-05-30T22:30:00Z"]
    table = Table("rows.csv", ("date",), [{"date": stamp} for stamp in stamps], [2, 3, 4])
    data = Data(source=PathSource(path="rows.csv"), split=Split(time="date"))
    times = read_division(data, table, None, lambda path: None).times
    assert times is not None
    assert [times[0] - time for time in times] == [0, 3600, 5400]


@pytest.mark.parametrize("odd", ["31.5.2024", "", None, True, 5])
def test_a_time_that_is_none_is_named_with_its_line(odd: object) -> None:
    table = Table("rows.csv", ("date",), [{"date": "2024-05-31"}, {"date": odd}], [2, 3])
    data = Data(source=PathSource(path="rows.csv"), split=Split(time="date"))
    with pytest.raises(Refusal, match="FTC380: column `date` has no valid time in 1 of 2 rows") as caught:
        read_division(data, table, None, lambda path: None)
    assert caught.value.diagnostics[0].notes[0].startswith("rows.csv:3 contains ")
