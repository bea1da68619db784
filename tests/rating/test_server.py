"""The page's server: whom it answers, what it takes, and that it never tells whose an answer is."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftc.cli import history
from ftc.compiler.tokens.stream_writer import write_images
from ftc.rating.ballots import Contest, Pair, open_ballot
from ftc.rating.server import RatingServer
from ftc.spec.documents.stream_images import IMAGES_FILE, StreamImages


@contextmanager
def served(server: RatingServer) -> Iterator[None]:
    """The server at work while the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield
    server.shutdown()
    thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RatingServer]:
    pairs = tuple(Pair(row, f"question {row}", None, f"red {row}", f"blue {row}") for row in range(8))
    contest = Contest("x", "SECRET-ONE", "SECRET-TWO", pairs, same=0)
    ballot = open_ballot(tmp_path, "ann")
    with RatingServer(contest, ballot, StreamImages(tmp_path), seed=0) as found, served(found):
        yield found


def ask(server: RatingServer, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    text = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, text, sent)
    response = connection.getresponse()
    return response.status, response.read().decode()


def inside(server: RatingServer, name: str, body: object = None) -> Any:
    status, text = ask(server, f"/{server.secret}/{name}", body)
    assert status == 200, text
    return json.loads(text)


def test_a_decision_is_kept_by_contestant_and_shown_by_side(server: RatingServer) -> None:
    for number in range(8):
        item = inside(server, f"item/{number}")
        better = "left" if item["left"].startswith("blue") else "right"
        state = inside(server, "rate", {"number": number, "choice": better})
        assert state["choices"][number] == better
    assert {rating.choice for rating in server.ballot.latest.values()} == {"second"}
    assert {rating.left for rating in server.ballot.latest.values()} == {"first", "second"}
    assert inside(server, "result")["overall"]["wins"] == 8


def test_names_stay_hidden_until_the_last_row(server: RatingServer) -> None:
    seen = [json.dumps(inside(server, name)) for name in ("state", *(f"item/{number}" for number in range(8)))]
    assert not any("SECRET" in text for text in seen)
    assert ask(server, f"/{server.secret}/result")[0] == 400
    for number in range(8):
        inside(server, "rate", {"number": number, "choice": "bad" if number == 5 else "tie"})
    assert inside(server, "state")["choices"][5] == "bad"
    result = inside(server, "result")
    assert result["first"] == "SECRET-ONE"
    assert (result["overall"]["ties"], result["overall"]["both_bad"]) == (7, 1)
    assert result["decided"] == 0, "neither is better where both are bad"
    inside(server, "rate", {"number": 3, "choice": None})
    assert ask(server, f"/{server.secret}/result")[0] == 400


def test_strangers_get_nothing(server: RatingServer) -> None:
    for path in (
        "/",
        "/state",
        "/wrong/state",
        f"/{server.secret}",
        f"/{server.secret}/../state",
        f"/{server.secret}/x",
    ):
        assert ask(server, path)[0] == 404, path
    assert ask(server, f"/{server.secret}/state", Host="attacker.example")[0] == 404
    rate = f"/{server.secret}/rate"
    assert ask(server, rate, {"number": 0, "choice": "left"}, Host="attacker.example")[0] == 400
    assert ask(server, rate, {"number": 0, "choice": "left"}, Content_Type="text/plain")[0] == 400
    assert not server.ballot.latest


NUMBERS: tuple[object, ...] = (-1, 8, "0", None, True, 1.5)
CHOICES: tuple[object, ...] = ("first", "", 1, [], {})


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    "body",
    [
        *({"number": number, "choice": "left"} for number in NUMBERS),
        *({"number": 0, "choice": choice} for choice in CHOICES),
        *([], "x", {"choice": "left"}, {"number": 0, "choice": "left", "more": "x" * 20_000}),
    ],
)
def test_nonsense_is_refused_and_counts_for_nothing(server: RatingServer, body: object) -> None:
    assert ask(server, f"/{server.secret}/rate", body)[0] == 400
    assert not server.ballot.latest


def test_a_full_disk_is_told_and_nothing_counts(server: RatingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftc.rating.ballots.os.fsync", full)
    status, text = ask(server, f"/{server.secret}/rate", {"number": 0, "choice": "left"})
    assert (status, "No space left" in text) == (507, True)
    assert not server.ballot.latest


def test_the_page_may_load_nothing_from_elsewhere(server: RatingServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", f"/{server.secret}/")
    response = connection.getresponse()
    page = response.read().decode()
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "http" not in page.replace('lang="en"', "")


def test_a_port_that_is_taken_is_named_with_a_way_out(
    server: RatingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contest = Contest("x", "one", "two", (Pair(0, "question", None, "red", "blue"),), same=0)
    args = Namespace(rater="ann", seed=0, port=server.server_port, no_browser=True, shows_personal_data=False)
    with pytest.raises(OSError, match=f"port {server.server_port} can't be had .*name another by `--port`"):
        history._serve_ballot(contest, tmp_path / "ratings", tmp_path, args)
    nothing = Contest("x", "one", "two", (), same=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_show_tally", lambda *_: pytest.fail("nothing is told twice"))
        history._serve_ballot(nothing, tmp_path / "nothing", tmp_path, args)
    assert "there is nothing to rate" in capsys.readouterr().out
    assert not (tmp_path / "nothing").exists()


@pytest.fixture
def with_images(tmp_path: Path) -> Iterator[tuple[RatingServer, str]]:
    """A server of one pair, whose row has an image of 2,000 x 10 pixels and one that is gone, and its sha256."""
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.new("RGB", (2000, 10), "green").save(file, "PNG")
    name = hashlib.sha256(file.getvalue()).hexdigest()
    write_images(tmp_path / IMAGES_FILE, [(name, file.getvalue())])
    pair = Pair(0, "which color?", "green", "red", "green", (name, "0" * 64))
    contest = Contest("x", "one", "two", (pair,), same=0)
    ballot = open_ballot(tmp_path, "ann")
    with RatingServer(contest, ballot, StreamImages(tmp_path), seed=0) as found, served(found):
        yield found, name


def test_a_rater_sees_what_the_model_saw(with_images: tuple[RatingServer, str]) -> None:
    pillow = pytest.importorskip("PIL.Image")
    server, name = with_images
    assert inside(server, "item/0")["images"] == 2
    with pillow.open(io.BytesIO(server.image(0, 0))) as shown:
        assert (shown.format, shown.size) == ("JPEG", (1600, 8))
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", f"/{server.secret}/image/0/0")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Content-Type"), answer.read()) == (200, "image/jpeg", server.image(0, 0))
    status, words = ask(server, f"/{server.secret}/image/0/1")
    assert (status, "ftc plan RECIPE" in words) == (404, True), "it is gone, and what brings it back is said"
    for which in ("0/2", "0/-1", "-1/0", "1/0", "0", "a/b", name):
        assert ask(server, f"/{server.secret}/image/{which}")[0] == 400, which


def test_a_masked_row_shows_no_image(with_images: tuple[RatingServer, str]) -> None:
    server, _ = with_images
    (pair,) = server.order
    server.order = [replace(pair, prompt="who is jane.doe@example.com?")]
    assert inside(server, "item/0")["images"] == 0
    assert ask(server, f"/{server.secret}/image/0/0")[0] == 400
