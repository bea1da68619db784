"""Findings as text: for people, for programs, for GitHub's log and for SARIF viewers.

All functions are pure. Text that a stranger wrote is printed with escapes, so that it can't move the cursor; secrets
were masked by whoever made the finding. Colour repeats what signs and words say already.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ftc.spec.codes import CODES, Severity
from ftc.spec.diagnostics import Diagnostic, Fix, Span
from ftc.views.cells import escaped, wrapped
from ftc.views.snippet import Layout, Mark, Paint, gutter_width, snippet

__all__ = ["count", "render_github", "render_json", "render_sarif", "render_text"]

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
        color: Whether to add ANSI colours.
        width: Columns that no row exceeds, so far as words can be broken.
    """
    paint: Paint = _painted if color else _unpainted
    ordered = sorted(diagnostics, key=Diagnostic.sort_key)
    blocks = ("\n".join(_block(found, sources, width, paint, first=i == 0)) for i, found in enumerate(ordered))
    return "".join(f"{block}\n\n" for block in blocks).removesuffix("\n")


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """How many there are, such as `2 errors, 1 warning`; empty where there are none."""
    counts = Counter(found.severity for found in diagnostics)
    return ", ".join(f"{n} {severity}{'s' if n != 1 else ''}" for severity in Severity if (n := counts[severity]))


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """Findings for programs: one document of schema `ftc.diagnostics/1`, in ASCII."""
    ordered = sorted(diagnostics, key=Diagnostic.sort_key)
    counts = Counter(found.severity for found in ordered)
    document = {
        "schema": "ftc.diagnostics/1",
        "counts": {severity.value: counts[severity] for severity in Severity},
        "diagnostics": [_json(found) for found in ordered],
    }
    return json.dumps(document, indent=2) + "\n"


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Findings as workflow commands, which GitHub shows beside the changed lines."""
    return "".join(f"{_github(found)}\n" for found in sorted(diagnostics, key=Diagnostic.sort_key))


def render_sarif(diagnostics: Iterable[Diagnostic]) -> str:
    """Findings as a SARIF 2.1.0 log with one run."""
    ordered = sorted(diagnostics, key=Diagnostic.sort_key)
    rules = sorted({found.code for found in ordered})
    run = {
        "tool": {"driver": {"name": "ftc", "rules": [_sarif_rule(code) for code in rules]}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(found, rules) for found in ordered],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _painted(text: str, style: str) -> str:
    return f"{_ANSI[style]}{text}\x1b[0m"


def _unpainted(text: str, _style: str) -> str:
    return text


def _block(found: Diagnostic, sources: Sources, columns: int, paint: Paint, *, first: bool) -> Iterator[str]:
    head = f"{found.severity}[{found.code}]"
    first_row, *rows = wrapped(f"{head}: {escaped(found.summary)}", columns)
    yield paint(head, found.severity.value) + paint(first_row.removeprefix(head), "bold")
    yield from (paint(row, "bold") for row in rows)
    marks = _marks(found)
    layout = Layout(gutter_width(marks) if marks else 1, columns, paint)
    yield from _places(marks, sources, layout)
    notes = [*found.notes, *([f"`ftc explain {found.code}` shows more"] if first else [])]
    footer = [*(("help", text) for text in found.help), *(("note", text) for text in notes)]
    if marks and footer:
        yield layout.bar
    for kind, text in footer:
        yield from _footer(kind, text, layout)


def _marks(found: Diagnostic) -> list[Mark]:
    related = [Mark(place.span, place.label, False, "related") for place in found.related]
    primary = [Mark(found.span, found.label, True, found.severity.value)] if found.span else []
    return primary + related


def _places(marks: Sequence[Mark], sources: Sources, layout: Layout) -> Iterator[str]:
    """One snippet a file, the finding's own file first; the label alone for a file whose lines are not known."""
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


def _footer(kind: str, text: str, layout: Layout) -> Iterator[str]:
    """`= help: …`, with what follows aligned under the first word; a line of its own in `text` stays one."""
    lead = f"{'':{layout.gutter}} = {kind}: "
    rows = [row for line in text.split("\n") for row in wrapped(escaped(line), max(20, layout.columns - len(lead)))]
    painted = f"{'':{layout.gutter}} {layout.paint('=', 'gutter')} {layout.paint(kind, 'bold')}: "
    for index, row in enumerate(rows):
        yield (painted if index == 0 else " " * len(lead)) + row


def _json(found: Diagnostic) -> dict[str, Any]:
    return {
        "code": found.code,
        "severity": found.severity.value,
        "summary": found.summary,
        "path": found.path,
        "span": _json_span(found.span) if found.span else None,
        "label": found.label,
        "related": [{"span": _json_span(place.span), "label": place.label} for place in found.related],
        "help": list(found.help),
        "notes": list(found.notes),
        "fixes": [_json_fix(fix) for fix in found.fixes],
    }


def _json_span(span: Span) -> dict[str, Any]:
    return {
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def _json_fix(fix: Fix) -> dict[str, Any]:
    edits = [{"span": _json_span(edit.span), "text": edit.text} for edit in fix.edits]
    return {"title": fix.title, "safe": fix.safe, "edits": edits}


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
    listed = ",".join(f"{key}={_github_property(value)}" for key, value in properties.items())
    return f"::{_GITHUB_COMMANDS[found.severity]} {listed}::{_github_data(_message(found))}"


def _github_data(text: str) -> str:
    """Escapes what ends a command; GitHub decodes it. Whatever else is unprintable is shown as an escape."""
    lines = (escaped(line) for line in text.split("\n"))
    return "%0A".join(line.replace("%", "%25") for line in lines)


def _github_property(text: str) -> str:
    return _github_data(text).replace(":", "%3A").replace(",", "%2C")


def _sarif_rule(code: str) -> dict[str, Any]:
    entry = CODES[code]
    return {"id": code, "shortDescription": {"text": entry.title}, "fullDescription": {"text": entry.cause}}


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
