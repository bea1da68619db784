"""Suggestions for mistyped words."""

from __future__ import annotations

import pytest

from ftc.spec.language.did_you_mean import nearest

KEYS = [
    "learning_rate",
    "rank",
    "epochs",
    "batch_size",
    "seed",
    "alpha",
    "targets",
    "weight_decay",
    "kind",
    "path",
    "dropout",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("learning_rte", "learning_rate"),
        ("learning_rat", "learning_rate"),
        ("rnak", "rank"),
        ("Batch-Size", "batch_size"),
        ("epoch", "epochs"),
        ("sed", "seed"),
        ("lora", None),
        ("xyzzy", None),
        ("", None),
        ("a" * 100_000, None),
    ],
)
def test_nearest(word: str, meant: str | None) -> None:
    assert nearest(word, KEYS) == meant
