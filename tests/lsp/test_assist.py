"""Completion and hovering on damaged texts: an editor asks at any moment, and about anything."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("pygls", reason="pygls isn't installed: pip install 'ftc[lsp]'")

from lsprotocol.types import Position

from ftc.lsp import server
from ftc.lsp.outline import outline
from ftc.lsp.positions import Positions
from tests.fuzz.mutations import corpus, mutant

RECIPES = corpus()


@pytest.mark.sample(1)
@pytest.mark.parametrize("start", range(0, 400, 100))
def test_no_text_and_no_place_is_too_odd(start: int) -> None:
    for number in range(start, start + 100):
        text = mutant(number, RECIPES).decode("utf-8", "replace")
        positions, chance = Positions(text), random.Random(number)
        for one in server.diagnostics(server.find(text, None), "file:///r.yaml", None, positions):
            assert one.range.start <= one.range.end
        for _ in range(5):
            place = Position(line=chance.randrange(text.count("\n") + 3), character=chance.randrange(80))
            for item in server.completions(text, place, positions):
                assert item.label
            server.hover(text, place, positions)


@pytest.mark.parametrize("recipe", RECIPES[:2], ids=["bbc-news", "newsdesk"])
def test_every_key_of_a_recipe_is_explained_and_offered(recipe: bytes) -> None:
    text = recipe.decode()
    positions = Positions(text)
    keys = [slot.key for slot in outline(text) if slot.key]
    assert len(keys) > 15
    for key in keys:
        place = positions.range_between(key.start, key.end).start
        explained = server.hover(text, place, positions)
        assert explained is not None
        assert explained.range == positions.range_between(key.start, key.end)
        without = text[: key.start] + text[key.end :]
        offered = server.completions(without, place, Positions(without))
        assert key.plain in [item.label for item in offered]


def test_offsets_and_positions_are_inverse() -> None:
    text = "\ufeffa: 🙂é\r\nb: 🙂🙂\rc\n\n"
    positions = Positions(text)
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] != "\r\n":
            place = positions.range_between(offset, offset).start
            assert positions.offset_of(place) == offset


def test_an_outline_costs_no_more_than_its_text() -> None:
    """Deep nesting neither recurses nor grows without bound."""
    for text in ("a: " + "[{" * 40_000, "- " * 50_000, "a: {b: " * 30_000, "a: 'x\n" * 30_000, " " * 200_000):
        assert all(len(slot.path) < 100 for slot in outline(text))
