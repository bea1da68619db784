"""A stranger's text in a message shows what it is and changes nothing around it."""

from __future__ import annotations

import pytest

from ftc.spec.language.safe_repr import quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("data/über.csv", "`data/über.csv`"),
        ("it's", "`it's`"),
        ("a\nb\x1b[0m", "`a\\u{a}b\\u{1b}[0m`"),
        ("a\u200b\ud800", "`a\\u{200b}\\u{d800}`"),
        ("x" * 81, f"`{'x' * 79}…`"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert quoted(text) == shown
