"""Distillation on written answers: in a share of the steps the model answers the rows' prompts for the teacher to
judge, or the teacher answers them for the model to learn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ftc.runtime.training.answer_rows import answer_order, rows_of_answers
from ftc.runtime.training.answer_writer import AnswerWriter, Asked
from ftc.runtime.training.sources import StepRows, StreamRows
from ftc.spec.documents.events import WrittenStep
from ftc.spec.documents.sampled import Line, WrittenAnswer
from ftc.spec.documents.settings import Settings

__all__ = ["WrittenRows"]


class WrittenRows:
    """The source of rows of a run whose model also learns on its own answers, or on its teacher's.

    Args:
        plain: The training split, in the order of the plan; a step answers the prompts of the rows that it would be
            trained on else.
        writer: Has the model write, or the teacher.
        settings: The plan's.
    """

    def __init__(self, plain: StreamRows, writer: AnswerWriter, settings: Settings) -> None:
        assert settings.train.writing is not None, "the plan says how answers are written"
        self._plain, self._writer, self._settings = plain, writer, settings
        self._writing, self._stops = settings.train.writing, frozenset(settings.model.stop_ids)
        self.answers: tuple[WrittenAnswer, ...] = ()
        self.follows_weights = True

    def at(self, step: int) -> StepRows:
        """The rows of an optimizer step, counted from 0: those of the split, or answers to their prompts.

        Raises:
            Interrupted: Somebody asked to stop; the step was not done.
        """
        plain = self._plain.at(step)
        if not self._writing.at(step):
            self.answers = ()
            return plain
        started = time.perf_counter()
        asked = [Asked(number, 0) for number in plain.numbers]
        with self._writer.ready():
            self.answers = self._answers(step, asked, self._writer.written(step, asked))
        rows, count = rows_of_answers(self._plain.rows, self.answers), len(self.answers)
        written = WrittenStep(
            answers=count,
            length=sum(len(one.ids) for one in self.answers) / count,
            ended=sum(one.ended for one in self.answers) / count,
            seconds=time.perf_counter() - started,
        )
        return StepRows(rows, answer_order(self._settings, rows), 0, written=written)

    def _answers(self, step: int, asked: Sequence[Asked], written: Sequence[Line]) -> tuple[WrittenAnswer, ...]:
        rows = self._plain.rows
        return tuple(
            WrittenAnswer(
                step=step + 1,
                prompt=one.prompt,
                place=rows.place(one.prompt),
                answer=one.answer,
                ids=tuple(line.ids),
                ended=line.ids[-1] in self._stops,
            )
            for one, line in zip(asked, written, strict=True)
        )
