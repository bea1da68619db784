"""A diagnostic code as a short lesson: the cause, the mistake, the mend."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ftc.spec.codes import Code
from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page

__all__ = ["explain_text"]

_TAB = "→   "
"""A tab that can be seen, since one code is about tabs."""
_TEXT_COLUMNS = 88
"""Prose is read best in lines that are not too long."""


def explain_text(code: Code, *, page: Page = PLAIN) -> str:
    """What `ftc explain` prints."""
    blocks = [
        f"{page.strong(f'{code.id}: {code.title}')}",
        "\n".join(textwrap.wrap(code.cause, min(page.columns, _TEXT_COLUMNS), break_on_hyphens=False)),
        *_example(page.bad("wrong"), code.wrong),
        *_example(page.good("right"), code.right),
        page.faint(f"{code.severity.value}; a verb that it stops exits with {code.exit_code}")
        if code.severity.value == "error"
        else page.faint(f"{code.severity.value}; it stops nothing"),
    ]
    return "\n\n".join(blocks) + "\n"


def _example(title: str, text: str) -> Iterator[str]:
    if text:
        shown = "\n".join(escaped(line.replace("\t", _TAB)) for line in text.rstrip().split("\n"))
        yield f"{title}\n{textwrap.indent(shown, '    ')}"
