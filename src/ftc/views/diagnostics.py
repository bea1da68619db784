"""Findings as text with snippets, JSON, GitHub annotations and SARIF, and the explanation of a code."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftc.spec.codes import CODES, Code, Severity
from ftc.spec.diagnostics import Diagnostic, Fix, Span
from ftc.views.page import PLAIN, Page, escaped, fitting, shown, width, wrapped

__all__ = [
    "Layout",
    "Mark",
    "Paint",
    "count",
    "explain_text",
    "gutter_width",
    "render_github",
    "render_json",
    "render_sarif",
    "render_text",
    "snippet",
]

Paint = Callable[[str, str], str]
"""Text and the name of a style to text; without color, the text itself."""

_NARROWEST_LABEL = 24
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Mark:
    """A span to underline: with carets in `style` where it is the finding's own, else with dashes."""

    span: Span
    label: str
    is_primary: bool
    style: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows are set: digits of the line numbers, cells that a row may take, and what applies a style."""

    gutter: int
    columns: int
    paint: Paint

    @property
    def room(self) -> int:
        """Cells to the right of the gutter."""
        return max(_NARROWEST_LABEL, self.columns - self.gutter - 3)

    @property
    def bar(self) -> str:
        """The gutter of a row without a number."""
        return self.paint(f"{'':{self.gutter}} |", "gutter")


def gutter_width(marks: Sequence[Mark]) -> int:
    """Digits of the largest line number that the marks need."""
    return max(len(str(mark.span.line)) for mark in marks)


def snippet(marks: Sequence[Mark], lines: Sequence[str], layout: Layout) -> Iterator[str]:
    """Rows for marks in one file. Lines between two shown ones that are not neighbors become `...`.

    Args:
        marks: At least one, all in the file.
        lines: The file's lines; a mark beyond the last of them is shown against an empty line.
        layout: How rows are set.
    """
    numbers = sorted({mark.span.line for mark in marks})
    if 2 <= numbers[0] <= len(lines):
        above, line = lines[numbers[0] - 2 : numbers[0]]
        if above.strip() and not above.lstrip().startswith("#") and _indent(above) < _indent(line):
            numbers.insert(0, numbers[0] - 1)  # it opens the block that the line stands in
    previous = numbers[0] - 1
    for number in numbers:
        if number == previous + 2:
            yield from _line(previous + 1, lines, [], layout)
        elif number > previous + 2:
            yield "..."
        own = sorted((mark for mark in marks if mark.span.line == number), key=lambda mark: mark.span.column)
        yield from _line(number, lines, own, layout)
        previous = number


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _line(number: int, lines: Sequence[str], marks: Sequence[Mark], layout: Layout) -> Iterator[str]:
    text = lines[number - 1] if 1 <= number <= len(lines) else ""
    window = _Window(text, layout.room, min((mark.span.column for mark in marks), default=1))
    yield f"{layout.paint(f'{number:>{layout.gutter}} |', 'gutter')} {window.text}".rstrip()
    for mark in marks:
        yield from (f"{layout.bar} {row}" for row in _under(mark, text, window, layout.paint))


class _Window:
    """The part of a line that fits into `room` cells and holds `column`, as it is shown."""

    def __init__(self, line: str, room: int, column: int) -> None:
        self.room = room
        self.first = 0  # characters cut off at the left
        cells = [shown(character) for character in line[: column + 4 * room]]
        if width("".join(cells)) > room:
            self.first = max(0, min(column - 1, len(line)) - room // 3)
        self._cells = cells[self.first :]
        body = "".join(self._cells)
        self.lead = _ELLIPSIS if self.first else ""
        text = self.lead + body
        self.text = text if width(text) <= room else text[: fitting(text, room - 1)] + _ELLIPSIS

    def cell(self, column: int) -> int:
        """Cells to the left of the character in `column`, counted from 1; at most the room."""
        before = "".join(self._cells[: max(0, column - 1 - self.first)])
        return min(width(self.lead) + width(before), self.room - 1)


def _under(mark: Mark, line: str, window: _Window, paint: Paint) -> Iterator[str]:
    """The row of carets, with the label beside them or, where there is no room, below."""
    span, room = mark.span, window.room
    last = span.end_column if span.end_line == span.line else len(line.rstrip()) + 1
    start = window.cell(span.column)
    carets = ("^" if mark.is_primary else "-") * max(1, window.cell(last) - start)
    label = escaped(mark.label)
    if start + len(carets) + 1 + width(label) <= room:
        yield " " * start + paint(f"{carets} {label}".rstrip(), mark.style)
        return
    yield " " * start + paint(carets, mark.style)
    start = max(0, min(start, room - max(_NARROWEST_LABEL, width(label))))
    for row in wrapped(label, room - start):
        yield " " * start + paint(row, mark.style)


Sources = Mapping[str, Sequence[str]]
"""The lines of each file by the name that spans carry."""

_ANSI = {
    **{"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"},
    **{"gutter": "\x1b[34m", "related": "\x1b[34m", "bold": "\x1b[1m"},
}
_GITHUB_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_text(diagnostics: Iterable[Diagnostic], sources: Sources, *, color: bool = False, width: int = 100) -> str:
    """Findings for people, in the order of the files, each with its snippet, help and notes.

    Args:
        diagnostics: What to show.
        sources: Lines of the files, as `shown_lines` gives them; a finding in another file has no snippet.
        color: Whether to add ANSI colors.
        width: Columns that no row exceeds, so far as words can be broken.
    """
    paint: Paint = (lambda text, style: f"{_ANSI[style]}{text}\x1b[0m") if color else (lambda text, style: text)
    ordered = sorted(diagnostics, key=Diagnostic.sort_key)
    blocks = ("\n".join(_block(found, sources, width, paint, first=i == 0)) for i, found in enumerate(ordered))
    return "".join(f"{block}\n\n" for block in blocks).removesuffix("\n")


def _counted(diagnostics: Iterable[Diagnostic]) -> Counter[Severity]:
    """How many findings there are of each severity, those that aren't listed among them."""
    counts = Counter[Severity]()
    for found in diagnostics:
        counts[found.severity] += 1 + found.more
    return counts


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """How many there are, such as `2 errors, 1 warning`; empty where there are none."""
    counts = _counted(diagnostics)
    return ", ".join(f"{n:,} {severity}{'s' if n != 1 else ''}" for severity in Severity if (n := counts[severity]))


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """Findings for programs: one document of schema `ftc.diagnostics/1`, in ASCII."""
    ordered = sorted(diagnostics, key=Diagnostic.sort_key)
    counts = _counted(ordered)
    document = {
        "schema": "ftc.diagnostics/1",
        "counts": {severity.value: counts[severity] for severity in Severity},
        "diagnostics": [
            (
                {
                    "code": found.code,
                    "severity": found.severity.value,
                    "summary": found.summary,
                    "path": found.path,
                    "span": _json_span(found.span) if found.span else None,
                    "label": found.label,
                    "related": [{"span": _json_span(place.span), "label": place.label} for place in found.related],
                    "help": list(found.help),
                    "notes": list(found.notes),
                    "rows": list(found.rows),
                    "fixes": [
                        {
                            "title": fix.title,
                            "safe": fix.safe,
                            "edits": [{"span": _json_span(edit.span), "text": edit.text} for edit in fix.edits],
                        }
                        for fix in found.fixes
                    ],
                }
            )
            for found in ordered
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Findings as workflow commands, which GitHub shows beside the changed lines."""
    return "".join(f"{_github(found)}\n" for found in sorted(diagnostics, key=Diagnostic.sort_key))


def render_sarif(diagnostics: Iterable[Diagnostic]) -> str:
    """Findings as a SARIF 2.1.0 log with one run."""
    ordered = sorted(diagnostics, key=Diagnostic.sort_key)
    rules = sorted({found.code for found in ordered})
    entries = [
        {"id": code, "shortDescription": {"text": CODES[code].title}, "fullDescription": {"text": CODES[code].cause}}
        for code in rules
    ]
    run = {
        "tool": {"driver": {"name": "ftc", "rules": entries}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(found, rules) for found in ordered],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _block(found: Diagnostic, sources: Sources, columns: int, paint: Paint, *, first: bool) -> Iterator[str]:
    head = f"{found.severity}[{found.code}]"
    first_row, *rows = wrapped(f"{head}: {escaped(found.summary)}", columns)
    yield paint(head, found.severity.value) + paint(first_row.removeprefix(head), "bold")
    yield from (paint(row, "bold") for row in rows)
    related = [Mark(place.span, place.label, False, "related") for place in found.related]
    primary = [Mark(found.span, found.label, True, found.severity.value)] if found.span else []
    marks = primary + related
    layout = Layout(gutter_width(marks) if marks else 1, columns, paint)
    # One snippet a file, the finding's own file first; the label alone for a file whose lines are not known.
    arrow = "-->"
    for file in dict.fromkeys(mark.span.file for mark in marks):
        here = [mark for mark in marks if mark.span.file == file]
        place, lines = here[0].span, sources.get(file)
        label = "" if lines or not here[0].label else f": {escaped(here[0].label)}"
        yield f"{'':{layout.gutter}}{layout.paint(arrow, 'gutter')} {escaped(file)}:{place.line}:{place.column}{label}"
        arrow = ":::"
        if lines:
            yield layout.bar
            yield from snippet(here, lines, layout)

    notes = [*found.notes, *([f"`ftc explain {found.code}` shows more"] if first else [])]
    footer = [*(("help", text) for text in found.help), *(("note", text) for text in notes)]
    if marks and footer:
        yield layout.bar
    for kind, text in footer:
        # `= help: …`, with what follows aligned under the first word; a line of its own in `text` stays one.
        lead = f"{'':{layout.gutter}} = {kind}: "
        footer_lines = [
            row for line in text.split("\n") for row in wrapped(escaped(line), max(20, layout.columns - len(lead)))
        ]
        painted = f"{'':{layout.gutter}} {layout.paint('=', 'gutter')} {layout.paint(kind, 'bold')}: "
        for index, row in enumerate(footer_lines):
            yield (painted if index == 0 else " " * len(lead)) + row


def _json_span(span: Span) -> dict[str, Any]:
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def _message(found: Diagnostic) -> str:
    """Summary, label, help and notes as plain text."""
    beside = f" ({found.label})" if found.label else ""
    return "\n".join((found.summary + beside, *(f"help: {text}" for text in found.help), *found.notes))


def _github(found: Diagnostic) -> str:
    properties = {"title": f"{found.code}: {found.summary}"}
    if span := found.span:
        place = {"file": span.file, "line": str(span.line), "endLine": str(span.end_line)}
        if span.line == span.end_line:  # GitHub refuses columns of a stretch over several lines
            place |= {"col": str(span.column), "endColumn": str(max(span.column, span.end_column - 1))}
        properties = place | properties
    listed = ",".join(
        f"{key}={_github_data(value).replace(':', '%3A').replace(',', '%2C')}" for key, value in properties.items()
    )
    return f"::{_GITHUB_COMMANDS[found.severity]} {listed}::{_github_data(_message(found))}"


def _github_data(text: str) -> str:
    """Escapes what ends a command; GitHub decodes it. Whatever else is unprintable is shown as an escape."""
    lines = (escaped(line) for line in text.split("\n"))
    return "%0A".join(line.replace("%", "%25") for line in lines)


def _sarif_result(found: Diagnostic, rules: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": rules.index(found.code),
        "level": found.severity.value,
        "message": {"text": _message(found)},
    }
    if found.span:
        result["locations"] = [{"physicalLocation": _sarif_place(found.span)}]
    if found.related:
        result["relatedLocations"] = [
            {"physicalLocation": _sarif_place(place.span), "message": {"text": place.label}} for place in found.related
        ]
    if found.fixes:
        result["fixes"] = [_sarif_fix(fix) for fix in found.fixes]
    return result


def _sarif_place(span: Span) -> dict[str, Any]:
    return {"artifactLocation": {"uri": _uri(span.file)}, "region": _sarif_region(span)}


def _sarif_region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _sarif_fix(fix: Fix) -> dict[str, Any]:
    changes = [
        {
            "artifactLocation": {"uri": _uri(file)},
            "replacements": [
                {"deletedRegion": _sarif_region(edit.span), "insertedContent": {"text": edit.text}}
                for edit in fix.edits
                if edit.span.file == file
            ],
        }
        for file in dict.fromkeys(edit.span.file for edit in fix.edits)
    ]
    return {"description": {"text": fix.title}, "artifactChanges": changes}


def _uri(file: str) -> str:
    from urllib.parse import quote  # SARIF alone needs it

    return quote(file.replace("\\", "/"))


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
