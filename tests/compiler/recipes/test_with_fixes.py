"""Fixes in the text: only safe ones, whole ones, and none that meet."""

from __future__ import annotations

from ftc.compiler.recipes.edits import with_fixes
from ftc.spec.diagnostics import Diagnostic, Fix, Span, TextEdit, diagnostic


def finding(*edits: tuple[int, int, int, str], safe: bool = True, file: str = "r.yaml") -> Diagnostic:
    changes = tuple(TextEdit(Span(file, line, start, line, end), text) for line, start, end, text in edits)
    return diagnostic("FTC104", "unknown key", fixes=[Fix("rename", changes, safe=safe)])


def test_edits_are_made_from_the_end_to_the_start() -> None:
    text, made = with_fixes("aa: 1\nbb: 2\n", "r.yaml", [finding((1, 1, 3, "long")), finding((2, 1, 3, "b"))])
    assert (text, len(made)) == ("long: 1\nb: 2\n", 2)


def test_what_meets_an_earlier_fix_waits() -> None:
    found = [finding((1, 1, 3, "x")), finding((1, 2, 4, "y"), (2, 1, 3, "z")), finding((1, 1, 1, "w"))]
    assert with_fixes("aa: 1\nbb: 2\n", "r.yaml", found) == ("x: 1\nbb: 2\n", found[0].fixes)


def test_unsafe_fixes_and_other_files_are_left_alone() -> None:
    found = [finding((1, 1, 3, "x"), safe=False), finding((2, 1, 3, "y"), file="base.yaml")]
    assert with_fixes("aa: 1\nbb: 2\n", "r.yaml", found) == ("aa: 1\nbb: 2\n", ())


def test_line_ends_and_byte_order_mark_stay() -> None:
    text, _ = with_fixes("\ufeffaa: 1\r\nbb: 2\rcc: 3", "r.yaml", [finding((2, 1, 3, "b")), finding((3, 1, 3, "c"))])
    assert text == "\ufeffaa: 1\r\nb: 2\rc: 3"
