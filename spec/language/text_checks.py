"""What is checked on the characters of a file before any parser sees them.

The text that goes on from here has the same length and the same lines as the file, with secrets masked, unseen
characters replaced and directives turned into comments. So every later place is right, nothing after this module can
print a secret, and the parser finds the file's other faults in the same pass.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from ftc.spec.diagnostics import Diagnostic, Fix, Span, TextEdit, diagnostic

__all__ = [
    "MOST_FINDINGS",
    "STAND_IN",
    "Text",
    "check_text",
    "described",
    "hidden_in",
    "masked",
    "odd_ends",
    "odd_space",
    "odd_spaces",
    "secrets_in",
    "unseen_in_escapes",
]

MOST_FINDINGS = 20
"""Reading stops after so many findings: a binary file must not give a hundred thousand."""

STAND_IN = "\ufffd"
"""What replaces an unseen character for the parser."""

_UNSEEN_BUT_C0 = (
    "\x00\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
)
_UNSEEN = re.compile(f"[\x01-\x08\x0b\x0c\x0e-\x1f{STAND_IN}{_UNSEEN_BUT_C0}]")
_UNSEEN_IN_ESCAPES = re.compile(f"[{_UNSEEN_BUT_C0}]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_DIRECTIVES = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))*(%)[^\r\n]*")

# Each pattern has one group, the part to mask. All are linear: a match can start only behind a character that can't
# continue one, and repeats are of single classes.
_SECRETS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(rf"(?<![A-Za-z0-9_-]){pattern}"))
    for kind, pattern in (
        ("a Hugging Face token", r"hf_([A-Za-z0-9]{16,})"),
        ("an API key", r"sk-((?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,})"),
        ("an AWS access key", r"A[KS]IA([A-Z0-9]{16})(?![A-Za-z0-9])"),
        ("a GitHub token", r"gh[oprsu]_([A-Za-z0-9]{16,})"),
        ("a GitHub token", r"github_pat_([A-Za-z0-9_]{16,})"),
        ("a GitLab token", r"glpat-([A-Za-z0-9_-]{16,})"),
        ("a Slack token", r"xox[abeprs]-([A-Za-z0-9-]{16,})"),
    )
) + (("a user name or password in a URL", re.compile(r"://([^\s/@'\"]{1,256})@")),)


_ODD_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_ODD_SPACE = re.compile(f"[{_ODD_SPACES}]+")
_BESIDE_KEYS = re.compile(
    rf"^[ \t]*(?P<indent>[{_ODD_SPACES}]+)"
    rf"|^[ \t]*(?:-[ \t]+)?[\w.-]+?(?:[ \t]*(?P<before>[{_ODD_SPACES}]+)[ \t]*:|:[ \t]*(?P<behind>[{_ODD_SPACES}]+))"
    rf"|^[ \t]*-[ \t]*(?P<dash>[{_ODD_SPACES}]+)",
    re.MULTILINE,
)
"""Spaces that are none where YAML needs one: before a line, round a key's colon, behind a dash."""


class Text:
    """A file's text with its lines, for turning offsets into places."""

    def __init__(self, content: str, file: str) -> None:
        self.content = content
        self.file = file

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines without their ends, split as YAML 1.2 splits them; an empty file has none."""
        lines = _LINE_END.split(self.content)
        return tuple(lines if lines[-1] else lines[:-1])

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_END.finditer(self.content))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1, of the character at `offset`."""
        offset = max(0, min(offset, len(self.content)))
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def offset(self, line: int, column: int) -> int:
        """Where a line and column lie in the text; the end of the text where they lie behind it."""
        start = self._starts[line - 1] if line <= len(self._starts) else len(self.content)
        return min(start + column - 1, len(self.content))

    def span(self, start: int, end: int) -> Span:
        """The place of the characters from `start` up to but without `end`."""
        return Span(self.file, *self.position(start), *self.position(max(start, end)))


def check_text(content: str, file: str) -> tuple[Text, list[Diagnostic]]:
    """Masks and reports secrets, unseen characters and directives; at most `MOST_FINDINGS` findings of each kind."""
    text = Text(content, file)
    content, secrets = _mask_secrets(text)
    directives: list[Diagnostic] = []
    while (match := _DIRECTIVES.match(content)) and len(directives) < MOST_FINDINGS:
        start, end = match.start(1), match.end()
        directives.append(diagnostic("FTC019", "a YAML directive", text.span(start, end), help="remove the line"))
        content = f"{content[:start]}#{content[start + 1 :]}"
    unseen = [
        diagnostic(
            "FTC011",
            f"invisible character: {described(match[0])}",
            text.span(match.start(), match.end()),
            label="here",
            help="remove the character; an editor that shows white space finds it",
        )
        for match in islice(_UNSEEN.finditer(content), MOST_FINDINGS)
    ]
    return Text(_UNSEEN.sub(STAND_IN, content), file), secrets + directives + unseen


def odd_spaces(text: Text) -> list[Diagnostic]:
    """A finding for each space of another kind that stands where YAML needs a plain one."""
    places = (match.span(match.lastgroup or 0) for match in _BESIDE_KEYS.finditer(text.content))
    return [odd_space(text, *place) for place in islice(places, MOST_FINDINGS)]


def odd_space(text: Text, start: int, end: int) -> Diagnostic:
    """The finding for such spaces at these offsets."""
    span = text.span(start, end)
    name = described(text.content[start])
    return diagnostic(
        "FTC011",
        f"a character that looks like a space and is none: {name}",
        span,
        label="here",
        help="write a plain space; text that is copied from a web page often holds others",
        fixes=[Fix("replace it by a plain space", (TextEdit(span, " " * (end - start)),), safe=True)],
    )


def odd_ends(value: str) -> tuple[int, int]:
    """How many spaces of another kind a value begins with, and how many it ends with."""
    begin = _ODD_SPACE.match(value)
    return (begin.end() if begin else 0), len(value) - len(re.sub(f"[{_ODD_SPACES}]+\\Z", "", value))


_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
_WORD = re.compile(r"[^\W\d_]+")


def hidden_in(value: str) -> str | None:
    """In words, the first character that an editor hides or that looks like another one; None where there is none.

    Reported are characters without a form, spaces that are no plain ones, and letters of two alphabets that look alike
    in one word, such as a Cyrillic `а` in a Latin word.
    """
    if match := _UNSEEN.search(value) or _ODD_SPACE.search(value):
        return described(match[0][0])
    if value.isascii():
        return None
    for word in _WORD.findall(value):
        scripts = {char: next((s for s in _SCRIPTS if unicodedata.name(char, "").startswith(s)), "") for char in word}
        if len(kinds := {script for script in scripts.values() if script}) > 1:
            rare = min(kinds, key=lambda kind: sum(scripts[char] == kind for char in word))
            return described(next(char for char in word if scripts[char] == rare))
    return None


def masked(content: str) -> str:
    """Text as it may be shown: of the same length and lines, with secrets masked and unseen characters replaced."""
    return _UNSEEN.sub(STAND_IN, _mask_secrets(Text(content, ""))[0])


def secrets_in(content: str) -> frozenset[str]:
    """Kinds of secrets that stand in a text, in words such as `a GitHub token`."""
    return frozenset(kind for _, _, kind in _secret_places(content))


def unseen_in_escapes(value: str) -> str | None:
    """The first character of a double-quoted value that may not even stand there as an escape, or None."""
    match = _UNSEEN_IN_ESCAPES.search(value)
    return match[0] if match else None


def described(character: str) -> str:
    """A character by code point and name, such as `U+200B ZERO WIDTH SPACE`."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _mask_secrets(text: Text) -> tuple[str, list[Diagnostic]]:
    found: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(_secret_places(text.content)):
        if found and start < found[-1][1]:  # joined, such as a token in a URL's password: nothing is masked in part
            first, reached, first_kind = found[-1]
            found[-1] = (first, max(reached, end), first_kind)
        else:
            found.append((start, end, kind))
    pieces: list[str] = []
    shown_to = 0
    for start, end, _ in found:
        pieces += text.content[shown_to:start], "*" * (end - start)
        shown_to = end
    findings = [
        diagnostic(
            "FTC018",
            f"{kind} in the file",
            text.span(start, end),
            label="masked here",
            help=("remove and revoke it; log in with `hf auth login`, or set the token in the environment of the run"),
        )
        for start, end, kind in found[:MOST_FINDINGS]
    ]
    return "".join((*pieces, text.content[shown_to:])), findings


def _secret_places(content: str) -> Iterator[tuple[int, int, str]]:
    for kind, pattern in _SECRETS:
        yield from ((*match.span(1), kind) for match in pattern.finditer(content))
