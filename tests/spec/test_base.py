"""Units, and documents that survive the way to a file and back."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

from ftc.spec.base import SparseDocument, parse_bytes, parse_duration, parse_money
from ftc.spec.sections.recipe import Recipe
from tests.support.recipes import parsed


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GiB", 24 * 2**30), ("512 MiB", 512 * 2**20), ("80GB", 80 * 10**9), ("1.5KiB", 1536), ("7B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["24", "24Gib", "GiB", "-1GiB", "1e3GiB", "24 GiB GiB", "٣GiB x"])
def test_sizes_in_other_units_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a number and a unit"):
        parse_bytes(text)


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90 min", 5400), ("1.5d", 129600), ("0.1s", 1)])
def test_durations_round_up(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


def test_money() -> None:
    assert parse_money("5 USD") == (5.0, "USD")
    assert parse_money("0.40EUR") == (0.4, "EUR")
    with pytest.raises(ValueError, match="currency"):
        parse_money("5 dollars")


def test_a_recipe_survives_the_file_exactly() -> None:
    recipe = parsed(train={"learning_rate": 3e-5, "epochs": 0.1}, budget={"vram": "24GiB", "time": "2h"})
    assert Recipe.model_validate_json(recipe.to_text()) == recipe


def test_documents_are_frozen() -> None:
    recipe = parsed()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.name = "other"


def test_digests_depend_on_content_alone() -> None:
    assert parsed().digest() == parsed().digest()
    assert parsed(train={"seed": 18}).digest() != parsed().digest()


class Sparse(SparseDocument):
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("later",)

    first: int = 1
    later: int | None = None


class Sparser(Sparse):
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("names",)

    names: dict[str, int] = Field(default_factory=dict)


def test_fields_that_came_later_are_absent_at_their_default_in_subclasses_too() -> None:
    assert Sparse().to_json() == {"first": 1}
    assert Sparse(later=0).to_json() == {"first": 1, "later": 0}, "zero is a value"
    assert Sparser().to_json() == {"first": 1}
    assert Sparser(later=2, names={"a": 1}).to_json() == {"first": 1, "later": 2, "names": {"a": 1}}
    assert Sparser.model_validate_json(Sparser(later=2).to_text()) == Sparser(later=2)
    assert Sparser(first=1, later=2).said() == {"later": 2}
