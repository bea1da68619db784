"""Pages: lines that fit, colors that carry nothing alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.views.page import Page, pad, shorten, table, visible_width

WORDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
)


def test_a_flow_breaks_only_between_parts() -> None:
    lines = Page(columns=30).flow("Data", ["1,701 rows", "validation 213", "test 213"])
    assert lines == ["Data       1,701 rows", "           validation 213", "           test 213"]


@pytest.mark.parametrize("color", [False, True])
def test_a_long_label_keeps_its_distance(color: bool) -> None:
    page = Page(columns=40, color=color)
    for label in ("eleven char", "twelve chars"):
        assert page.flow(page.strong(label), ["eval.json"]) == [f"{page.strong(label)} eval.json"]
    assert page.flow("", ["eval.json"], indent=0) == ["eval.json"]


def test_an_end_stands_at_the_right_or_below() -> None:
    page = Page(columns=30)
    assert page.flow("Lock", ["3 files"], end="new") == ["Lock       3 files         new"]
    assert page.flow("Lock", ["x" * 18], end="new") == ["Lock       " + "x" * 18, " " * 27 + "new"]


@given(WORDS, st.integers(40, 100))
def test_no_line_of_a_flow_is_too_wide(parts: list[str], columns: int) -> None:
    assert all(visible_width(line) <= columns for line in Page(columns=columns).flow("Label", parts))


@given(st.text(max_size=400), st.integers(4, 60))
def test_shortened_text_fits_one_line_and_is_harmless(text: str, columns: int) -> None:
    short = shorten(text, columns)
    assert visible_width(short) <= columns
    assert short.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f]", short)


def test_wide_characters_and_colors_count_as_they_are_seen() -> None:
    assert visible_width("日本") == 4
    assert visible_width(Page(color=True).good("fits")) == 4
    assert pad(Page(color=True).bad("no"), 4).endswith("  ")


def test_tables_align_numbers_to_the_right() -> None:
    assert table([("a", "1"), ("long", "213")], right=(1,), indent=2) == ["  a       1", "  long  213"]


def test_without_color_there_is_no_escape() -> None:
    page = Page()
    painted = [page.strong("a"), page.faint("a"), page.good("a"), page.bad("a"), page.alert("a"), page.accent("a")]
    assert painted == ["a"] * 6


def test_wrapped_sentences_keep_their_indent() -> None:
    assert Page(columns=20).wrap("    ~ model: one two three") == ["    ~ model: one two", "    three"]
