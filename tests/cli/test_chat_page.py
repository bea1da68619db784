"""The chat's page: whom its server answers, in which order, and what becomes of an answer that nobody waits for."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ftc.chatting.server import ChatServer
from ftc.cli.main import main
from ftc.loopback import PageHandler
from tests.support.parrots import Parrot

ABOUT = {"name": "desk", "run": "7f3a2b", "memory": "", "sampling": "greedy", "who": "tuned base"}


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(Parrot(), ABOUT) as found:
        thread = threading.Thread(target=found.serve)
        thread.start()
        yield found
        found.end()
        thread.join()


def opened(server: ChatServer, path: str, body: object = None, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    text = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, text, sent)
    return connection.getresponse()


def asked(server: ChatServer, line: str, *subjects: str, **more: str) -> list[dict[str, Any]]:
    response = opened(server, f"/{server.secret}/ask", {"line": line, "subjects": subjects, **more})
    assert response.status == 200
    return [json.loads(part) for part in response.read().splitlines()]


def test_both_models_answer_part_by_part(server: ChatServer) -> None:
    found = asked(server, "one two", "tuned", "base")
    parts = [(one["subject"], one["part"]) for one in found[:-1]]
    assert parts == [("tuned", "one "), ("tuned", "two "), ("base", "one "), ("base", "two ")]
    assert found[-1] == {"notes": ["it was truncated. shorten it"]}
    asked(server, "three", "base")
    assert isinstance(server.chat, Parrot)
    assert server.chat.lines == ["one two", "three"]
    opened(server, f"/{server.secret}/reset", {}).read()
    assert server.chat.lines == []
    assert json.loads(opened(server, f"/{server.secret}/about").read()) == ABOUT


def test_what_cannot_be_answered_is_told_and_the_next_line_is_answered(server: ChatServer) -> None:
    assert asked(server, "no", "tuned") == [{"refused": ["this can't be answered. it gives no tokens. another"]}]
    assert asked(server, "yes", "tuned")[0] == {"subject": "tuned", "part": "yes "}


def test_what_a_machine_has_no_room_for_is_told_and_the_next_line_is_answered(server: ChatServer) -> None:
    (found,) = asked(server, "much", "tuned", "base")
    assert "RuntimeError: CUDA out of memory" in found["refused"][0]
    assert asked(server, "yes", "tuned")[0] == {"subject": "tuned", "part": "yes "}


def test_the_server_says_whether_an_answer_stopped_in_time(server: ChatServer) -> None:
    chat = server.chat
    assert isinstance(chat, Parrot)
    response = opened(server, f"/{server.secret}/ask", {"line": "long", "subjects": ["tuned"], "id": "a"})
    assert response.readline()
    assert opened(server, f"/{server.secret}/stop", {"id": "a"}).status == 200
    *_, last = (json.loads(part) for part in response.read().splitlines())
    assert last == {"stopped": "Stopped; this line is forgotten."}
    assert chat.lines == []
    told = asked(server, "short", "tuned", id="b")
    assert opened(server, f"/{server.secret}/stop", {"id": "b"}).status == 200, "too late, and no fault"
    assert not any("stopped" in part for part in told)
    assert chat.lines == ["short"]


def test_a_stranger_is_refused_before_anything_is_read(server: ChatServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest("POST", "/wrong/ask")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "900000")
    connection.endheaders()  # and no body ever
    assert connection.getresponse().status == 400


def test_a_peer_that_says_nothing_is_hung_up_on(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PageHandler.timeout == 60
    monkeypatch.setattr(PageHandler, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as peer:
        assert peer.recv(1) == b""


def test_an_answer_stops_when_its_reader_leaves(server: ChatServer) -> None:
    chat = server.chat
    assert isinstance(chat, Parrot)
    response = opened(server, f"/{server.secret}/ask", {"line": "long", "subjects": ["tuned"]})
    assert response.read(10)
    response.close()
    assert chat.stopped.wait(60)
    assert chat.lines == [], "a line that was stopped is forgotten"
    assert asked(server, "next", "tuned")[0]["part"] == "next "


def test_strangers_get_nothing(server: ChatServer) -> None:
    inside = f"/{server.secret}"
    for path in ("/", "/about", "/wrong/about", inside, f"{inside}/../about", f"{inside}/x"):
        assert opened(server, path).status == 404
    assert opened(server, f"{inside}/about", Host="evil.example").status == 404
    bodies: list[object] = [[], {"line": "x"}, {"line": "", "subjects": ["base"]}, {"line": "x", "subjects": ["other"]}]
    for body in bodies:
        assert opened(server, f"{inside}/ask", body).status == 400
    assert opened(server, f"{inside}/ask", {"line": "x", "subjects": ["base"]}, Content_Type="text/plain").status == 400
    page = opened(server, f"{inside}/")
    assert (page.status, "default-src 'none'" in str(page.headers["Content-Security-Policy"])) == (200, True)
    for name in ("page.css", "page.js"):
        assert opened(server, f"{inside}/{name}").status == 200


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--port", "8000"], "goes with --page"),
        (["--no-browser"], "goes with --page"),
        (["--page", "--json"], "no JSON"),
    ],
)
def test_options_of_the_page_need_it(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "7f3a2b", *words]) == 64
    assert why in capsys.readouterr().err
