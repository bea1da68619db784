"""Lines that print what a graph says of texts, run on texts whose words are easily mistaken for each other."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ftc.spec.head_programs import TAGS


def test_each_word_has_the_tag_of_its_own_place(capsys: pytest.CaptureFixture[str]) -> None:
    """A word that stands in the one before it, or twice in a row, is found behind it."""
    given = {
        "texts": ["park a a"],
        "encoded": [SimpleNamespace(offsets=[(0, 4), (4, 6), (6, 8)])],
        "outputs": {"logits": [np.eye(3)]},
        "names": ["B-x", "O", "I-x"],
    }
    exec("\n".join(TAGS), given)  # noqa: S102 - the program's own lines
    assert capsys.readouterr().out == "park/B-x a/O a/I-x\n"
