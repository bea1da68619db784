"""A small client of the language server protocol: JSON-RPC with a child process over its standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import IO, Any, Self

__all__ = ["Client", "position", "range_text"]

_LONGEST_WAIT_SECONDS = 60
"""A server that says nothing for so long hangs; a loaded machine is slower than any test expects."""


class Client:
    """Talks to `ftc lsp`. A context manager: it shuts the server down in the order that the protocol asks for."""

    def __init__(self, folder: Path, *, encodings: tuple[str, ...] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ftc", "lsp", "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
        )
        self._received: Queue[dict[str, Any] | None] = Queue()
        self._waiting: list[dict[str, Any]] = []
        self._last_id = 0
        self._reader = threading.Thread(target=self._read_all, args=(self._pipe("stdout"),), daemon=True)
        self._reader.start()
        general = {"general": {"positionEncodings": list(encodings)}} if encodings else {}
        parameters = {"processId": None, "rootUri": folder.as_uri(), "capabilities": general}
        self.capabilities: dict[str, Any] = self.request("initialize", parameters)["capabilities"]
        self.notify("initialized", {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.request("shutdown", None)
                self.notify("exit", None)
            else:
                self._process.kill()
            self._pipe("stdin").close()
            self._process.wait(_LONGEST_WAIT_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            for name in ("stdout", "stderr"):
                self._pipe(name).close()

    def open(self, uri: str, text: str) -> None:
        """Opens a document."""
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, text: str, version: int) -> None:
        """Replaces a document's whole text."""
        document = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})

    def findings(self, uri: str, version: int = 1) -> list[dict[str, Any]]:
        """The diagnostics that the server publishes for a version of a document."""
        published = self.wait_for(
            lambda message: (
                message.get("method") == "textDocument/publishDiagnostics"
                and message["params"]["uri"] == uri
                and message["params"].get("version") == version
            )
        )
        found: list[dict[str, Any]] = published["params"]["diagnostics"]
        return found

    def ask(self, what: str, uri: str, text: str, offset: int) -> Any:
        """The answer to a question about a place of a document, such as `completion` or `hover`."""
        place = {"textDocument": {"uri": uri}, "position": position(text, offset)}
        return self.request(f"textDocument/{what}", place)

    def request(self, method: str, parameters: Any) -> Any:
        """The result of a request."""
        self._last_id += 1
        number = self._last_id
        self._send({"id": number, "method": method, "params": parameters})
        answer = self.wait_for(lambda message: message.get("id") == number and "method" not in message)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def notify(self, method: str, parameters: Any) -> None:
        """Tells the server something."""
        self._send({"method": method, "params": parameters})

    def wait_for(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message that is wanted; others stay for later."""
        for message in self._waiting:
            if is_wanted(message):
                self._waiting.remove(message)
                return message
        while True:
            try:
                received = self._received.get(timeout=_LONGEST_WAIT_SECONDS)
            except Empty:
                raise AssertionError("the server does not answer") from None
            assert received is not None, self._pipe("stderr").read().decode()
            if is_wanted(received):
                return received
            self._waiting.append(received)

    def _send(self, message: dict[str, Any]) -> None:
        if message["params"] is None:
            del message["params"]
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream = self._pipe("stdin")
        stream.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        stream.flush()

    def _read_all(self, stream: IO[bytes]) -> None:
        while line := stream.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
                while stream.readline().strip():
                    pass
                self._received.put(json.loads(stream.read(length)))
        self._received.put(None)

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] = getattr(self._process, name)
        return pipe


def position(text: str, offset: int) -> dict[str, int]:
    """An offset as line and column in UTF-16 units."""
    before = text[:offset].split("\n")
    return {"line": len(before) - 1, "character": len(before[-1].encode("utf-16-le")) // 2}


def range_text(text: str, place: dict[str, Any]) -> str:
    """The part of a text that a range in UTF-16 units covers; the range lies in one line."""
    start, end = place["start"], place["end"]
    assert start["line"] == end["line"]
    line = text.split("\n")[start["line"]].encode("utf-16-le")
    return str(line[2 * start["character"] : 2 * end["character"]], "utf-16-le")
