"""A recipe without a mistake is read section by section, and is what reading it as a whole makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ftc.spec.language.sound import read_sound
from ftc.spec.language.source import read_source_bytes
from ftc.spec.sections.recipe import Recipe

ROOT = Path(__file__).parents[3]
RECIPES = sorted((*ROOT.glob("recipes/*/*.yaml"), *ROOT.glob("tests/diagnostics/FTC*/*.yaml")))
SMALL = {
    "ftc": 1,
    "name": "small",
    "task": {"kind": "chat"},
    "data": {"source": {"path": "rows.jsonl"}},
    "model": {"base": "model"},
    "strategy": {"kind": "full"},
}
BUILT = """
from ftc.spec.language.sound import read_sound
from ftc.spec.strategies import STRATEGIES
from ftc.spec.tasks import TASKS
assert read_sound({plain!r})
sections = (*TASKS, *(card.recipe for card in STRATEGIES))
print(*sorted(one.__name__ for one in sections if one.__pydantic_complete__))
"""


def as_a_whole(plain: dict[str, Any]) -> Recipe | None:
    try:
        return Recipe.model_validate(plain)
    except ValidationError:
        return None


def test_every_recipe_here_is_read_alike() -> None:
    read = sound = 0
    for path in RECIPES:
        source, _ = read_source_bytes(path.read_bytes(), path.name)
        if source is None:
            continue
        plain = source.plain()
        whole, found = as_a_whole(plain), read_sound(plain)
        assert found == whole, path
        if whole is not None and found is not None:
            assert found.model_fields_set == whole.model_fields_set, path
            assert list(vars(found)) == list(vars(whole)), path
            assert found.to_json() == whole.to_json(), path
            sound += 1
        read += 1
    assert sound > 50
    assert read > sound


@pytest.mark.parametrize(
    "change",
    [
        {"ftc": 2},
        {"name": "A b"},
        {"unknown": 1},
        {"task": "chat"},
        {"task": None},
        {"task": {"kind": "none of them"}},
        {"task": {}},
        {"task": {"kind": ["chat"]}},
        {"strategy": {"kind": "full", "rank": 4}},
        {"train": None},
        {"train": {"epochs": -1}},
        {"extends": None},
        {"track": {"tensorboard": {}}},
        {"budget": {"threads": 1}},
        {1: 2},
    ],
    ids=repr,
)
def test_odd_values_are_read_alike(change: dict[Any, Any]) -> None:
    plain = SMALL | change
    assert read_sound(plain) == as_a_whole(plain)


def test_a_section_that_is_null_is_left_to_who_reads_the_whole() -> None:
    assert read_sound(SMALL | {"track": None}) is None
    assert as_a_whole(SMALL | {"track": None}) is not None


@pytest.mark.parametrize("key", SMALL)
def test_nothing_that_a_recipe_needs_may_be_missing(key: str) -> None:
    assert read_sound({name: value for name, value in SMALL.items() if name != key}) is None


def test_no_other_kind_of_task_or_strategy_is_built() -> None:
    command = [sys.executable, "-c", BUILT.format(plain=SMALL)]
    built = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert built == ["Chat", "Full"]
