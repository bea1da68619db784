"""Diffs of a file's text."""

from __future__ import annotations

from ftc.views.difference import diff_text
from ftc.views.page import Page


def test_a_diff_shows_what_changes_and_what_is_around() -> None:
    text = diff_text(["a", "b", "c"], ["a", "x", "c"], "r.yaml")
    assert text == "--- a/r.yaml\n+++ b/r.yaml\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
    assert diff_text(["a"], ["a"], "r.yaml") == ""


def test_a_diff_can_not_steer_the_terminal() -> None:
    assert "\x1b" not in diff_text(["a\x1b[2J"], ["b"], "r.yaml")
    assert "\x1b[" in diff_text(["a"], ["b"], "r.yaml", page=Page(color=True))
