"""What a verb would change in a file, as a unified diff."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import unified_diff

from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page

__all__ = ["diff_text"]


def diff_text(before: Sequence[str], after: Sequence[str], file: str, *, page: Page = PLAIN) -> str:
    """The difference between two texts of one file, with three lines around each change; empty where there is none.

    Args:
        before: Lines as they are, as `shown_lines` gives them: a diff shows no secret.
        after: Lines as they would be.
        file: Name of the file.
        page: Colours.
    """
    lines = unified_diff(before, after, f"a/{file}", f"b/{file}", lineterm="")
    return "".join(f"{_painted(escaped(line), page)}\n" for line in lines)


def _painted(line: str, page: Page) -> str:
    match line[:3], line[:1]:
        case (("---" | "+++"), _):
            return page.strong(line)
        case _, "-":
            return page.alert(line)
        case _, "+":
            return page.good(line)
        case _, "@":
            return page.faint(line)
        case _:
            return line
