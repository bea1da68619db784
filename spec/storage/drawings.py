"""Where the pictures in a page begin and end: they depend on the library that drew them, and nothing else there does.

An audit makes a run's page again. Where another version of the library is installed, or none, it compares all but the
pictures, and says so.
"""

from __future__ import annotations

import re

__all__ = ["drawn_by", "marked", "signature", "without_drawings"]

_OPEN, _CLOSE = "<!--drawn-->", "<!--/drawn-->"
_DRAWING = re.compile(f"{_OPEN}(.*?){_CLOSE}", re.DOTALL)
_IN_SVG = "(?:[^<]|</?(?:defs|desc|g|path|text|title|tspan|use)\\b)*"
_PICTURE = re.compile(
    f"(?:<svg {_IN_SVG}</svg>)+|<p>[^<]*</p>|<meta [^<>]*>|[^<]*(?:<code>[^<]*</code>[^<]*)?", re.DOTALL
)
"""What may stand between marks: pictures made of shapes and text, or the words in their place."""
_SIGNATURE = re.compile(f'{_OPEN}<meta name="generator" content="([^"]*)">{_CLOSE}')


def marked(drawing: str) -> str:
    """The drawing between marks. Text of a page is escaped, so nothing else in it can look like one."""
    return f"{_OPEN}{drawing}{_CLOSE}"


def signature(library: str | None) -> str:
    """What names, in a page's head, the library that drew its pictures."""
    return marked(f'<meta name="generator" content="{library or ""}">')


def drawn_by(page: str) -> str | None:
    """The library and version that a page names; None where nothing was drawn."""
    found = _SIGNATURE.search(page)
    return (found.group(1) or None) if found else None


def without_drawings(page: str) -> str:
    """The page less what is drawn. The marks stay, so that one more is a difference, and so is what is no picture."""
    return _DRAWING.sub(lambda found: _OPEN if _PICTURE.fullmatch(found[1]) else found[0], page)
