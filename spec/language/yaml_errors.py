"""The parser's complaints in plain words: what is wrong, where, and the smallest mend."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

from ftc.spec.diagnostics import Diagnostic, Fix, Related, Span, TextEdit, diagnostic
from ftc.spec.language.text_checks import Text

__all__ = ["syntax_fault"]

_CHARACTER = re.compile(r"found (?:character|unknown escape character) (?P<quoted>'(?:\\.|[^'])+')")
_OPENERS = {"a flow sequence": ("[", "]"), "a flow mapping": ("{", "}")}


class _Complaint(NamedTuple):
    """What the parser said: its words, the offset where it gave up and the offset of what it was reading."""

    text: Text
    problem: str
    context: str
    at: int
    since: int | None

    def finding(
        self, summary: str, help: str, *, code: str = "FTC001", label: str = "", at: int | None = None
    ) -> Diagnostic:
        """A finding at `at`, or where the parser gave up."""
        start = self.at if at is None else at
        return diagnostic(code, summary, self.text.span(start, start + 1), label=label, help=help)

    @property
    def line(self) -> str:
        """The line where the parser gave up."""
        number, _ = self.text.position(self.at)
        return self.text.lines[number - 1] if number <= len(self.text.lines) else ""


def syntax_fault(text: Text, error: Exception, reached: int) -> Diagnostic:
    """A finding for whatever the parser raised. `reached` is the offset of the last thing it read."""
    if not isinstance(error, MarkedYAMLError):
        # ruamel lets a few errors of Python itself through, such as chr() of an escape beyond U+10FFFF.
        summary = "a value that can't be read"
        help = "look for an escape beyond U+10FFFF, or for a bracket that is never closed"
        return diagnostic("FTC001", summary, text.span(reached, reached + 1), label="after this", help=help)
    complaint = _complaint(text, error, reached)
    return next(finding for rule in _RULES if (finding := rule(complaint)) is not None)


def _complaint(text: Text, error: MarkedYAMLError, reached: int) -> _Complaint:
    since = error.context_mark.index if error.context_mark else None
    at = error.problem_mark.index if error.problem_mark else reached if since is None else since
    return _Complaint(text, error.problem or "", error.context or "", at, since)


def _tab(complaint: _Complaint) -> Diagnostic | None:
    numbers = [complaint.text.position(at)[0] for at in (complaint.at, complaint.since) if at is not None]
    lines = complaint.text.lines
    for number in numbers:
        line = lines[number - 1] if number <= len(lines) else ""
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            return _tab_finding(complaint, number, indent)
    return None


def _tab_finding(complaint: _Complaint, number: int, indent: str) -> Diagnostic:
    others = sum(line.startswith("\t") for line in complaint.text.lines) - indent.startswith("\t")
    column = indent.index("\t") + 1
    fix = TextEdit(Span(complaint.text.file, number, 1, number, len(indent) + 1), indent.replace("\t", "  "))
    return diagnostic(
        "FTC002",
        "a tab indents this line",
        Span(complaint.text.file, number, column, number, len(indent) + 1),
        label="use spaces",
        help="indent by two spaces a level, and set the editor to insert spaces",
        notes=[f"{others} more {'line starts' if others == 1 else 'lines start'} with a tab"] if others > 0 else [],
        fixes=[Fix("replace each tab by two spaces", (fix,))],
    )


def _colon(complaint: _Complaint) -> Diagnostic | None:
    if "mapping values are not allowed" not in complaint.problem:
        return None
    _, column = complaint.text.position(complaint.at)
    before = complaint.line[: column - 1]
    if re.search(r":\s", before):
        return complaint.finding(
            "a second `: ` in one line",
            "put the value in quotes if the colon belongs to it",
            label="can't start a value",
        )
    return complaint.finding(
        "a line that is indented unlike the lines above",
        "align the key with the other keys of its block; the line above may also lack its colon",
        label="can't start a value",
    )


def _no_colon(complaint: _Complaint) -> Diagnostic | None:
    if "could not find expected ':'" not in complaint.problem:
        return None
    return complaint.finding(
        "a line without `key: value`",
        "write `key: value`, or `- item` in a list, with a space behind the sign",
        label="no key ends here",
        at=complaint.since,
    )


def _bracket(complaint: _Complaint) -> Diagnostic | None:
    reading = next((name for name in _OPENERS if name in complaint.context), None)
    if reading is None:
        return None
    opener, closer = _OPENERS[reading]
    if "stream end" in complaint.problem or "document" in complaint.problem:
        return complaint.finding(
            f"`{opener}` is never closed", f"add the missing `{closer}`", label="opened here", at=complaint.since
        )
    finding = complaint.finding(
        f"`,` or `{closer}` is missing", f"separate values by `, ` and close with `{closer}`", label="unexpected here"
    )
    since = complaint.text.span(complaint.since or 0, (complaint.since or 0) + 1)
    return diagnostic(
        finding.code,
        finding.summary,
        finding.span,
        label=finding.label,
        help=finding.help,
        related=[Related(since, f"`{opener}` opened here")],
    )


def _quote(complaint: _Complaint) -> Diagnostic | None:
    if "quoted scalar" not in complaint.context:
        return None
    if "unexpected" in complaint.problem:
        return complaint.finding(
            "a quote is never closed", "add the closing quote", label="opened here", at=complaint.since
        )
    return complaint.finding(
        "an escape that YAML doesn't know",
        "use single quotes, in which a backslash is a backslash, or write the backslash twice",
        label="in double quotes",
    )


def _start(complaint: _Complaint) -> Diagnostic | None:
    if not _CHARACTER.search(complaint.problem) or "cannot start" not in complaint.problem:
        return None
    character = complaint.text.content[complaint.at : complaint.at + 1]
    if character == "\t":
        return complaint.finding("a tab where a space belongs", "put a space in its place", label="a tab")
    name = "a backtick" if character == "`" else f"`{character}`"
    return complaint.finding(f"no value can start with {name}", "put the value in quotes", label="here")


def _block_scalar(complaint: _Complaint) -> Diagnostic | None:
    if "a block scalar" not in complaint.context:
        return None
    return complaint.finding(
        "a value that starts with `>` or `|` opens a text of several lines",
        "put the value in quotes",
        label="opens a text",
        at=complaint.since,
    )


def _alias(complaint: _Complaint) -> Diagnostic | None:
    if "an alias" not in complaint.context and "an anchor" not in complaint.context:
        return None
    return complaint.finding(
        "an anchor or alias without a name",
        "put the value in quotes; unquoted, a leading `*` or `&` has a meaning of its own",
        code="FTC004",
        at=complaint.since,
    )


def _directive(complaint: _Complaint) -> Diagnostic | None:
    if "a directive" not in complaint.context:
        return None
    help = "delete the line, or put the value in quotes if it starts with `%`"
    return complaint.finding("a YAML directive", help, code="FTC019", at=complaint.since)


def _tag(complaint: _Complaint) -> Diagnostic | None:
    if "tag" not in complaint.context and "tag" not in complaint.problem:
        return None
    return complaint.finding(
        "a tag", "remove it; put the value in quotes if it starts with `!`", code="FTC006", at=complaint.since
    )


def _item(complaint: _Complaint) -> Diagnostic | None:
    if "sequence entries are not allowed" not in complaint.problem:
        return None
    return complaint.finding("a list item can't start here", "put each `- item` on a line of its own", label="here")


def _block(complaint: _Complaint) -> Diagnostic | None:
    if "expected <block end>" not in complaint.problem:
        return None
    return complaint.finding(
        "this stands outside the block above",
        "align it with the lines that it belongs to; text behind a closed quote or bracket can't go on",
        label="unexpected here",
    )


def _outside(complaint: _Complaint) -> Diagnostic | None:
    if "<document start>" not in complaint.problem and "document end marker" not in complaint.problem:
        return None
    return complaint.finding(
        "this stands behind the end of the recipe",
        "make it part of the outermost block, or delete it",
        label="unexpected here",
    )


def _question(complaint: _Complaint) -> Diagnostic | None:
    if "mapping keys are not allowed" not in complaint.problem:
        return None
    return complaint.finding("a `?` opens a key here", "put the value in quotes if the `?` belongs to it", label="here")


def _content(complaint: _Complaint) -> Diagnostic | None:
    if "expected the node content" not in complaint.problem:
        return None
    return complaint.finding("a value is missing", "write a value, or delete the sign", label="no value can start so")


def _other(complaint: _Complaint) -> Diagnostic:
    reason = complaint.problem or complaint.context or "the parser could not go on"
    return complaint.finding(f"not valid YAML: {reason}", "mend the text at this place", label="here")


_RULES: tuple[Callable[[_Complaint], Diagnostic | None], ...] = (
    *(
        _tab,
        _quote,
        _block_scalar,
        _alias,
        _directive,
        _tag,
        _colon,
        _no_colon,
        _bracket,
        _start,
        _item,
        _block,
        _outside,
        _question,
        _content,
    ),
    _other,
)
