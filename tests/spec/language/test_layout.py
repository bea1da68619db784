"""The layout of recipes: what moves, what stays, and that laying out twice is laying out once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.spec.diagnostics import Refusal
from ftc.spec.language.layout import laid_out
from ftc.spec.language.source import read_source_bytes
from ftc.spec.sections.recipe import Recipe

ROOT = Path(__file__).parents[3]
UNTIDY = """\
# yaml-language-server: $schema=recipe.schema.json
# Spam or not.


name: tiny   # short
ftc: 1
train:
    epochs: 3       # three
    # The seed of the paper.
    seed: 0x11


    # Slow and safe.
    schedule:
        kind: cosine
        # for now
    # learning_rate: 1e-4
# Rows of last week.
data:
    source:
    -   path: "a.csv"
        # half
    - path: 'b.csv'
    fields: {text: a,
             label: b}   # both
task:
    kind: generation
    prompt: |
        Hello

          {{ name }}
    system: one
      two

# The end.
"""


def test_an_untidy_recipe(golden: Callable[[str, str], None]) -> None:
    golden("laid_out.yaml", laid_out(UNTIDY.encode(), "r.yaml").decode())


def test_a_tidy_recipe_stays() -> None:
    for file in [*ROOT.glob("recipes/**/*.yaml"), Path(__file__).parent / "golden" / "laid_out.yaml"]:
        data = file.read_bytes()
        assert laid_out(data, file.name) == data, file.name


def test_line_ends_are_those_of_the_file() -> None:
    assert laid_out(b"\xef\xbb\xbfname: a\r\nftc: 1", "r.yaml") == b"ftc: 1\r\nname: a\r\n"


@pytest.mark.parametrize("text", ["{name: a, ftc: 1}\n", "# c\n\n{name: a,\n  ftc: 1}\n"])
def test_one_bracket_has_no_lines_to_order(text: str) -> None:
    assert laid_out(text.encode(), "r.yaml") == text.encode()


def test_a_document_mark_stays_first() -> None:
    assert laid_out(b"# c\n---\nname: a\nftc: 1\n", "r.yaml") == b"# c\n---\nftc: 1\nname: a\n"


def test_what_can_not_be_read_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        laid_out(b"name: a\nname: b\n", "r.yaml")
    assert [found.code for found in refused.value.diagnostics] == ["FTC003"]


@pytest.mark.parametrize("text", ["? name\n: a\nftc: 1\n", "name: |+\n  a\n\n\nftc: 1\n"], ids=["key", "kept ends"])
def test_what_would_change_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        laid_out(text.encode(), "r.yaml")
    assert [found.code for found in refused.value.diagnostics] == ["FTC026"]


def test_a_block_may_tell_its_own_indentation() -> None:
    text = b"task:\n    prompt: |2\n         a\n        b\n"
    assert laid_out(text, "r.yaml") == b"task:\n  prompt: |2\n       a\n      b\n"


_WORDS = st.sampled_from(["a", "1", "'b c'", '"#d"', "1e-4", "~", "[x, y]", "{k: v}", "", "|\n{i}    x\n\n{i}     y"])
_SECTIONS = st.sampled_from([*Recipe.model_fields, "other"])
_NOISE = st.sampled_from(["", "", "\n", "{i}# c\n", "\n# top\n", "\n\n{i}  # deep\n"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Recipes in every bad habit: any indentation, lists at any column, comments and blank lines anywhere."""

    def block(indent: int, depth: int) -> str:
        keys = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
        return "".join(entry(key, indent, depth) for key in keys)

    def entry(key: str, indent: int, depth: int) -> str:
        lead, step = " " * indent, draw(st.integers(1, 4))
        noise = draw(_NOISE).replace("{i}", lead)
        match draw(st.integers(0, 3 if depth < 3 else 0)):
            case 1:
                return f"{noise}{lead}{key}:  # d\n{block(indent + step, depth + 1)}"
            case 2:
                dash = indent + draw(st.integers(0, 3))
                items = [item(dash, depth) for _ in range(draw(st.integers(1, 3)))]
                return f"{noise}{lead}{key}:\n{''.join(items)}"
            case _:
                return f"{noise}{lead}{key}: {draw(_WORDS).replace('{i}', lead)}\n"

    def item(dash: int, depth: int) -> str:
        gap = draw(st.integers(1, 3))
        body = block(dash + 1 + gap, depth + 1).lstrip(" ") if draw(st.booleans()) else "x  # e\n"
        if body[:1] in "#\n":
            body = "x\n"
        return f"{' ' * dash}-{' ' * gap}{body}"

    names = draw(st.lists(_SECTIONS, min_size=1, max_size=5, unique=True))
    return "".join(entry(name, 0, 0) for name in names) + draw(_NOISE).replace("{i}", "")


def _said(data: bytes) -> dict[str, Any] | None:
    source, _ = read_source_bytes(data, "r.yaml")
    return source.plain() if source else None


@given(texts())
def test_the_layout_says_the_same_and_stays(text: str) -> None:
    data = text.encode()
    if (said := _said(data)) is None:
        return
    once = laid_out(data, "r.yaml")
    assert _said(once) == said
    assert laid_out(once, "r.yaml") == once
    comments = sorted(line.strip() for line in text.splitlines() if line.strip().startswith("#"))
    assert sorted(line.strip() for line in once.decode().splitlines() if line.strip().startswith("#")) == comments
