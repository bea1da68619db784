"""One form of a row's name, everywhere."""

from __future__ import annotations

from ftc.spec.row_names import row_list, row_name, shown_row


def test_a_row_is_named_by_file_and_line() -> None:
    assert row_name("data/tickets.csv", 38, 36) == "data/tickets.csv:38"
    assert row_name("data/tickets.parquet", None, 36) == "data/tickets.parquet#37", "no lines: the row's number, from 1"


def test_several_rows_name_their_file_once() -> None:
    assert row_list(["a.csv:3", "a.csv:7"], 2) == "a.csv:3, 7"
    assert row_list(["a.csv:3", "b.csv:3", "a.csv:9", "b.parquet#2"], 16) == (
        "a.csv:3, b.csv:3, a.csv:9, b.parquet#2 and 12 more"
    )
    assert row_list(["a:b.csv:3", "a:b.csv:4"], 2) == "a:b.csv:3, 4"


def test_a_run_without_names_shows_numbers_from_one() -> None:
    assert (shown_row("a.csv:3", 1), shown_row("", 1)) == ("a.csv:3", "row 2")
