"""Diffs of a file's text."""

from __future__ import annotations

from typing import Any

from ftc.spec.base import Effect
from ftc.spec.documents.difference import Difference
from ftc.views.difference import diff_text, difference_text
from ftc.views.page import Page


def test_a_diff_shows_what_changes_and_what_is_around() -> None:
    text = diff_text(["a", "b", "c"], ["a", "x", "c"], "r.yaml")
    assert text == "--- a/r.yaml\n+++ b/r.yaml\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
    assert diff_text(["a"], ["a"], "r.yaml") == ""


def test_a_diff_can_not_steer_the_terminal() -> None:
    assert "\x1b" not in diff_text(["a\x1b[2J"], ["b"], "r.yaml")
    assert "\x1b[" in diff_text(["a"], ["b"], "r.yaml", page=Page(color=True))


def _difference(**changes: Any) -> Difference:
    change = {
        "path": "train.learning_rate",
        "old": "0.0002",
        "new": "0.001",
        "reason": "setting",
        "effect": Effect.NUMERICS,
    }
    sides = [{"kind": "run", "name": name, "sha256": "a" * 64} for name in ("3f2a", "b81c")]
    fields = {"old": sides[0], "new": sides[1], "level": "plan", "changes": (change,), "unchanged": 438, "outcomes": ()}
    return Difference.model_validate({**fields, "action": "retrain", "not_checked": (), **changes})


def test_a_narrow_page_leaves_nothing_out() -> None:
    wide, narrow = (difference_text(_difference(), page=Page(columns=columns)) for columns in (100, 48))
    assert max(map(len, narrow.splitlines())) <= 60
    assert sorted(narrow.split()) == sorted(wide.split())


def test_two_finished_runs_ask_for_nothing() -> None:
    text = difference_text(_difference(action="nothing"))
    assert text.splitlines()[-1] == "1 change. Nothing to do; both runs are finished."
    assert difference_text(_difference()).splitlines()[-1].endswith("To do: train again and evaluate.")
