"""The protocol: what the client says, and what answers: findings, quick fixes, completion, hovering, and the ways about
a recipe of `ftc.lsp.navigate`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from lsprotocol import types
from lsprotocol.types import (
    CompletionItem,
    CompletionItemKind,
    Hover,
    MarkupContent,
    MarkupKind,
    Position,
    Range,
    TextEdit,
)
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument

from ftc.compiler.rules.check import check_recipe
from ftc.lsp.language import Choice, Key, choices_at, columns_of, in_flow, item_choices_at, keys_at, parts_of
from ftc.lsp.navigate import definition, formatting, is_recipe, meaning, page_of, paths_at, symbols
from ftc.lsp.outline import Place, Slot, Word, outline
from ftc.lsp.positions import Positions
from ftc.spec.diagnostics import Diagnostic, Fix, Severity, Span
from ftc.spec.language.source import LARGEST_FILE
from ftc.spec.metrics import METRIC_BY_NAME
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.cached import PAGES
from ftc.spec.storage.paths import cache_folder
from ftc.spec.version import VERSION

__all__ = ["completions", "hover", "make_server"]


_SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.NOTE: types.DiagnosticSeverity.Information,
}
_START = Span("", 1, 1, 1, 1)


def find(text: str, path: Path | None) -> tuple[Diagnostic, ...]:
    """What is wrong with a recipe's text; nothing with other YAML. Of the disk it reads only what the text extends."""
    if not is_recipe(text, path):
        return ()
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
        code_description=types.CodeDescription(href=page) if (page := _page(one.code)) else None,
        source="ftc",
        message="\n".join(lines),
        related_information=related or None,
    )


@cache
def _page(code: str) -> str | None:
    """Where the explanation of a code lies; it is written to ftc's cache when an editor first shows the code."""
    file = PAGES.under(cache_folder()) / f"{code}.md"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, page_of(code))
    except OSError:  # without a cache there is no link, and everything else
        return None
    return file.resolve().as_uri()


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
_METRICS = ("eval", "metrics")
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
    if found is None or not is_recipe(text, file):
        return []
    slot, word = found
    place = positions.range_between(word.start, word.end - len(_CURSOR))
    if word is slot.key:
        return [_key_item(key, slot, place, number) for number, key in enumerate(_missing_keys(slot, slots))]
    return [_choice_item(choice, place, number) for number, choice in enumerate(_choices(slot, slots, file))]


def hover(text: str, position: Position, positions: Positions, file: Path | None = None) -> Hover | None:
    """What the key under the cursor means, or the key of the value there."""
    offset = positions.offset_of(position)
    slots = outline(text) if is_recipe(text, file) else ()
    for slot in slots:
        word = next((word for word in (slot.key, slot.value) if word and word.start <= offset <= word.end), None)
        if word and (key := _key_of(slot, slots)):
            about = meaning(slot.place, word.plain) if word is slot.value else None
            lines = [about] if about else []
            content = MarkupContent(kind=MarkupKind.Markdown, value="\n\n".join([*lines, key.explanation()]))
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
    if file and (paths := tuple(Choice(in_flow(name), about) for name, about in paths_at(slot, _before(slot), file))):
        return paths
    there = _siblings(place[:-1], slots)
    found = choices_at(place, there) if slot.key else item_choices_at(place, there)
    task = _siblings(("task",), slots).get("kind")
    if place != _METRICS or task is None:
        return found
    return tuple(one for one in found if _is_for(one.text.strip("[]"), task))


def _before(slot: Slot) -> str:
    """What is written of a value, up to the cursor."""
    return slot.value.plain.partition(_CURSOR)[0] if slot.value else ""


def _is_for(metric: str, task: str) -> bool:
    card = METRIC_BY_NAME.get(metric)
    return card is None or task in card.tasks


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
        return hover(document.source, params.position, _positions(document), _path(document.uri))

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def outlined(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        document = server.workspace.get_text_document(params.text_document.uri)
        return symbols(document.source, _positions(document)) if _is_answered(document) else []

    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def defined(params: types.DefinitionParams) -> types.Location | None:
        document = server.workspace.get_text_document(params.text_document.uri)
        if not _is_answered(document):
            return None
        return definition(document.source, params.position, _positions(document), _path(document.uri))

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def formatted(params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        document = server.workspace.get_text_document(params.text_document.uri)
        return formatting(document.source, _positions(document)) if _is_answered(document) else []

    fixes = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, fixes)
    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        document = server.workspace.get_text_document(params.text_document.uri)
        path = _path(document.uri)
        found = find(document.source, path)
        return quick_fixes(found, document.uri, path, _positions(document), params.range)


def _is_answered(document: TextDocument) -> bool:
    return len(document.source) <= LARGEST_FILE and is_recipe(document.source, _path(document.uri))


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
