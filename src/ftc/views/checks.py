"""What a plan checked, as a list that can be scanned: a line for each check, a mark before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ftc.spec.documents.plan import Check, Plan
from ftc.spec.documents.quality import CheckName
from ftc.views.page import INDENT, Page, escaped, pad, shorten, visible_width

__all__ = ["check_lines"]

_CODES = {CheckName.LEAKAGE: "FTC370", CheckName.DUPLICATES: "FTC373"}
"""Of checks that say no more than a finding does, where there is one."""
_NARROW = 80
_COUNTED = ("encoding", "secrets", "personal", "length")
"""Kinds of findings that one check of the rows counts."""


def check_lines(plan: Plan, page: Page, *, shown: Collection[str] = (), whole: bool = False) -> list[str]:
    """The block of a plan's page.

    Args:
        plan: The plan.
        page: Width and colors.
        shown: Codes of findings that the reader sees elsewhere, with place and fix; they aren't repeated.
        whole: Give the whole result of checks that found nothing too, which otherwise is cut where it takes more than
            two lines; on a narrow page too little would be left of it, so that it is whole there as well.
    """
    whole = whole or page.columns < _NARROW
    # A finding says the same where its code is that of the check, by its name now or in earlier plans.
    codes = [_CODES.get(CheckName.EARLIER.get(check.name, check.name), check.code) for check in plan.checks]
    checks = [check for check, code in zip(plan.checks, codes, strict=True) if code not in shown]
    names = [escaped(check.name) for check in checks]
    hang = min(page.columns // 3, max(map(visible_width, names), default=0)) + 4
    lines: list[str] = []
    for check, name in zip(checks, names, strict=True):
        warns = _warns(check, plan)
        head = pad(f"{page.alert('!') if warns else page.good('✓')} {page.alert(name) if warns else name}", hang - 2)
        code = f" ({check.code})" if check.code not in (None, check.name) else ""
        lines += _behind(f"{head}  ", escaped(check.result) + code, hang, page, is_short=not warns and not whole)
    return [f"{pad('' if index else 'Checks', INDENT)}{line}".rstrip() for index, line in enumerate(lines)]


def _behind(head: str, result: str, hang: int, page: Page, *, is_short: bool) -> Iterator[str]:
    """The result behind its name, or below one that is too long for it; further lines stand under the first."""
    room = page.columns - INDENT - hang
    if visible_width(head) > hang and visible_width(head + result) > room + hang:
        yield head
        head = " " * hang
    first, *others = Page(columns=room + hang - visible_width(head)).wrap(result) or [""]
    if is_short and len(others) > 1:
        yield head + shorten(result, room + hang - visible_width(head))
        return
    yield head + first
    for line in others:
        yield " " * hang + line


def _warns(check: Check, plan: Plan) -> bool:
    """Whether somebody should look at what a check found."""
    if check.code is not None:
        return True
    kinds = {finding.kind for finding in plan.quality.findings}
    match CheckName.EARLIER.get(check.name, check.name):
        case CheckName.LEAKAGE:
            return "overlap" in kinds or plan.quality.trained_on != 0 or plan.quality.chosen_by > 0
        case CheckName.DUPLICATES:
            return "copies" in kinds
        case CheckName.ROWS:
            return not kinds.isdisjoint(_COUNTED)
        case CheckName.CHOICE | CheckName.JUDGE | CheckName.PACKAGE:  # what leaves this machine, and whose code runs
            return True
        case _:
            parts = [one.split for one in plan.quality.contamination if one.mostly]
            return check.name in {name for one in parts for name in (CheckName.ngrams(one), f"contamination of {one}")}
