"""The protocol: what the client says, and what answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument

from ftc.lsp import assist, findings
from ftc.lsp.positions import Positions
from ftc.spec.language.source import LARGEST_FILE
from ftc.spec.version import VERSION

__all__ = ["make_server"]

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
        return assist.completions(document.source, params.position, _positions(document), _path(document.uri))

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hovered(params: types.HoverParams) -> types.Hover | None:
        document = server.workspace.get_text_document(params.text_document.uri)
        if len(document.source) > LARGEST_FILE:
            return None
        return assist.hover(document.source, params.position, _positions(document))

    fixes = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, fixes)
    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        document = server.workspace.get_text_document(params.text_document.uri)
        path = _path(document.uri)
        found = findings.find(document.source, path)
        return findings.quick_fixes(found, document.uri, path, _positions(document), params.range)


def _publish(server: LanguageServer, uri: str) -> None:
    document = server.workspace.get_text_document(uri)
    path = _path(uri)
    found = findings.find(document.source, path)
    shown = findings.diagnostics(found, uri, path, _positions(document))
    server.text_document_publish_diagnostics(
        types.PublishDiagnosticsParams(uri=uri, version=document.version, diagnostics=shown)
    )


def _positions(document: TextDocument) -> Positions:
    return Positions(document.source, types.PositionEncodingKind(document.position_codec.encoding))


def _path(uri: str) -> Path | None:
    """Where a document lies; None for one that was never saved."""
    name = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(name) if name else None
