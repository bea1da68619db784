"""What a judge makes of the answers of both models to the test rows."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.evaluation.judge_requests import Question, grades
from ftc.runtime.evaluation.measures import Measures
from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics.statistics import mean_of, means
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.record import JudgeResult
from ftc.spec.judges import Judge

__all__ = ["judge_result"]


def judge_result(
    session: Session, measures: Measures, base: Measurement | None, tuned: Measurement
) -> JudgeResult | None:
    """Means over the rows of which every answer was graded; None where the plan has no judge.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    judge = session.plan.settings.eval.judge
    if judge is None or not tuned.texts:
        return None
    subjects = [tuned, *([base] if base else [])]
    with session.journal.phase("judge", f"{len(tuned.texts) * len(subjects)} answers by {judge.model}"):
        return agreed(session.accelerator, lambda: _judged(judge, measures, subjects, session.stop))


def _judged(judge: Judge, measures: Measures, subjects: Sequence[Measurement], stop: StopRequest) -> JudgeResult:
    """`subjects` are the tuned model, then the base where it was measured."""
    numbers = sorted(subjects[0].texts)
    questions = [
        Question(measures.given(number), measures.expected(number), one.texts[number])
        for one in subjects
        for number in numbers
    ]
    asked = grades(judge, questions, stop)
    columns = [asked.grades[start : start + len(numbers)] for start in range(0, len(questions), len(numbers))]
    rows = [row for row in zip(*columns, strict=True) if None not in row]
    graded = [[float(grade or 0) for grade in column] for column in zip(*rows, strict=True)]
    found = means([mean_of(one) for one in graded]) if graded else None
    return JudgeResult(
        model=judge.model,
        rows=len(numbers),
        graded=len(graded[0]) if graded else 0,
        tuned=found.tuned if found else None,
        interval=found.interval if found else None,
        base=found.base if found else None,
        gain=found.gain if found else None,
        failure=asked.failure,
        use=asked.use,
    )
