"""The parser's complaints in plain words: what is wrong, where, and the smallest fix."""

from __future__ import annotations

import re
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

from ftc.spec.diagnostics import Diagnostic, Fix, Related, Span, TextEdit, diagnostic
from ftc.spec.language.text_checks import Text

__all__ = ["syntax_fault"]


class _Rule(NamedTuple):
    """A kind of complaint and what to say of it."""

    said: str
    """Matches the start of four lines: what the parser was reading, its problem, what is before the place in its line,
    and the character there.
    """
    summary: str
    help: str
    label: str
    code: str = "FTC001"
    at_start: bool = False
    """Whether the place is where that began which the parser was reading, and not where it gave up."""
    opened: str = ""
    """Label of where that began, as a second place."""


_RULES = (
    _Rule(
        r".*quoted scalar.*\n.*unexpected",
        "a quote is never closed",
        "add the closing quote",
        "opened here",
        at_start=True,
    ),
    _Rule(
        ".*quoted scalar",
        "an escape that YAML doesn't have",
        "use single quotes, in which a backslash is a backslash, or write the backslash twice",
        "in double quotes",
    ),
    _Rule(
        ".*a block scalar",
        "a value that starts with `>` or `|` begins a text of several lines",
        "put the value in quotes",
        "opens a text",
        at_start=True,
    ),
    _Rule(
        ".*(an alias|an anchor)",
        "an anchor or alias without a name",
        "put the value in quotes; an unquoted leading `*` or `&` has a special meaning",
        "",
        code="FTC004",
        at_start=True,
    ),
    _Rule(
        ".*a directive",
        "a YAML directive",
        "remove the line, or put the value in quotes if it starts with `%`",
        "",
        code="FTC019",
        at_start=True,
    ),
    _Rule(
        r".*(\n.*)?tag",
        "a tag",
        "remove it; put the value in quotes if it starts with `!`",
        "",
        code="FTC006",
        at_start=True,
    ),
    _Rule(
        r".*\n.*mapping values are not allowed.*\n.*:\s",
        "a second `: ` in one line",
        "put the value in quotes if the colon belongs to it",
        "can't start a value",
    ),
    _Rule(
        r".*\n.*mapping values are not allowed",
        "a line with another indentation than the lines above",
        "align the key with the other keys of its block; the line above may also lack its colon",
        "can't start a value",
    ),
    _Rule(
        r".*\n.*could not find expected ':'",
        "a line without `key: value`",
        "write `key: value`, or `- item` in a list, with a space after the sign",
        "a key without an end",
        at_start=True,
    ),
    *(
        rule
        for kind, opener, closer in (("sequence", "[", "]"), ("mapping", "{", "}"))
        for rule in (
            _Rule(
                rf".*a flow {kind}.*\n.*(stream end|document)",
                f"`{opener}` is never closed",
                f"add the missing `{closer}`",
                "opened here",
                at_start=True,
            ),
            _Rule(
                f".*a flow {kind}",
                f"`,` or `{closer}` is missing",
                f"separate values by `, ` and close with `{closer}`",
                "unexpected here",
                opened=f"`{opener}` opened here",
            ),
        )
    ),
    _Rule(r".*\n.*cannot start.*\n.*\n\t", "a tab instead of a space", "replace it with a space", "a tab"),
    _Rule(r".*\n.*cannot start.*\n.*\n`", "no value can start with a backtick", "put the value in quotes", "here"),
    _Rule(r".*\n.*cannot start", "no value can start with `CHARACTER`", "put the value in quotes", "here"),
    _Rule(
        r".*\n.*sequence entries are not allowed",
        "a list item can't start here",
        "put each `- item` on a line of its own",
        "here",
    ),
    _Rule(
        r".*\n.*expected <block end>",
        "this line is outside the block above",
        "align it with the lines that it belongs to; no text may follow a closed quote or bracket",
        "unexpected here",
    ),
    _Rule(
        r".*\n.*(<document start>|document end marker)",
        "text after the end of the recipe",
        "make it part of the outermost block, or remove it",
        "unexpected here",
    ),
    _Rule(
        r".*\n.*mapping keys are not allowed",
        "a `?` opens a key here",
        "put the value in quotes if the `?` belongs to it",
        "here",
    ),
    _Rule(
        r".*\n.*expected the node content",
        "a value is missing",
        "write a value, or remove the sign",
        "no value can start like this",
    ),
    _Rule("", "not valid YAML: REASON", "fix the text at this place", "here"),
)


def syntax_fault(text: Text, error: Exception, reached: int) -> Diagnostic:
    """A finding for whatever the parser raised. `reached` is the offset of the last thing it read."""
    if not isinstance(error, MarkedYAMLError):
        # ruamel lets a few errors of Python itself through, such as chr() of an escape beyond U+10FFFF.
        summary = "a value that can't be read"
        help = "check for an escape beyond U+10FFFF, or for a bracket that is never closed"
        return diagnostic("FTC001", summary, text.span(reached, reached + 1), label="after this", help=help)
    started = error.context_mark.index if error.context_mark else None
    at = error.problem_mark.index if error.problem_mark else reached if started is None else started
    for place in (at, started):
        if place is not None and (fault := _tab(text, text.position(place)[0])):
            return fault
    number, column = text.position(at)
    before = text.lines[number - 1][: column - 1] if number <= len(text.lines) else ""
    character = text.content[at : at + 1]
    reading, problem = error.context or "", error.problem or ""
    said = "\n".join((*(words.replace("\n", " ") for words in (reading, problem)), before, character))
    rule = next(rule for rule in _RULES if re.match(rule.said, said))
    reason = problem or reading or "the parser stopped"
    place = started if rule.at_start and started is not None else at
    since = text.span(started or 0, (started or 0) + 1)
    return diagnostic(
        rule.code,
        rule.summary.replace("CHARACTER", character).replace("REASON", reason),
        text.span(place, place + 1),
        label=rule.label,
        help=rule.help,
        related=[Related(since, rule.opened)] if rule.opened else [],
    )


def _tab(text: Text, number: int) -> Diagnostic | None:
    """The finding for a line that a tab indents."""
    line = text.lines[number - 1] if number <= len(text.lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" not in indent:
        return None
    others = sum(line.startswith("\t") for line in text.lines) - indent.startswith("\t")
    end = len(indent) + 1
    fix = TextEdit(Span(text.file, number, 1, number, end), indent.replace("\t", "  "))
    return diagnostic(
        "FTC002",
        "a tab indents this line",
        Span(text.file, number, indent.index("\t") + 1, number, end),
        label="use spaces",
        help="indent by two spaces per level, and set the editor to insert spaces",
        notes=[f"{others} more {'line starts' if others == 1 else 'lines start'} with a tab"] if others > 0 else [],
        fixes=[Fix("replace each tab by two spaces", (fix,))],
    )
