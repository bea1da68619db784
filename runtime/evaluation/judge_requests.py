"""A language model behind an endpoint grades written answers: one request an answer, by the OpenAI chat protocol.

What goes out is the prompt, the expected answer and the model's own answer; the plan says where to. The key comes from
the environment and stands in no file. A redirect is not followed, since it would carry the key to another host.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ftc.runtime.evaluation.at_once import MOST_SILENT, ask_at_once
from ftc.runtime.evaluation.endpoint import headers, opener
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.judging import AT_ONCE, JudgeUse, messages
from ftc.spec.judges import Judge
from ftc.spec.storage.reading import parse_json

__all__ = ["Asker", "Found", "Graded", "Missing", "Question", "grades"]

_ATTEMPTS = 3
_TIMEOUT_SECONDS = 120
_PAUSE_SECONDS = 2.0
"""Before the second attempt; twice that before the third."""
_MOST_BYTES = 1 << 20
_KEPT = 2000
"""Characters of a reply that are kept."""
_NUMBER = re.compile(r"[-−]?\d+(?:[.,]\d+)*")
_GRADE = re.compile(r"(10|[1-9])(?:\.0+)?")
_THOUGHTS = re.compile(r"\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
"""What some models write before their reply; numbers in it are no grade."""


@dataclass(frozen=True, slots=True)
class Question:
    """One answer to grade."""

    prompt: str
    expected: str
    answer: str


@dataclass(frozen=True, slots=True)
class Graded:
    """What came back.

    Attributes:
        grades: A number from 1 to 10 for each question; None where the judge gave none.
        failure: Why the first of these has none, in words; empty where all have one.
        use: What asking took.
    """

    grades: list[int | None]
    failure: str
    use: JudgeUse


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a question has no grade.

    Attributes:
        reason: In words.
        is_silent: Whether the endpoint gave no answer at all, so that the next question may have none either.
    """

    reason: str
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a question.

    Attributes:
        grade: The grade, or why there is none.
        seconds: From sending to reply, of the request that was answered as a chat; None where none was.
        usage: Tokens sent and received, where the reply has them.
        reply: What the judge wrote, its beginning where it is long.
        requests: How many were sent.
    """

    grade: int | Missing
    seconds: float | None = None
    usage: tuple[int, int] | None = None
    reply: str = ""
    requests: int = 1

    @property
    def is_silent(self) -> bool:
        """Whether the endpoint gave no answer at all."""
        return isinstance(self.grade, Missing) and self.grade.is_silent


def grades(
    judge: Judge, questions: Sequence[Question], stop: StopRequest, environment: Mapping[str, str] = os.environ
) -> Graded:
    """Grades of some answers, in their order. A judge that fails ends nothing; what it leaves out is reported.

    Raises:
        Interrupted: Somebody asked to stop; what was asked already is not waited for.
    """
    asker, started = Asker(judge, environment), time.perf_counter()
    found = ask_at_once(
        lambda number, ended: asker(questions[number], ended),
        len(questions),
        AT_ONCE,
        stop,
        is_silent=lambda one: one.is_silent,
    )
    took = [one.seconds for one in found.values() if one.seconds is not None]
    usage = [one.usage for one in found.values() if one.usage is not None]
    use = JudgeUse(
        url=judge.url,
        requests=len(asker.sent),
        answered=len(took),
        at_once=min(AT_ONCE, len(questions)),
        seconds=time.perf_counter() - started,
        answer_seconds=sum(took),
        with_usage=len(usage),
        sent_tokens=sum(sent for sent, _ in usage),
        received_tokens=sum(received for _, received in usage),
    )
    reasons = (one.grade.reason for _, one in sorted(found.items()) if isinstance(one.grade, Missing))
    failure = next(reasons, "")
    if len(found) < len(questions):
        failure += f"; stopped after {MOST_SILENT} requests in a row without an answer"
    given = [found[number].grade if number in found else None for number in range(len(questions))]
    return Graded([one if isinstance(one, int) else None for one in given], failure, use)


class Asker:
    """Asks a judge, from any thread.

    Args:
        judge: Who is asked.
        environment: Where the key is.
    """

    def __init__(self, judge: Judge, environment: Mapping[str, str]) -> None:
        self.judge = judge
        self.sent: list[int] = []
        """A mark for each request that went out."""
        key = environment.get(judge.key_env, "") if judge.key_env is not None else ""
        self._opener, self._headers = opener(judge.url), headers(key)

    def __call__(self, question: Question, ended: threading.Event) -> Found:
        """What becomes of a question; no further attempt is made once all has ended."""
        url = f"{self.judge.url.rstrip('/')}/chat/completions"
        given = messages(self.judge, question.prompt, question.expected, question.answer)
        sent = {"model": self.judge.model, "messages": given, "temperature": 0, "max_tokens": self.judge.max_tokens}
        body = json.dumps(sent).encode()
        request = urllib.request.Request(url, body, self._headers)  # noqa: S310 - the recipe lets http(s) through alone
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt and ended.wait(_PAUSE_SECONDS * attempt):
                break
            self.sent.append(attempt)
            try:
                return replace(self._asked(request), requests=attempt + 1)
            except urllib.error.HTTPError as error:
                reason = f"the endpoint returned status {error.code}"
                if error.code != 429 and error.code < 500:
                    break
            except (OSError, http.client.HTTPException) as error:
                reason = f"the endpoint can't be reached: {getattr(error, 'reason', error)}"
            except ValueError:
                return Found(Missing("the endpoint's answer is not JSON"))
        return Found(Missing(reason, is_silent=True))

    def _asked(self, request: urllib.request.Request) -> Found:
        started = time.perf_counter()
        with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            reply = parse_json(answer.read(_MOST_BYTES))
        seconds = time.perf_counter() - started
        try:
            choice = reply["choices"][0]
            text = choice["message"]["content"]
        except (KeyError, IndexError, TypeError):
            return Found(Missing("the endpoint's answer is not a chat completion"))
        grade = _grade(text, choice.get("finish_reason"), self.judge.max_tokens)
        said = text[:_KEPT] if isinstance(text, str) else ""
        match reply.get("usage"):
            case {"prompt_tokens": int(sent), "completion_tokens": int(received)} if min(sent, received) >= 0:
                return Found(grade, seconds, (sent, received), said)
            case _:
                return Found(grade, seconds, None, said)


def _grade(text: Any, ended_by: Any, max_tokens: int) -> int | Missing:
    said = _THOUGHTS.sub("", text, count=1) if isinstance(text, str) else ""
    number = _NUMBER.search(said)
    grade = _GRADE.fullmatch(number[0]) if number else None
    if grade:
        return int(grade[1])
    if ended_by == "length":
        return Missing(f"the judge's reply was cut at {max_tokens:,} tokens, before a grade (`eval.judge.max_tokens`)")
    return Missing("the judge gave no number from 1 to 10")
