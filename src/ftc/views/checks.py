"""What a plan checked, as a list that can be scanned: a line for each check, a mark before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ftc.spec.documents.plan import Check, Plan
from ftc.spec.documents.quality import CheckName
from ftc.views.page import INDENT, Page, escaped, pad, shorten, visible_width

__all__ = ["check_lines"]

_WIDEST_NAME = 28
_COUNTED = ("encoding", "secrets", "personal", "length")
"""Kinds of findings that one check of the rows counts."""


def check_lines(plan: Plan, page: Page, *, shown: Collection[str] = (), whole: bool = False) -> list[str]:
    """The block of a plan's page.

    Args:
        plan: The plan.
        page: Width and colors.
        shown: Codes of findings that the reader sees elsewhere, with place and fix; they aren't repeated.
        whole: Give the whole result of checks that found nothing too, which otherwise is cut at the end of the line.
    """
    checks = [check for check in plan.checks if check.code is None or check.code not in shown]
    names = [escaped(check.name) for check in checks]
    width = min(_WIDEST_NAME, max(map(visible_width, names), default=0))
    lines: list[str] = []
    for check, name in zip(checks, names, strict=True):
        warns = _warns(check, plan)
        mark = page.alert("!") if warns else page.good("✓")
        head = f"{mark} {page.alert(pad(name, width)) if warns else pad(name, width)}  "
        room = page.columns - INDENT - visible_width(head)
        if warns or whole:
            code = f" ({check.code})" if check.code not in (None, check.name) else ""
            lines += _hung(head, check.result + code, room)
        else:
            lines.append(head + shorten(check.result, room))
    return [f"{pad('' if index else 'Checks', INDENT)}{line}".rstrip() for index, line in enumerate(lines)]


def _hung(head: str, result: str, room: int) -> Iterator[str]:
    """The result behind its name, with further lines below its first word."""
    first, *others = Page(columns=room).wrap(escaped(result)) or [""]
    yield head + first
    for line in others:
        yield " " * visible_width(head) + line


def _warns(check: Check, plan: Plan) -> bool:
    """Whether somebody should look at what a check found."""
    if check.code is not None:
        return True
    kinds = {finding.kind for finding in plan.quality.findings}
    match check.name:
        case CheckName.OVERLAP:
            return "overlap" in kinds
        case CheckName.COPIES:
            return "copies" in kinds
        case CheckName.ROWS:
            return not kinds.isdisjoint(_COUNTED)
        case CheckName.CHOICE:
            return True
        case _:
            parts = {CheckName.contamination(one.split) for one in plan.quality.contamination if one.mostly}
            return check.name in parts
