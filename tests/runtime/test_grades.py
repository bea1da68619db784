"""Grades that a judge gives the answers of a run: each is asked for once, and none is made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftc.runtime.evaluation.judge_requests import Question
from ftc.runtime.rewards import reward_values
from ftc.runtime.rewards.grades import GradeBook
from ftc.runtime.training.signals import StopRequest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.judging import read_judged
from ftc.spec.rewards import RewardJudge, RewardTerm
from tests.support.judges import Service, chat, serving


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with serving(monkeypatch) as found:
        yield found


def _questions(*answers: str) -> list[Question]:
    return [Question("say it", "it", answer) for answer in answers]


def _book(service: Service, folder: Path, *, asks: bool = True) -> GradeBook:
    return GradeBook(folder / "judged.ndjson", service.judge, StopRequest(), asks=asks, environment={})


def test_each_answer_is_asked_about_once_and_kept(service: Service, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 70, "completion_tokens": 1}
    service.reply = lambda number, given: chat(str(len(given["answer"])), usage=usage)
    book = _book(service, tmp_path)
    assert book.rewards(_questions("a", "abcdefghij", "a")) == [0, 1, 0]
    assert len(service.asked) == 2
    again = _book(service, tmp_path, asks=False)
    assert again.rewards(_questions("abcdefghij")) == [1]
    assert len(service.asked) == 2, "nobody was asked again"
    lines = read_judged(tmp_path / "judged.ndjson").values()
    assert sorted((line.grade, line.reply, line.requests, line.sent_tokens) for line in lines) == [
        (1, "1", 1, 70),
        (10, "10", 1, 70),
    ]


def test_a_failure_is_tried_again_and_counted(service: Service, tmp_path: Path) -> None:
    service.reply = lambda number, given: (503, b"") if number < 2 else chat("7")
    book = _book(service, tmp_path)
    (reward,) = book.rewards(_questions("a"))
    assert reward == pytest.approx(6 / 9)
    (line,) = read_judged(tmp_path / "judged.ndjson").values()
    assert line.requests == 3


def test_a_judge_that_stays_silent_ends_the_run_and_what_it_said_is_kept(service: Service, tmp_path: Path) -> None:
    service.reply = lambda number, given: chat("5") if given["answer"] == "a" else (500, b"")
    with pytest.raises(Refusal, match="FTC457") as refused:
        _book(service, tmp_path).rewards(_questions("a", "b"))
    assert "status 500" in str(refused.value)
    service.reply = lambda number, given: (200, b"<html>Sign in</html>")
    with pytest.raises(Refusal, match="not JSON"):
        _book(service, tmp_path).rewards(_questions("a", "b"))
    asked = len(service.asked)
    service.reply = lambda number, given: chat("5")
    assert len(_book(service, tmp_path).rewards(_questions("a", "b"))) == 2
    assert len(service.asked) == asked + 1, "the other one was known"


def test_a_reply_without_a_grade_earns_the_least_and_is_counted(service: Service, tmp_path: Path) -> None:
    service.reply = lambda number, given: chat("I can't say")
    book = _book(service, tmp_path)
    assert book.rewards(_questions("a")) == [0.0]
    assert (book.ungraded, len(book)) == (1, 1), "FTC458 tells how many"


def test_a_replay_asks_nobody(service: Service, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="FTC457"):
        _book(service, tmp_path, asks=False).rewards(_questions("a"))
    assert not service.asked


def test_a_line_that_a_crash_cut_off_is_asked_about_again(service: Service, tmp_path: Path) -> None:
    _book(service, tmp_path).rewards(_questions("a"))
    file = tmp_path / "judged.ndjson"
    file.write_bytes(file.read_bytes() + b'{"grade": 3, "ques')
    _book(service, tmp_path).rewards(_questions("a", "b"))
    assert len(service.asked) == 2
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_recorded_values_stand_at_the_place_of_their_reward() -> None:
    judge = RewardTerm(kind="judge", judge=RewardJudge(url="http://localhost:1/v1", model="m"))
    rewards = [RewardTerm(kind="exact_match"), judge]
    assert reward_values(rewards, "a", "a", (0.5,)) == (1, 0.5)
    with pytest.raises(ValueError, match="lacks the reward"):
        reward_values(rewards, "a", "a")
