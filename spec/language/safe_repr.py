"""How a message shows text that somebody else wrote."""

from __future__ import annotations

__all__ = ["quoted"]

_MOST_CHARS = 80


def quoted(text: str) -> str:
    """The text in backticks, at most 80 characters of it; what can't be seen is escaped, with its code point."""
    short = text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"
    seen = [c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in short]
    return f"`{''.join(seen)}`"
