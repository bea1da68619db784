"""A judge behind an endpoint on this machine: what goes out, what is made of what comes back, and what fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from ftc.compiler.tokens.judged_tokens import judged_tokens
from ftc.runtime.evaluation import judge_requests as judging
from ftc.runtime.evaluation.evaluate_again import evaluate_again
from ftc.runtime.evaluation.judge_requests import Question, grades
from ftc.runtime.training.signals import Interrupted, StopRequest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event
from ftc.spec.documents.record import Evaluation
from tests.runtime.jobs import Job, make_job
from tests.support.judges import Reply, Service, chat, serving


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with serving(monkeypatch) as found:
        yield found


def questions(*answers: str) -> list[Question]:
    return [Question("say it", "it", answer) for answer in answers]


def test_each_answer_is_graded_by_itself_with_the_key_in_the_header(service: Service) -> None:
    service.reply = lambda number, given: chat(f"Grade: {len(given['answer'])}.")
    found = grades(service.judge, questions("abc", "a", "abcdefghij"), StopRequest(), {"KEY": "k-93-not-for-files"})
    assert (found.grades, found.failure) == ([3, 1, 10], "")
    path, headers, body = service.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer k-93-not-for-files"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("large", 0, 1024)
    assert "k-93-not-for-files" not in json.dumps(body)
    assert "how well the answer" in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("reply", "asked", "failure"),
    [
        (chat("I can't say"), 1, "the judge gave no number from 1 to 10"),
        (chat("7.5"), 1, "the judge gave no number from 1 to 10"),
        (chat("7.5/10"), 1, "the judge gave no number from 1 to 10"),
        (chat("7,5"), 1, "the judge gave no number from 1 to 10"),
        (chat("0"), 1, "the judge gave no number from 1 to 10"),
        (chat("0 out of 10"), 1, "the judge gave no number from 1 to 10"),
        (chat("-3"), 1, "the judge gave no number from 1 to 10"),
        (chat("11 of 10"), 1, "the judge gave no number from 1 to 10"),
        (chat(None), 1, "the judge gave no number from 1 to 10"),
        (chat("<think>3 of 4 words", ended_by="stop"), 1, "the judge gave no number from 1 to 10"),
        (
            chat("<think>3 of 4 words", ended_by="length"),
            1,
            "the judge's reply was cut at 1,024 tokens, before a grade (`eval.judge.max_tokens`)",
        ),
        ((200, b"hello"), 1, "the endpoint's answer is not JSON"),
        ((200, b"[]"), 1, "the endpoint's answer is not a chat completion"),
        ((401, b""), 1, "the endpoint returned status 401"),
        ((302, b""), 1, "the endpoint returned status 302"),
        ((503, b""), 3, "the endpoint returned status 503"),
    ],
)
def test_what_gives_no_grade_is_told(service: Service, reply: Reply, asked: int, failure: str) -> None:
    service.reply = lambda number, given: reply
    found = grades(service.judge, questions("a"), StopRequest(), {})
    assert (found.grades, found.failure) == ([None], failure)
    assert [path for path, _, _ in service.asked] == ["/v1/chat/completions"] * asked, "no redirect is followed"


@pytest.mark.parametrize(
    ("text", "grade"),
    [("10/10", 10), ("8 out of 10", 8), ("Grade: 9.0.", 9), ("**7**", 7), ("<think>3 words.\n</think>\n\n8", 8)],
)
def test_the_first_number_is_the_grade(service: Service, text: str, grade: int) -> None:
    service.reply = lambda number, given: chat(text)
    assert grades(service.judge, questions("a"), StopRequest(), {}).grades == [grade]


def test_an_endpoint_that_gives_no_answer_is_not_asked_for_ever(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "AT_ONCE", 1)  # else eight refusals can be read before the one answer
    service.reply = lambda number, given: chat("7") if number == 0 else (401, b"")
    found = grades(service.judge, questions(*["a"] * 60), StopRequest(), {})
    assert [one for one in found.grades if one] == [7]
    assert len(found.grades) == 60
    assert found.failure == ("the endpoint returned status 401; stopped after 8 requests in a row without an answer")
    assert 9 <= len(service.asked) <= 10, "one more may be on its way when the last refusal is read"


def test_a_judge_that_gives_no_grades_is_still_asked(service: Service) -> None:
    service.reply = lambda number, given: chat("5" if given["answer"] == "b" else "no idea")
    found = grades(service.judge, questions(*["a"] * 30, "b"), StopRequest(), {})
    assert found.grades == [None] * 30 + [5]


def test_a_request_to_stop_is_heeded_while_the_endpoint_is_silent(service: Service) -> None:
    stop, let_go = StopRequest(), threading.Event()

    def hang(number: int, given: dict[str, Any]) -> Reply:
        stop.requested = True
        let_go.wait()
        return chat("7")

    service.reply = hang
    try:
        with pytest.raises(Interrupted):
            grades(service.judge, questions(*["a"] * 9), stop, {})
        assert len(service.asked) <= 4
    finally:
        let_go.set()


def test_what_asking_took_is_measured_with_the_tokens_that_the_endpoint_tells(service: Service) -> None:
    usage = {"prompt_tokens": 70, "completion_tokens": 2, "total_tokens": 72}
    service.reply = lambda number, given: (503, b"") if number == 0 else chat("7", usage=usage)
    use = grades(service.judge, questions("a", "b", "c"), StopRequest(), {}).use
    assert (use.url, use.requests, use.answered, use.at_once) == (service.judge.url, 4, 3, 3)
    assert (use.with_usage, use.sent_tokens, use.received_tokens) == (3, 210, 6)
    assert 0 < use.answer_seconds <= 3 * use.seconds


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": 70}, {"prompt_tokens": "70", "completion_tokens": -2}])
def test_an_endpoint_that_tells_no_tokens_is_no_failure(service: Service, usage: Any) -> None:
    service.reply = lambda number, given: chat("7", usage=usage)
    found = grades(service.judge, questions("a"), StopRequest(), {})
    assert (found.grades, found.failure) == ([7], "")
    assert (found.use.answered, found.use.with_usage, found.use.sent_tokens) == (1, 0, 0)


def test_a_service_that_stumbles_is_asked_again(service: Service) -> None:
    service.reply = lambda number, given: (500, b"") if number == 0 else chat("4")
    assert grades(service.judge, questions("a"), StopRequest(), {}).grades == [4]


def planned_tokens(job: Job) -> tuple[int, int]:
    judge = job.plan.settings.eval.judge
    assert judge is not None
    counted = judged_tokens(judge, job.inputs.streams_folder, job.inputs.model_folder, "rows")
    assert judged_tokens(judge, job.inputs.streams_folder, Path("nowhere"), "rows") == counted, "it is counted once"
    return counted.empty, counted.expected


def sent_tokens(job: Job, service: Service) -> tuple[int, int]:
    """Tokens of the first model's requests as they came in, with the answers emptied, and with the right ones."""
    tokenizer = Tokenizer.from_file(str(job.inputs.model_folder / "tokenizer.json"))

    def count(body: dict[str, Any], answer: str | None) -> int:
        given = json.loads(body["messages"][1]["content"])
        given["answer"] = given["expected"] if answer is None else answer
        texts = [body["messages"][0]["content"], json.dumps(given, ensure_ascii=False)]
        return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)

    bodies = [body for _, _, body in service.asked]
    empty, expected = (sum(count(body, answer) for body in bodies) for answer in ("", None))
    return empty // 2, expected // 2  # both models are asked about the same rows


@pytest.mark.slow
def test_a_run_is_graded_and_gated(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "k-93-not-for-files")
    service.reply = lambda number, given: chat("no idea") if number == 0 else chat("6")
    job = make_job(
        tmp_path,
        eval__metrics=("exact_match",),
        eval__max_new_tokens=2,
        eval__judge=service.judge.model_dump(),
        eval__gates={"judge": {"comparison": ">=", "bound": 7}},
    )
    record = job.run()
    assert record.status == "gate_failed"
    phases = [event.phase for event in job.of_kind("phase_started")]
    assert (phases.count("judge"), phases.count("evaluate")) == (1, 2), "grading is no look at the rows"
    assert "judge" in {one.phase for one in record.time_by_phase}
    found = Evaluation.model_validate_json(job.folder().evaluation.read_bytes())
    assert found.judge is not None
    assert (found.judge.rows, found.judge.graded) == (9, 8), "a row counts where both models have a grade"
    assert (found.judge.tuned, found.judge.base) == (6, 6)
    assert found.judge.failure == "the judge gave no number from 1 to 10"
    assert found.judge.use is not None
    assert (found.judge.use.requests, found.judge.use.answered) == (18, 18)
    assert planned_tokens(job) == sent_tokens(job, service), "the plan counts what the run really sends"
    assert [(gate.metric, gate.value) for gate in found.gates] == [("judge", 6)]
    assert not any(
        b"k-93-not-for-files" in path.read_bytes() for path in job.folder().path.rglob("*") if path.is_file()
    )
    monkeypatch.delenv("KEY")
    heard: list[Event] = []
    with pytest.raises(Refusal, match="FTC649"):
        evaluate_again(job.plan, job.inputs, job.folder(), record, heard.append)
    assert not heard, "rows are not looked at where nobody can grade"


def test_a_key_that_is_not_there_stops_the_run_before_it_begins(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY", raising=False)
    with pytest.raises(Refusal, match="FTC649"):
        make_job(tmp_path, eval__judge=service.judge.model_dump()).run()
