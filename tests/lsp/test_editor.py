"""The language server as an editor's own client library meets it: over the protocol, from start to exit."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls", reason="pygls isn't installed: pip install 'ftc[lsp]'")

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from ftc.spec.language.layout import laid_out

RECIPE = """\
ftc: 1
extends: base.yaml
name: tiny
task: {kind: classification}
data: {source: {path: data/rows.jsonl}}
model: {base: models/small}
strategy: {kind: lora}
train: {lr: 1e-4, schedule: {kind: cosine}}
eval: {metrics: [accuracy]}
"""
COMPOSE = "services:\n  web: {image: nginx}\nnetworks: {}\nvolumes: {a: {}}\n"
_WAIT_SECONDS = 60
"""A loaded machine is slower than any test expects."""

Session = Callable[["Editor"], Awaitable[None]]


class Editor:
    """An editor with one open project."""

    def __init__(self, client: LanguageClient, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.published: dict[str, types.PublishDiagnosticsParams] = {}
        self._news = asyncio.Event()

        def published(params: types.PublishDiagnosticsParams) -> None:
            self.published[params.uri] = params
            self._news.set()

        client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(published)

    async def open(self, name: str, text: str) -> types.PublishDiagnosticsParams:
        """Opens a document and waits for its findings."""
        uri = (self.folder / name).as_uri()
        document = types.TextDocumentItem(uri=uri, language_id="yaml", version=1, text=text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(document))
        while uri not in self.published:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), _WAIT_SECONDS)
        return self.published.pop(uri)

    async def ask(self, method: str, params: type[Any], name: str, text: str, mark: str, **more: Any) -> Any:
        """What the server answers about the place just behind a piece of the text."""
        before = text[: text.index(mark) + len(mark)]
        place = types.Position(before.count("\n"), len(before) - before.rfind("\n") - 1)
        uri = types.TextDocumentIdentifier((self.folder / name).as_uri())
        asked = params(text_document=uri, position=place, **more)
        return await asyncio.wait_for(getattr(self.client, method)(asked), _WAIT_SECONDS)


def in_an_editor(folder: Path, session: Session) -> None:
    """Runs a session from the first message to the server's exit, which has to be clean."""

    async def run() -> None:
        client = LanguageClient("tests", "1")
        await client.start_io(sys.executable, "-m", "ftc", "lsp", "--stdio", cwd=folder)
        server = client._server
        assert server is not None
        editor = Editor(client, folder)
        capabilities = types.ClientCapabilities()
        await client.initialize_async(types.InitializeParams(capabilities, root_uri=folder.as_uri()))
        client.initialized(types.InitializedParams())
        await session(editor)
        await asyncio.wait_for(client.shutdown_async(None), _WAIT_SECONDS)
        client.exit(None)
        assert await asyncio.wait_for(server.wait(), _WAIT_SECONDS) == 0, "a clean exit after a clean shutdown"
        client._stop_event.set()

    asyncio.run(run())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")
    (tmp_path / "models" / "small").mkdir(parents=True)
    (tmp_path / "base.yaml").write_text("ftc: 1\n", encoding="utf-8")
    return tmp_path


def test_a_session_of_an_editor(project: Path) -> None:
    pages: list[str] = []

    async def session(editor: Editor) -> None:
        found = await editor.open("recipe.yaml", RECIPE)
        (one,) = found.diagnostics
        assert one.code == "FTC104"
        assert one.code_description is not None
        pages.append(one.code_description.href)

        fixes = await editor.client.text_document_code_action_async(
            types.CodeActionParams(
                types.TextDocumentIdentifier(found.uri), one.range, types.CodeActionContext(found.diagnostics)
            )
        )
        assert [fix.title for fix in fixes or ()] == ["rename `lr` to `learning_rate`"]

        where = await editor.ask(
            "text_document_definition_async", types.DefinitionParams, "recipe.yaml", RECIPE, "extends: ba"
        )
        assert where.uri == (project / "base.yaml").as_uri()
        rows = await editor.ask(
            "text_document_definition_async", types.DefinitionParams, "recipe.yaml", RECIPE, "data/ro"
        )
        assert rows.uri == (project / "data" / "rows.jsonl").as_uri()

        hover = await editor.ask("text_document_hover_async", types.HoverParams, "recipe.yaml", RECIPE, "{kind: cosi")
        assert "cosine decay" in hover.contents.value
        hover = await editor.ask("text_document_hover_async", types.HoverParams, "recipe.yaml", RECIPE, "[accu")
        assert "higher is better" in hover.contents.value

        symbols = await editor.client.text_document_document_symbol_async(
            types.DocumentSymbolParams(types.TextDocumentIdentifier(found.uri))
        )
        outline = [one for one in symbols or () if isinstance(one, types.DocumentSymbol)]
        names = [one.name for one in outline]
        assert names == ["ftc", "extends", "name", "task", "data", "model", "strategy", "train", "eval"]
        (train,) = [one for one in outline if one.name == "train"]
        assert [child.name for child in train.children or ()] == ["lr", "schedule"]

    in_an_editor(project, session)
    (page,) = pages
    assert Path(page.removeprefix("file://")).read_text(encoding="utf-8").startswith("# FTC104: "), "a code's page"


def test_paths_and_metrics_that_fit_are_offered(project: Path) -> None:
    async def session(editor: Editor) -> None:
        text = RECIPE.replace("models/small", "mod").replace("[accuracy]", "[accuracy, m]")
        await editor.open("recipe.yaml", text)
        ask = "text_document_completion_async", types.CompletionParams, "recipe.yaml", text
        paths = await editor.ask(*ask, "base: mod")
        assert [one.label for one in paths] == ["models/"]
        metrics = {one.label for one in await editor.ask(*ask, "[accuracy, m")}
        assert {"macro_f1", "mcc"} <= metrics
        assert not metrics & {"rouge_l", "bleu", "perplexity"}, "a classification has no ROUGE"

    in_an_editor(project, session)


def test_the_layout_of_ftc_fmt(project: Path) -> None:
    async def session(editor: Editor) -> None:
        text = "name: tiny\nftc: 1\ntask:   {kind: chat}\n"
        found = await editor.open("recipe.yaml", text)
        edits = await editor.client.text_document_formatting_async(
            types.DocumentFormattingParams(types.TextDocumentIdentifier(found.uri), types.FormattingOptions(2, True))
        )
        assert [edit.new_text for edit in edits or ()] == [laid_out(text.encode(), "recipe.yaml").decode()]

    in_an_editor(project, session)


def test_other_yaml_is_left_alone(project: Path) -> None:
    async def session(editor: Editor) -> None:
        assert not (await editor.open("docker-compose.yaml", COMPOSE)).diagnostics
        offered = await editor.ask(
            "text_document_completion_async", types.CompletionParams, "docker-compose.yaml", COMPOSE, "networks"
        )
        assert not offered

    in_an_editor(project, session)
