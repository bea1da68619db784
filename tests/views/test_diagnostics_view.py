"""Findings as a user sees them, compared with golden files, and what every rendering promises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.spec.diagnostics import Diagnostic, Fix, Related, Severity, Span, TextEdit, diagnostic
from ftc.spec.language.source import read_source, shown_lines
from ftc.views.diagnostics import count, render_github, render_json, render_sarif, render_text
from ftc.views.page import escaped, width, wrapped

FILE = "recipes/bbc-news.yaml"
LINES = """\
ftc: 1
name: bbc-news
data:
  source: {path: data/bbc.csv}
  fields: {text: article, label: topic}


  # the paper's split
  split: {test: 0.1}
model: {base: models/minilm}

strategy: {kind: lora, rank: 16}
train:
  learning_rat: 2e-4
  epochs: 3
  seed: 17
  early_stopping: {metric: val_loss, patience: 2}
budget:
  device: rtx-4090

  vram: 24GiB
""".splitlines()
SOURCES = {FILE: LINES}

Golden = Callable[[str, str], None]


def span(line: int, column: int, length: int, file: str = FILE) -> Span:
    return Span(file, line, column, line, column + length)


def findings() -> list[Diagnostic]:
    """One finding of each shape. The codes only need to be in the table."""
    early = diagnostic(
        "FTC003",
        "`early_stopping` needs validation data",
        span(17, 3, 14),
        label="watches a split that does not exist",
        related=[Related(span(9, 10, 11), "no validation share here")],
        help="add `validation: 0.1` to `data.split`, or drop `early_stopping`",
    )
    memory = diagnostic(
        "FTC002",
        "needs 31.2 GiB, the budget is 24.0 GiB",
        span(21, 9, 5),
        label="peak 31.2 GiB (30.4–31.9) in the backward of the head, by trace",
        help="the smallest changes that fit\n1  train.micro_batch     2 → 1            22.9 GiB    9 % slower\n"
        "2  train.checkpointing   off → on         19.4 GiB   27 % slower",
    )
    key = diagnostic(
        "FTC001",
        "unknown key `learning_rat`",
        span(14, 3, 12),
        label="did you mean `learning_rate`?",
        help="rename the key; `ftc validate --fix` does it",
        fixes=[Fix("rename it", (TextEdit(span(14, 3, 12), "learning_rate"),), safe=True)],
        path="train.learning_rat",
    )
    warning = diagnostic(
        "FTC010",
        "two of the values make each other useless",
        span(15, 3, 6),
        label="first",
        related=[
            Related(span(15, 11, 1), "on the same line"),
            Related(span(17, 3, 14), "two lines below"),
            Related(span(2, 1, 4, "base.yaml"), "inherited from here"),
        ],
        help=["change one", "or change the other; " + "this help is long and so it goes on for more than one row " * 2],
        notes=["a figure", "another figure"],
        severity=Severity.WARNING,
    )
    nowhere = diagnostic("FTC013", "no place", help="nothing to do", severity=Severity.NOTE)
    return [nowhere, warning, memory, early, key]


def test_text(golden: Golden) -> None:
    golden("findings.txt", render_text(findings(), SOURCES))


def test_text_in_color_says_the_same(golden: Golden) -> None:
    colored = render_text(findings(), SOURCES, color=True)
    golden("findings.ansi.txt", colored)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render_text(findings(), SOURCES)


def test_narrow_text(golden: Golden) -> None:
    golden("narrow.txt", render_text(findings(), SOURCES, width=60))


def test_json(golden: Golden) -> None:
    golden("findings.json", render_json(findings()))


def test_github(golden: Golden) -> None:
    golden("findings.github.txt", render_github(findings()))


def test_sarif(golden: Golden) -> None:
    golden("findings.sarif", render_sarif(findings()))


RECIPE_WITH_FAULTS = (
    "name: sms \x1b[31mx\ntrain:\n  num-epochs: 3\n  l\u0435arning_rate: 2e-4\n  seed: 17\n"
    "  label: {\u65e5\u672c: 1, x: &x 3}\n"
    f'  long: "{"a" * 120} ${{HOME}} {"b" * 120}"\n  token: hf_abcdefghijklmnopqrstuvwxyz\n  seed: 18\ndata:\n\tx: 1\n'
)


def test_a_recipe_full_of_faults(golden: Golden) -> None:
    source, found = read_source(RECIPE_WITH_FAULTS, "r.yaml")
    assert source is None
    golden("faulty_recipe.txt", render_text(found, {"r.yaml": shown_lines(RECIPE_WITH_FAULTS)}))


def test_counts() -> None:
    assert count(findings()) == "3 errors, 1 warning, 1 note"
    assert count([]) == ""
    assert render_text([], {}) == ""


def test_json_and_sarif_are_complete() -> None:
    document = json.loads(render_json(findings()))
    assert document["schema"] == "ftc.diagnostics/1"
    assert document["counts"] == {"error": 3, "warning": 1, "note": 1}
    assert len(document["diagnostics"]) == 5
    (run,) = json.loads(render_sarif(findings()))["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[result["ruleIndex"]] for result in run["results"]] == [result["ruleId"] for result in run["results"]]


def test_github_commands_keep_to_one_line_each() -> None:
    hostile = diagnostic("FTC001", "a\n::error::b, c: 100%\r\x1b[2J", Span("a,b:c.yaml", 1, 2, 3, 4), help="x\ny")
    (line,) = render_github([hostile]).splitlines()
    assert line.startswith("::error file=a%2Cb%3Ac.yaml,line=1,endLine=3,title=")
    assert "\x1b" not in line
    assert "100%25" in line


def test_carets_stand_under_wide_and_unseen_characters() -> None:
    line = "k: \u65e5\u672ce\u0301\x07 = X"
    text = render_text([diagnostic("FTC001", "s", span(1, 12, 1, "f"))], {"f": [line]})
    rows = text.splitlines()
    source, carets = rows[3], rows[4]
    assert "\\x07" in source
    assert width(source[: source.index("X")]) == width(carets[: carets.index("^")])


def test_escaped() -> None:
    assert escaped("a\x1b[31m\u202e\u200b\n") == "a\\x1b[31m\\u{202e}\\u{200b}\\x0a"
    assert escaped("caf\u00e9 \u65e5\u00a0") == "caf\u00e9 \u65e5\u00a0"


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("\u65e5\u672c", 4), ("e\u0301", 1), ("\uff21", 2), ("", 0)])
def test_width(text: str, cells: int) -> None:
    assert width(text) == cells


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("a  b", ["a  b"]),
        ("abcdefghij", ["abcdefg", "hij"]),
        ("\u65e5\u672c\u8a9e\u65e5", ["\u65e5\u672c\u8a9e", "\u65e5"]),
        ("   abcdefg", ["   abcd", "efg"]),
    ],
)
def test_wrapped(text: str, rows: list[str]) -> None:
    assert wrapped(text, 7) == rows


SPANS = st.builds(
    lambda line, column, lines, columns: Span("f", line, column, line + lines, column + columns),
    *(st.integers(1, 6), st.integers(1, 200), st.integers(0, 2), st.integers(0, 200)),
)
TEXTS = st.text(max_size=150)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(max_size=200), max_size=5), SPANS, SPANS, TEXTS, TEXTS, st.integers(20, 120))
def test_any_finding_is_shown_within_the_width_and_moves_no_cursor(
    lines: list[str], place: Span, other: Span, summary: str, label: str, columns: int
) -> None:
    found = diagnostic("FTC001", summary, place, label=label, help=label, related=[Related(other, label)])
    text = render_text([found], {"f": lines}, width=columns)
    assert all(character == "\n" or character.isprintable() or not character.isascii() for character in text)
    assert not any(character in text for character in "\x9b\u202e\u2028\x85")
    snippet = [row for row in text.split("\n") if re.match(r" *\d* \| ", row)]
    assert all(width(row) <= max(columns, 28) for row in snippet)
    for machine in (render_json([found]), render_sarif([found])):
        assert json.loads(machine)
    assert render_github([found]).count("\n") == 1
