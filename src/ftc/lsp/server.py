"""The protocol: what the client says, and what answers: findings, quick fixes, completion and hovering.

Places are lines from 0, and columns in the units that the client asked for. ftc counts characters; most clients count
UTF-16 units, in which a character outside the basic plane is two. Lines end as the protocol and YAML 1.2 have it: at
carriage returns and line feeds alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lsprotocol import types
from lsprotocol.types import (
    CompletionItem,
    CompletionItemKind,
    Hover,
    MarkupContent,
    MarkupKind,
    Position,
    PositionEncodingKind,
    Range,
    TextEdit,
)
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument

from ftc.compiler.rules.check import check_recipe
from ftc.lsp.language import Choice, Key, choices_at, columns_of, in_flow, item_choices_at, keys_at, parts_of
from ftc.lsp.outline import Place, Slot, Word, outline
from ftc.spec.diagnostics import Diagnostic, Fix, Severity, Span
from ftc.spec.language.source import LARGEST_FILE
from ftc.spec.language.text_checks import Text
from ftc.spec.version import VERSION

__all__ = ["Positions", "completions", "hover", "make_server"]

_BYTE_ORDER_MARK = "\ufeff"


_LENGTHS: dict[PositionEncodingKind, Callable[[str], int]] = {
    PositionEncodingKind.Utf8: lambda text: len(text.encode("utf-8", "surrogatepass")),
    PositionEncodingKind.Utf16: lambda text: len(text) + sum(letter > "\uffff" for letter in text),
    PositionEncodingKind.Utf32: len,
}


class Positions:
    """A text with its lines, for going from ftc's places to the client's and back."""

    def __init__(self, text: str, encoding: PositionEncodingKind = PositionEncodingKind.Utf16) -> None:
        self._text = Text(text, "")
        self._length = _LENGTHS[encoding]
        self._mark = text.startswith(_BYTE_ORDER_MARK)

    def range_of(self, span: Span) -> Range:
        """The client's range of a place in this text."""
        start, end = (span.line, span.column), (span.end_line, span.end_column)
        return Range(start=self._position(*start), end=self._position(*end))

    def range_between(self, start: int, end: int) -> Range:
        """The client's range between two offsets."""
        return Range(start=self._at(*self._text.position(start)), end=self._at(*self._text.position(end)))

    def offset_of(self, position: Position) -> int:
        """The offset of a client's position; one behind the end of its line is the end of the line."""
        lines = self._text.lines
        if position.line >= len(lines):
            return len(self._text.content)
        line, units, column = lines[position.line], 0, 0
        while column < len(line) and units < position.character:
            units += self._length(line[column])
            column += 1
        return self._text.offset(position.line + 1, column + 1)

    def _position(self, line: int, column: int) -> Position:
        """The place of a span: ftc does not count a byte order mark, the client does."""
        return self._at(line, column + (self._mark and line == 1))

    def _at(self, line: int, column: int) -> Position:
        lines = self._text.lines
        written = lines[line - 1] if line <= len(lines) else ""
        return Position(line=line - 1, character=self._length(written[: column - 1]))


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
            actions += [
                _action(fix, shown, uri, positions)
                for fix in one.fixes
                if all(edit.span.file == _name(path) for edit in fix.edits)
            ]
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
    related = [
        types.DiagnosticRelatedInformation(types.Location(uri, positions.range_of(place.span)), place.label)
        for place in one.related
        if place.span.file == _name(path)
    ]
    return types.Diagnostic(
        range=positions.range_of(span if here else _START),
        severity=_SEVERITIES[one.severity],
        code=one.code,
        source="ftc",
        message="\n".join(lines),
        related_information=related or None,
    )


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


_SOURCE = ("data", "source")
_FIELDS = ("data", "fields")
_COLUMNS = tuple(("data", "split", key) for key in ("stratify", "group", "time"))
"""Places whose value is a column's name, beside the parts of the task."""

_CURSOR = "\ue000"
"""Stands in the text where the cursor is, so that there is a word to complete even where nothing is written yet."""


def completions(text: str, position: Position, positions: Positions, file: Path | None = None) -> list[CompletionItem]:
    """What may be written at a position; `file` is where the text lies, without which no column is known."""
    offset = positions.offset_of(position)
    marked = text.replace(_CURSOR, " ")[:offset] + _CURSOR + text[offset:]
    slots = outline(marked)
    found = next(((slot, word) for slot in slots for word in (slot.key, slot.value) if word and _holds(word)), None)
    if found is None:
        return []
    slot, word = found
    place = positions.range_between(word.start, word.end - len(_CURSOR))
    if word is slot.key:
        return [_key_item(key, slot, place, number) for number, key in enumerate(_missing_keys(slot, slots))]
    return [_choice_item(choice, place, number) for number, choice in enumerate(_choices(slot, slots, file))]


def hover(text: str, position: Position, positions: Positions) -> Hover | None:
    """What the key under the cursor means, or the key of the value there."""
    offset = positions.offset_of(position)
    slots = outline(text)
    for slot in slots:
        word = next((word for word in (slot.key, slot.value) if word and word.start <= offset <= word.end), None)
        if word and (key := _key_of(slot, slots)):
            content = MarkupContent(kind=MarkupKind.Markdown, value=key.explanation())
            return Hover(contents=content, range=positions.range_between(word.start, word.end))
    return None


def _holds(word: Word) -> bool:
    return _CURSOR in word.text


def _siblings(path: Place, slots: Sequence[Slot]) -> dict[str, str | None]:
    """Keys that the mapping at a path has, with their scalars; a word that is still being written is none."""
    found = [slot for slot in slots if slot.path == path and slot.key and slot.has_colon]
    return {
        slot.key.plain: slot.value.plain if slot.value and not _holds(slot.value) else None
        for slot in found
        if slot.key and not _holds(slot.key)
    }


def _key_of(slot: Slot, slots: Sequence[Slot]) -> Key | None:
    place = slot.place
    keys = keys_at(place[:-1], _siblings(place[:-1], slots)) if place else ()
    return next((key for key in keys if key.name == place[-1]), None)


def _missing_keys(slot: Slot, slots: Sequence[Slot]) -> Iterator[Key]:
    """Keys that may be added, the required ones first."""
    there: Mapping[str, str | None] = _siblings(slot.path, slots)
    keys = [key for key in keys_at(slot.path, there) if key.name not in there]
    if slot.path == _FIELDS and (parts := parts_of(_siblings(("task",), slots).get("kind"))):
        return (key for part in parts for key in keys if key.name == part)
    return iter(sorted(keys, key=lambda key: not key.is_required))


def _choices(slot: Slot, slots: Sequence[Slot], file: Path | None) -> tuple[Choice, ...]:
    place = slot.place
    if not place:
        return ()
    if file and (place[:-1] == _FIELDS or place in _COLUMNS):
        return tuple(Choice(in_flow(name), "column") for name in _columns(slots, file))
    there = _siblings(place[:-1], slots)
    return choices_at(place, there) if slot.key else item_choices_at(place, there)


def _columns(slots: Sequence[Slot], file: Path) -> Iterator[str]:
    """Columns of every file that the text names as a source."""
    files = [
        slot.value.plain for slot in slots if slot.value and slot.place[:2] == _SOURCE and slot.place[-1] == "path"
    ]
    yield from dict.fromkeys(name for data in files for name in columns_of(file, data))


def _key_item(key: Key, slot: Slot, place: Range, number: int) -> CompletionItem:
    ending = "" if slot.has_colon else ":" if key.is_section else ": "
    return CompletionItem(
        label=key.name,
        kind=CompletionItemKind.Property,
        detail=key.type + (", required" if key.is_required else ""),
        documentation=MarkupContent(kind=MarkupKind.Markdown, value=key.explanation()),
        sort_text=f"{number:03}",
        text_edit=TextEdit(range=place, new_text=key.name + ending),
    )


def _choice_item(choice: Choice, place: Range, number: int) -> CompletionItem:
    return CompletionItem(
        label=choice.text,
        kind=CompletionItemKind.EnumMember,
        detail=choice.about or None,
        sort_text=f"{number:03}",
        filter_text=choice.text,
        text_edit=TextEdit(range=place, new_text=choice.text),
    )


_PAUSE_SECONDS = 0.1
"""How long a text must rest before it is checked again: typing goes on within it."""
_TRIGGERS = [" ", ":", "{", "[", ","]


def make_server() -> LanguageServer:
    """A server that is ready to be started, on standard input and output or on a socket."""
    server = LanguageServer(
        name="ftc",
        version=VERSION,
        # A recipe is small. Whole texts need no agreement about where a line ends.
        text_document_sync_kind=types.TextDocumentSyncKind.Full,
    )
    _follow_documents(server)
    _answer_requests(server)
    return server


def _follow_documents(server: LanguageServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        _publish(server, params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        _publish(server, params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: types.DidChangeTextDocumentParams) -> None:
        uri, version = params.text_document.uri, params.text_document.version
        await asyncio.sleep(_PAUSE_SECONDS)
        document = server.workspace.text_documents.get(uri)
        if document is not None and document.version == version:  # else a later change is on its way
            _publish(server, uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        empty = types.PublishDiagnosticsParams(uri=params.text_document.uri, diagnostics=[])
        server.text_document_publish_diagnostics(empty)


def _answer_requests(server: LanguageServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=_TRIGGERS))
    def completion(params: types.CompletionParams) -> list[types.CompletionItem]:
        document = server.workspace.get_text_document(params.text_document.uri)
        if len(document.source) > LARGEST_FILE:
            return []
        return completions(document.source, params.position, _positions(document), _path(document.uri))

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hovered(params: types.HoverParams) -> types.Hover | None:
        document = server.workspace.get_text_document(params.text_document.uri)
        if len(document.source) > LARGEST_FILE:
            return None
        return hover(document.source, params.position, _positions(document))

    fixes = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, fixes)
    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        document = server.workspace.get_text_document(params.text_document.uri)
        path = _path(document.uri)
        found = find(document.source, path)
        return quick_fixes(found, document.uri, path, _positions(document), params.range)


def _publish(server: LanguageServer, uri: str) -> None:
    document = server.workspace.get_text_document(uri)
    path = _path(uri)
    found = find(document.source, path)
    shown = diagnostics(found, uri, path, _positions(document))
    server.text_document_publish_diagnostics(
        types.PublishDiagnosticsParams(uri=uri, version=document.version, diagnostics=shown)
    )


def _positions(document: TextDocument) -> Positions:
    return Positions(document.source, types.PositionEncodingKind(document.position_codec.encoding))


def _path(uri: str) -> Path | None:
    """Where a document lies; None for one that was never saved."""
    name = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(name) if name else None
