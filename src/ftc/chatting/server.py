"""The page's server. Models answer in the thread that loaded them, one line at a time, and the page shows each part."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol, get_args

from ftc.loopback import PageHandler, PageServer
from ftc.spec.diagnostics import Diagnostic, Refusal
from ftc.spec.storage.reading import parse_json
from ftc.verbs.chat import Subject

__all__ = ["ChatServer", "Conversation"]

_PAGES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_MOST_BYTES = 1_000_000
"""Of a line; what a model can read is far shorter."""
_TURN_S = 0.2
"""How long the server waits for a line before it looks whether somebody asked to stop."""


class Conversation(Protocol):
    """What answers: `ftc.verbs.chat.Chat`."""

    def ask(self, line: Any, subjects: Sequence[Any], say: Any) -> Any:
        """Answers to one line, model by model, with `texts` and `findings`."""
        ...

    def reset(self) -> None:
        """Forgets what was said."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A line that waits for its answers, or for the conversation to start over where it is None."""

    line: str | None
    subjects: tuple[Subject, ...]
    id: str = ""
    """By which the page stops it; empty where nobody does."""
    parts: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)
    gone: threading.Event = field(default_factory=threading.Event)


class _Gone(Exception):
    """Nobody waits for the answer any more, or somebody stopped it."""


class ChatServer(PageServer):
    """Serves the page until it is closed.

    Args:
        chat: What answers.
        about: What the page shows of the run: `name`, `run`, `memory`, `sampling`, and `who` answers at first.
        read: What a line stands for: itself, or a row.
        port: Port on the loopback address; 0 for any that is free.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self, chat: Conversation, about: Mapping[str, str], *, read: Callable[[str], Any] = str, port: int = 0
    ) -> None:
        super().__init__(_Handler, port)
        self.chat, self.about, self._read = chat, dict(about), read
        self._jobs: queue.Queue[_Job] = queue.Queue()
        self._open: dict[str, _Job] = {}
        self._ended = threading.Event()

    def serve(self) -> None:
        """Answers in this thread until somebody interrupts it.

        Raises:
            KeyboardInterrupt: Somebody asked to stop.
        """
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            while not self._ended.is_set():
                # Ctrl-C may reach a thread of torch, and would end no long wait in this one.
                with contextlib.suppress(queue.Empty):
                    self._work(self._jobs.get(timeout=_TURN_S))
        finally:
            self.shutdown()
            thread.join()

    def end(self) -> None:
        """Has `serve` return, and an answer that is being written stop."""
        self._ended.set()

    def asked(self, job: _Job) -> None:
        """Takes a line, which is answered when its turn comes."""
        if job.id:
            self._open[job.id] = job
        self._jobs.put(job)

    def stop(self, id: str) -> None:
        """Stops an answer; its last part says whether that came in time. One that has ended stays as it is."""
        if job := self._open.get(id):
            job.gone.set()

    def _work(self, job: _Job) -> None:
        def say(subject: str, part: str) -> None:
            if job.gone.is_set() or self._ended.is_set():
                raise _Gone
            job.parts.put({"subject": subject, "part": part})

        try:
            if job.line is None:
                self.chat.reset()
            elif job.gone.is_set():
                raise _Gone
            else:
                findings = self.chat.ask(self._read(job.line), job.subjects, say).findings
                job.parts.put({"notes": [_words(one) for one in findings]})
        except _Gone:
            job.parts.put({"stopped": "Stopped; this line is forgotten."})
        except Refusal as refusal:
            job.parts.put({"refused": [_words(one) for one in refusal.diagnostics]})
        except Exception as error:  # noqa: BLE001 - a full card or disk ends one answer, not the conversation
            name = type(error).__name__
            job.parts.put({"refused": [f"{name}: {error}. This line is forgotten; a shorter one may be answered."]})
        finally:
            self._open.pop(job.id, None)
            job.parts.put(None)


def _words(found: Diagnostic) -> str:
    return ". ".join((found.summary, *found.notes, *found.help))


class _Handler(PageHandler):
    server: ChatServer  # pyright: ignore[reportIncompatibleVariableOverride]  # as socketserver asks
    package = "ftc.chatting"
    files = _PAGES
    most_bytes = _MOST_BYTES

    def got(self) -> None:
        """Files of the page, and what it shows of the run."""
        match self.inside():
            case "about":
                self.send(HTTPStatus.OK, "application/json", json.dumps(self.server.about).encode())
            case name if name in _PAGES:
                self.page(str(name))
            case _:
                self.refuse(HTTPStatus.NOT_FOUND)

    def posted(self) -> None:
        """A line, whose answers come part by part, each a line of JSON; the end of one; or a new conversation."""
        name = self.inside()
        body = self.body() if name is not None else None  # a stranger's is never read
        said = _said(body) if body is not None else None
        if name == "stop" and said is not None and isinstance(said.get("id"), str):
            self.server.stop(said["id"])
            self.send(HTTPStatus.OK, "application/json", b"{}")
            return
        job = _job(name, said) if said is not None else None
        if job is None:
            self.refuse(HTTPStatus.BAD_REQUEST)
            return
        self.server.asked(job)
        try:
            self.begin(HTTPStatus.OK, "application/x-ndjson", length=None)
            while (part := job.parts.get()) is not None:
                self.wfile.write(json.dumps(part).encode() + b"\n")
        except OSError:  # the page was closed, or asked to stop
            job.gone.set()


def _said(body: bytes) -> dict[str, Any] | None:
    """The object in a request; None where it holds none."""
    try:
        said = parse_json(body)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _job(name: str | None, said: Mapping[str, Any]) -> _Job | None:
    """What is asked for; None where it makes no sense."""
    if name == "reset":
        return _Job(None, ())
    line, subjects, id = said.get("line"), said.get("subjects"), said.get("id", "")
    if name != "ask" or not isinstance(line, str) or not line.strip() or not isinstance(subjects, list):
        return None
    if not subjects or not all(one in get_args(Subject) for one in subjects) or not isinstance(id, str):
        return None
    return _Job(line.strip(), tuple(dict.fromkeys(subjects)), id)
