"""Rows token by token: what is learned stands in brackets, with and without color."""

from __future__ import annotations

from ftc.spec.documents.tokenized import Token, TokenizedRow, TokenizedRows
from ftc.views.page import Page, visible_width
from ftc.views.tokens import tokens_text


def row_of(*pieces: str, learned: str = "", label: str | None = None, at_limit: bool = False) -> TokenizedRow:
    marks = learned or "." * len(pieces)
    tokens = tuple(
        Token(id=number + 3, piece=piece, supervised=mark == "x")
        for number, (piece, mark) in enumerate(zip(pieces, marks, strict=True))
    )
    return TokenizedRow(row=7, tokens=tokens, prompt_tokens=2, label=label, is_at_limit=at_limit)


def text_of(row: TokenizedRow, page: Page | None = None, cut: int = 0, listed: bool = False) -> str:
    found = TokenizedRows(split="train", rows=(row,), of=1200, cut=cut, max_length=64, stop_ids=(7,))
    return tokens_text(found, listed=listed, page=page or Page())


def test_what_is_learned_stands_in_brackets() -> None:
    text = text_of(row_of("<s>", "ask\n", "an", "swer", "</s>", "\n", learned="..xxx."))
    assert text == (
        "train row 7   6 tokens · 3 target tokens · ends with </s>\n"
        "  <s>ask⏎\n"
        "  ⟦answer</s>⟧⏎\n"
        "\n"
        "⟦target⟧ and read · 1,200 rows in train\n"
    )


def test_a_row_has_its_name_and_the_tokens_of_each_of_its_sequences() -> None:
    row = row_of("a", "b", "c", learned=".x.").model_copy(update={"place": "data/a.csv:38", "sequences": (2, 1)})
    assert text_of(row).startswith("train data/a.csv:38   3 tokens (2 + 1) · ")


def test_a_row_that_teaches_no_end_says_so() -> None:
    assert "no stop token is trained on" in text_of(row_of("a", " b", learned=".x"))


def test_a_class_is_named_and_cut_rows_are_counted() -> None:
    text = text_of(row_of("a", label="spam", at_limit=True), cut=30)
    assert "class spam · at the maximum length (64)" in text
    assert (
        "training labels: one per row, no target tokens · 1,200 rows in train\n30 of them truncated to 64 tokens"
        in text
    )


def test_each_token_in_a_line() -> None:
    lines = text_of(row_of("a", "\n", "", "b", learned="..xx"), listed=True).splitlines()
    assert lines[1:5] == [
        "  0  3  read    a",
        "  1  4  read    ⏎",
        "  2  5  target  (part of a character)",
        "  3  6  target  b",
    ]


def test_nothing_in_a_row_steers_the_terminal_or_leaves_the_page() -> None:
    row = row_of("\x1b[2J", *(f" word{number}" for number in range(60)), " 日本" * 20, learned="." * 30 + "x" * 32)
    plain, colored = text_of(row, Page(columns=60)), text_of(row, Page(color=True, columns=60))
    assert "\x1b" not in plain
    assert "\\x1b[2J" in plain
    assert all(visible_width(line) <= 60 or " 日本" in line for line in colored.splitlines())
    assert "\x1b[32m" in colored
