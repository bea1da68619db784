"""Mends of findings, made in the text of a file. Whatever no edit touches stays as it is, comments and order too."""

from __future__ import annotations

from collections.abc import Iterable

from ftc.spec.diagnostics import Diagnostic, Fix, TextEdit
from ftc.spec.language.text_checks import Text

__all__ = ["with_fixes"]

_MARK = "\ufeff"


def with_fixes(content: str, file: str, findings: Iterable[Diagnostic]) -> tuple[str, tuple[Fix, ...]]:
    """A file's text with the safe fixes of findings, and those that were made.

    A fix is made as a whole or not at all: one with an edit in another file, or with one that meets the edit of an
    earlier fix, is left for another time.

    Args:
        content: The text as read; a byte order mark stays.
        file: The name of the file in places.
        findings: What `check_recipe` found in exactly this text.
    """
    mark = _MARK if content.startswith(_MARK) else ""
    text = Text(content.removeprefix(_MARK), file)
    made: list[Fix] = []
    changes: list[tuple[int, int, str]] = []
    for fix in (fix for found in findings for fix in found.fixes):
        if fix.safe and fix.edits and all(edit.span.file == file for edit in fix.edits):
            wanted = [_change(edit, text) for edit in fix.edits]
            if not any(_meet(one, other) for one in wanted for other in changes):
                made.append(fix)
                changes += wanted
    result = text.content
    for start, end, replacement in sorted(changes, reverse=True):
        result = result[:start] + replacement + result[end:]
    return mark + result, tuple(made)


def _change(edit: TextEdit, text: Text) -> tuple[int, int, str]:
    span = edit.span
    return text.offset(span.line, span.column), text.offset(span.end_line, span.end_column), edit.text


def _meet(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    """Whether two changes overlap or begin at the same place."""
    return one[0] == other[0] or (one[0] < other[1] and other[0] < one[1])
