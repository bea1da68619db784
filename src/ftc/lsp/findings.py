"""Findings of a recipe as diagnostics of the protocol, and their mends as quick fixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lsprotocol import types

from ftc.compiler.rules.check import check_recipe
from ftc.lsp.positions import Positions
from ftc.spec.diagnostics import Diagnostic, Fix, Related, Severity, Span

__all__ = ["diagnostics", "find", "quick_fixes"]

_SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.NOTE: types.DiagnosticSeverity.Information,
}
_START = Span("", 1, 1, 1, 1)


def find(text: str, path: Path | None) -> tuple[Diagnostic, ...]:
    """What is wrong with a recipe's text. Of the disk it reads only what the text extends."""
    return check_recipe(text.encode("utf-8", "replace"), _name(path), path=path).diagnostics


def diagnostics(
    found: Iterable[Diagnostic], uri: str, path: Path | None, positions: Positions
) -> list[types.Diagnostic]:
    """The findings for the client."""
    return [_diagnostic(one, uri, path, positions) for one in found]


def quick_fixes(
    found: Iterable[Diagnostic], uri: str, path: Path | None, positions: Positions, wanted: types.Range
) -> list[types.CodeAction]:
    """Mends of the findings that touch a range; those that can't change what a recipe means are preferred."""
    actions = []
    for one in found:
        shown = _diagnostic(one, uri, path, positions)
        if _touch(shown.range, wanted):
            actions += [_action(fix, shown, uri, positions) for fix in one.fixes if _is_here(fix, path)]
    return actions


def _name(path: Path | None) -> str:
    return path.name if path else "recipe.yaml"


def _diagnostic(one: Diagnostic, uri: str, path: Path | None, positions: Positions) -> types.Diagnostic:
    span = one.span or _START
    here = span.file in ("", _name(path))
    lines = [one.summary + (f": {one.label}" if one.label else "")]
    lines += [*one.notes, *(f"help: {text}" for text in one.help)]
    if not here:
        lines.insert(0, f"in {span.file}, line {span.line}:")
    return types.Diagnostic(
        range=positions.range_of(span if here else _START),
        severity=_SEVERITIES[one.severity],
        code=one.code,
        source="ftc",
        message="\n".join(lines),
        related_information=[_related(place, uri, positions) for place in _places_here(one.related, path)] or None,
    )


def _places_here(related: Iterable[Related], path: Path | None) -> Iterator[Related]:
    return (place for place in related if place.span.file == _name(path))


def _related(place: Related, uri: str, positions: Positions) -> types.DiagnosticRelatedInformation:
    location = types.Location(uri=uri, range=positions.range_of(place.span))
    return types.DiagnosticRelatedInformation(location=location, message=place.label)


def _is_here(fix: Fix, path: Path | None) -> bool:
    return all(edit.span.file == _name(path) for edit in fix.edits)


def _action(fix: Fix, shown: types.Diagnostic, uri: str, positions: Positions) -> types.CodeAction:
    edits = [types.TextEdit(range=positions.range_of(edit.span), new_text=edit.text) for edit in fix.edits]
    return types.CodeAction(
        title=fix.title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[shown],
        is_preferred=fix.safe,
        edit=types.WorkspaceEdit(changes={uri: edits}),
    )


def _touch(one: types.Range, other: types.Range) -> bool:
    def pair(position: types.Position) -> tuple[int, int]:
        return position.line, position.character

    return pair(one.start) <= pair(other.end) and pair(other.start) <= pair(one.end)
