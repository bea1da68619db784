"""Damage that text takes on its way between encodings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["damage", "mojibake"]

_REPLACED = re.compile("\ufffd")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Bytes that begin a character of two, three or four in UTF-8, as Windows-1252 shows them, and what may follow.
_FOLLOWING = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MISREAD = re.compile(f"[ÂÃ][{_FOLLOWING}]|â[{_FOLLOWING}]{{2}}|ð[{_FOLLOWING}]{{3}}|(?:[ÐÑ][{_FOLLOWING}]){{2,64}}")


def mojibake(text: str) -> str | None:
    """The first piece that is UTF-8 misread as Windows-1252 or Latin-1, such as `Ã©` for `é`; None without one.

    A piece counts only where its bytes, read as UTF-8, are printable characters: what looks odd and decodes to nothing
    was meant so.
    """
    for match in _MISREAD.finditer(text):
        if _meant(match[0]):
            return match[0]
    return None


def _meant(piece: str) -> str:
    """What a misread piece was before; empty where it can't have been anything."""
    try:
        text = b"".join(_byte(character) for character in piece).decode()
    except UnicodeError:
        return ""
    return text if text.isprintable() or text == "\xa0" else ""


def _byte(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:  # bytes that Windows-1252 leaves undefined stay as they are
        return character.encode("latin-1")


def _replaced(text: str) -> str | None:
    return _around(text, _REPLACED)


def _control(text: str) -> str | None:
    return _around(text, _CONTROL)


def _around(text: str, pattern: re.Pattern[str]) -> str | None:
    match = pattern.search(text)
    return text[max(0, match.start() - 20) : match.end() + 20] if match else None


def _misread(text: str) -> str | None:
    piece = mojibake(text)
    if piece is None:
        return None
    start = text.index(piece)
    return text[max(0, start - 20) : start + len(piece) + 20]


_DAMAGE = (
    ("characters lost in a conversion (U+FFFD)", _replaced),
    ("UTF-8 read in another encoding", _misread),
    ("control characters", _control),
)
"""Each kind of damage in words, with what gives the text around the first such place, or None."""


def damage(text: str) -> Iterator[tuple[str, str]]:
    """Every kind of damage that a text has, with the text around the first place."""
    for words, find in _DAMAGE:
        if (found := find(text)) is not None:
            yield words, found
