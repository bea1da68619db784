"""Labels that a person takes for one."""

from __future__ import annotations

import pytest

from ftc.compiler.quality.spellings import DIFFERENCES, odd_labels, separating, slips, spellings, variants
from ftc.spec.sections.data import Difference

SPACE: tuple[Difference, ...] = ("space",)


def test_the_most_frequent_spelling_names_the_class() -> None:
    counts = {"SMS": 40, "sms": 3, "Sms ": 1, "e-mail": 7}
    assert variants(counts) == [["SMS", "sms", "Sms "]]
    assert spellings(counts, DIFFERENCES) == {"sms": "SMS", "Sms ": "SMS"}
    assert spellings(counts, SPACE) == {"Sms ": "Sms"}, "case makes a class unless it is asked away"
    assert spellings(counts, DIFFERENCES, declared=("sms", "e-mail")) == {"SMS": "sms", "Sms ": "sms"}


def test_a_frequent_blank_at_the_end_is_no_part_of_a_name() -> None:
    assert spellings({"billing ": 9, "billing": 2}, SPACE) == {"billing ": "billing"}
    assert spellings({"billing ": 9, "Billing": 2, "billing": 1}, DIFFERENCES) == {
        "billing ": "billing",
        "Billing": "billing",
    }


@pytest.mark.parametrize(
    ("labels", "kinds"),
    [
        (("a", "A"), ("case",)),
        (("a b", "a  b"), ("space",)),
        (("a b", "a\u00a0b"), ("space",)),
        (("ab", "a\u200bb"), ("space",)),
        (("caf\u00e9", "cafe\u0301"), ("unicode",)),
        (("a", "A "), ("case", "space")),
        (("Stra\u00dfe", "STRASSE"), ("case",)),
    ],
)
def test_what_keeps_two_labels_apart(labels: tuple[str, str], kinds: tuple[str, ...]) -> None:
    groups = variants(dict.fromkeys(labels, 1))
    assert len(groups) == 1
    assert separating(groups) == kinds


def test_what_is_no_variant() -> None:
    assert variants({"us": 4, "uk": 4}) == []
    assert variants({"\u0645\u06cc\u200c\u062e\u0648": 1, "\u0645\u06cc\u062e\u0648": 1}) == [], "a joiner is spelling"


def test_slips_are_one_letter_away_from_a_large_class() -> None:
    counts = {"warm": 16, "wram": 1, "wamr": 1, "warmm": 1, "war": 1, "worm": 1, "cold": 16, "ward": 2, "level 1": 30}
    assert slips(counts | {"level 2": 1}) == dict.fromkeys(("wram", "wamr", "warmm", "worm"), "warm")
    assert slips({"warm": 9, "wram": 1}) == {}, "nine rows are no large class"
    assert odd_labels({"a": 20, "A": 5, "warm": 16, "wram": 1}) == {"A", "wram"}
