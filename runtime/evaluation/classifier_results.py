"""What a classifier finds in the answers of base and tuned model, made into a document."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.runtime.evaluation.classifier import TextClassifier
from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics.intervals import means
from ftc.runtime.metrics.sums import share_of
from ftc.spec.documents.record import ClassifierResult
from ftc.spec.documents.settings import ClassifierSettings

__all__ = ["classifier_result"]

_EXAMPLES = 20


def classifier_result(session: Session, base: Measurement | None, tuned: Measurement) -> ClassifierResult | None:
    """Shares of the answers that have the classifier's label; None where the plan has no classifier."""
    settings = session.plan.settings.eval.classifier
    if settings is None or not tuned.texts:
        return None
    session.trained = session.pristine = None
    session.accelerator.free_memory()  # two models at once could be more than the plan's memory
    found = agreed(session.accelerator, lambda: _looked(session, settings, base, tuned))
    session.note_memory("evaluate")
    return found


def _looked(
    session: Session, settings: ClassifierSettings, base: Measurement | None, tuned: Measurement
) -> ClassifierResult:
    folder = session.inputs.companions["classifier"]
    with session.journal.phase("load", settings.base):
        classifier = TextClassifier(settings, folder, session.accelerator.device)
    session.witness.confirm()
    numbers = sorted(tuned.texts)
    subjects = [tuned, *([base] if base else [])]
    texts = [one.texts[number] for one in subjects for number in numbers]
    with session.journal.phase("grade", f"{len(texts)} answers by {settings.base}"):
        found = classifier.look(texts, session.plan.settings.eval.batch_size, session.stop)
    columns = [found.flags[start : start + len(numbers)] for start in range(0, len(texts), len(numbers))]
    rows = session.stream("test")
    assert rows is not None, "what was measured has rows"
    flagged = [int(rows.rows[number]) for number, flag in zip(numbers, columns[0], strict=True) if flag]
    return _document(settings, columns, tuple(flagged[:_EXAMPLES]), found.cut)


def _document(
    settings: ClassifierSettings, columns: Sequence[Sequence[bool]], examples: tuple[int, ...], cut: int
) -> ClassifierResult:
    """`columns` holds what is true of the tuned model's answers, then of the base's."""
    found = means([share_of([float(flag) for flag in column]) for column in columns])
    assert found.interval is not None, "there are answers"
    return ClassifierResult(
        name=settings.base,
        label=settings.label,
        rows=len(columns[0]),
        tuned=found.tuned,
        interval=found.interval,
        base=found.base,
        gain=found.gain,
        examples=examples,
        cut=cut,
    )
