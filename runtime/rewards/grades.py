"""Grades that a judge gives the answers of a run: each is asked for once, and stands in `judged.ndjson` from then on.

So a run that goes on, a replay and an audit take them from there, and nobody is asked or paid twice.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ftc.runtime.evaluation.at_once import ask_at_once
from ftc.runtime.evaluation.judge_requests import Asker, Found, Missing, Question
from ftc.runtime.execution.journal import open_at_last_line
from ftc.runtime.training.signals import StopRequest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.judging import AT_ONCE, JudgedAnswer, question_digest, read_judged
from ftc.spec.documents.step_log import line_text
from ftc.spec.judges import Judge
from ftc.spec.rewards import graded

__all__ = ["GradeBook"]


class GradeBook:
    """What a judge said of answers, and the way to ask it about others.

    Args:
        path: `judged.ndjson` of the run's folder; what is in it isn't asked again.
        judge: Who is asked.
        stop: Asked between answers.
        asks: Whether the judge is asked about what isn't known.
        environment: Where its key is.
    """

    def __init__(
        self,
        path: Path,
        judge: Judge,
        stop: StopRequest,
        *,
        asks: bool = True,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._path, self._judge, self._stop = path, judge, stop
        self._known = dict[str, JudgedAnswer]()
        if path.is_file():
            open_at_last_line(path).close()
            self._known = read_judged(path)
        self._asker, self._writing = Asker(judge, environment), threading.Lock()
        self._asks = asks

    @property
    def ungraded(self) -> int:
        """Answers whose reply had no grade."""
        return sum(one.grade is None for one in self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def rewards(self, questions: Sequence[Question]) -> list[float]:
        """The reward of each answer, in their order.

        Raises:
            Interrupted: Somebody asked to stop.
            Refusal: The judge doesn't answer; what it said before is kept (FTC457).
        """
        digests = [question_digest(self._judge, one.prompt, one.expected, one.answer) for one in questions]
        new = dict(zip(digests, questions, strict=True))
        waiting = [(digest, one) for digest, one in new.items() if digest not in self._known]
        if waiting:
            self._ask(waiting)
        return [graded(self._known[digest].grade) for digest in digests]

    def _ask(self, waiting: Sequence[tuple[str, Question]]) -> None:
        if not self._asks:
            summary = f"no grade is on record for {len(waiting):,} answer{'' if len(waiting) == 1 else 's'}"
            notes = f"{self._judge.host} is asked in a run alone, and not when its steps are done again"
            help = "restore `judged.ndjson` from a copy of the run's folder; other kinds of machine write other answers"
            raise Refusal([diagnostic("FTC457", summary, notes=notes, help=help, path="task.rewards")])

        def kept(number: int, ended: threading.Event) -> Found:
            found = self._asker(waiting[number][1], ended)
            if found.seconds is not None:  # what is no chat, such as a proxy's page, is no reply
                self._keep(waiting[number][0], found)
            return found

        found = ask_at_once(kept, len(waiting), AT_ONCE, self._stop, is_silent=lambda one: one.seconds is None)
        reasons = [one.grade.reason for one in found.values() if isinstance(one.grade, Missing) and one.seconds is None]
        if left := sum(digest not in self._known for digest, _ in waiting):
            raise Refusal([_silent(self._judge, reasons[0] if reasons else "no answer", left)])

    def _keep(self, digest: str, found: Found) -> None:
        """Writes a line at once, so that an answer that was paid for is never asked for again."""
        sent, received = found.usage or (None, None)
        line = JudgedAnswer(
            question_sha256=digest,
            grade=None if isinstance(found.grade, Missing) else found.grade,
            reply=found.reply,
            requests=found.requests,
            sent_tokens=sent,
            received_tokens=received,
        )
        with self._writing, self._path.open("ab") as file:
            file.write(line_text(line))
            file.flush()
            os.fsync(file.fileno())
            self._known[digest] = line


def _silent(judge: Judge, reason: str, left: int) -> Diagnostic:
    summary = f"the judge at {judge.host} gave no reply about {left:,} answer{'' if left == 1 else 's'}: {reason}"
    help = "apply the plan again once it answers; what it said so far is kept and not asked again"
    return diagnostic("FTC457", summary, help=help, path="task.rewards")
