"""An endpoint on this machine that grades answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ftc.spec.judges import Judge

__all__ = ["Reply", "Service", "chat", "serving"]

Reply = tuple[int, bytes]


def chat(text: str | None, *, usage: Any = None, ended_by: str = "stop") -> Reply:
    choice = {"message": {"content": text}, "finish_reason": ended_by}
    return 200, json.dumps({"choices": [choice], **({"usage": usage} if usage is not None else {})}).encode()


class Service:
    """An endpoint that answers as a test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.reply: Callable[[int, dict[str, Any]], Reply] = lambda number, given: chat("7")
        lock, service = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(service.asked)
                    service.asked.append((self.path, dict(self.headers), body))
                status, content = service.reply(number, json.loads(body["messages"][1]["content"]))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.judge = Judge(url=f"http://127.0.0.1:{self.server.server_port}/v1", model="large", key_env="KEY")


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service that runs meanwhile, which no proxy stands before."""
    from ftc.runtime.evaluation import judge_requests

    monkeypatch.setattr(judge_requests, "_PAUSE_SECONDS", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = Service()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
        thread.join()
