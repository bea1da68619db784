"""A server that speaks OpenAI's protocol, as much of it as is measured, with faults on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ChatServer", "chat_server"]


@dataclass
class ChatServer:
    """What the server says.

    Attributes:
        answer: Text by the conversation, or by the prompt's tokens.
        likeliest: The likeliest next tokens behind some, with their log-probabilities; None to serve none.
        template: The prompt of a conversation; None where the server doesn't show it.
        fault: What goes wrong with answers: a status, `hang`, `cut`, `huge`, `redirect`, `garbage` or `error`.
        by_text: Whether tokens are named by their text, as OpenAI does.
    """

    answer: Callable[[Any], str]
    likeliest: Callable[[Sequence[int]], Mapping[int, float]] | None = None
    template: Callable[[Sequence[Mapping[str, str]]], str] | None = None
    prompt_tokens: Callable[[Any], int] | None = None
    models: tuple[str, ...] = ("tiny",)
    fault: str = ""
    by_text: Callable[[int], str] | None = None
    streams: bool = True
    key: str = ""
    url: str = ""
    paths: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def chat_server(said: ChatServer) -> Iterator[ChatServer]:
    """The server at `said.url` while the block runs."""

    class Handler(_Handler):
        server_says = said

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    said.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield said
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_says: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server_says.paths.append(self.path)
        if self.server_says.key and self.headers.get("Authorization") != f"Bearer {self.server_says.key}":
            self._send(401, {})
        elif self.server_says.fault == "redirect all":
            self._redirect()
        else:
            self._send(200, {"data": [{"id": name} for name in self.server_says.models]})

    def do_POST(self) -> None:
        said = self.server_says
        said.paths.append(self.path)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(said, asked)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Counts an answer that is made; whoever got it may ask again before this thread goes on."""
        said = self.server_says
        with said.lock:
            said.at_once += 1
            said.most_at_once = max(said.most_at_once, said.at_once)
        try:
            yield
        finally:
            with said.lock:
                said.at_once -= 1

    def _answer(self, said: ChatServer, asked: Any) -> None:
        if self.path == "/apply-template" and said.template is not None:
            self._send(200, {"prompt": said.template(asked["messages"])})
        elif self.path == "/v1/completions" and "stream" not in asked:
            self._logprobs(said, asked)
        elif self.path in ("/v1/chat/completions", "/v1/completions"):
            self._write(said, asked)
        else:
            self._send(404, {})

    def _logprobs(self, said: ChatServer, asked: Any) -> None:
        if said.likeliest is None:
            self._send(400, {})
            return
        with self._working():
            found = said.likeliest(asked["prompt"])
        if said.by_text is not None:
            top: Any = {"top_logprobs": [{said.by_text(number): value for number, value in found.items()}]}
        else:
            named = [{"id": number, "token": "", "logprob": value} for number, value in found.items()]
            top = {"content": [{**named[0], "top_logprobs": named}]}
        self._send(200, {"choices": [{"text": "", "logprobs": top}]})

    def _write(self, said: ChatServer, asked: Any) -> None:
        fault, prompt = said.fault, asked.get("messages") or asked["prompt"]
        if fault.isdigit():
            self._send(int(fault), {"error": {"message": "no"}})
        elif fault == "redirect":
            self._redirect()
        elif fault == "hang":
            time.sleep(3)
        elif fault == "garbage":
            self._begin("text/html")
            self._chunk(b"<html>\n\n")
            self._chunk(b"data: <p>\n\n")
            self._chunk(b"")
        elif not said.streams:
            with self._working():
                text = said.answer(prompt)
            self._send(200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
        else:
            self._stream(said, prompt)

    def _stream(self, said: ChatServer, prompt: Any) -> None:
        with self._working():
            text = "x" * (9 << 20) if said.fault == "huge" else said.answer(prompt)
        self._begin("text/event-stream")
        if said.fault == "error":
            self._event({"error": {"message": "out of memory"}})
        middle = len(text) // 2
        for part in (text[:middle], text[middle:]):
            self._event({"choices": [{"delta": {"content": part}, "finish_reason": None}]})
            if said.fault == "cut":
                self.close_connection = True
                return
        self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        if said.prompt_tokens is not None:
            usage = {"prompt_tokens": said.prompt_tokens(prompt), "completion_tokens": len(text.split())}
            self._event({"choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _event(self, value: Any) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
