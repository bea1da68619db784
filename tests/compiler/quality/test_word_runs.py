"""Runs of words are the same in whichever way they are sorted."""

from __future__ import annotations

import random

import pytest

from ftc.compiler.quality import word_runs
from ftc.compiler.quality.word_runs import Words


def texts_of(lengths: list[int]) -> list[list[bytes]]:
    draw = random.Random(3)
    return [[b"%d" % draw.randrange(4) for _ in range(length)] for length in lengths]


def runs_of(texts: list[list[bytes]]) -> list[list[int]]:
    """The runs of each text, all texts at once."""
    words = Words()
    for text in texts:
        words.add(text)
    runs, counts = words.runs()
    left = iter(runs.tolist())
    return [[next(left) for _ in range(count)] for count in counts.tolist()]


@pytest.mark.parametrize(
    "lengths",
    [[20, 30, 25] * 20, [0, 3, 4, 5] * 9, [5] * 40 + [900], [], [0], [2]],
    ids=["about as long", "short", "one is longer", "none", "empty", "too short"],
)
def test_each_text_has_its_own_runs_sorted_and_once(lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_of(lengths)
    found = runs_of(texts)
    assert found == [runs_of([text])[0] for text in texts]
    for text, runs in zip(texts, found, strict=True):
        assert len(runs) == len({tuple(text[at : at + 4]) for at in range(len(text) - 3)})
        assert runs == sorted(runs)
    for most in (0, 10**6):  # never in a table, and always
        monkeypatch.setattr(word_runs, "_MOST_PADDING", most)
        assert runs_of(texts) == found
