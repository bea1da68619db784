"""A stranger's text in a message shows what it is and changes nothing around it."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from ftc.spec.language.safe_repr import as_yaml, quoted


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


@pytest.mark.parametrize("text", ["Label\n(final)", "bell\x07", "it's", "yes", "Body text", "", "3", "a: b", "Größe"])
def test_yaml_reads_what_was_written(text: str) -> None:
    written = f"fields: {{label: {as_yaml(text)}}}"
    assert "\n" not in written
    assert YAML(typ="safe", pure=True).load(written) == {"fields": {"label": text}}
