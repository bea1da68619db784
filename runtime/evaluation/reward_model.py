"""What the evaluation's reward model makes of the answers of both models to the test rows."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.execution.session import Session
from ftc.runtime.metrics.scored_answers import mean_scores
from ftc.spec.documents.record import RewardModelResult

__all__ = ["reward_model_result"]


def reward_model_result(session: Session, base: Measurement | None, tuned: Measurement) -> RewardModelResult | None:
    """Means of the scores, which the measurements hold row by row from then on; None where the plan has no such model.

    Raises:
        Interrupted: Somebody asked to stop.
        Refusal: The model can't be loaded (FTC635).
    """
    settings = session.plan.settings.eval.reward_model
    if settings is None or not tuned.texts:
        return None
    session.drop_models()  # two at once could be more than the plan's memory
    subjects = [tuned, *([base] if base else [])]
    columns, cut = agreed(session.accelerator, lambda: _scored(session, subjects))
    for subject, column in zip(subjects, columns, strict=True):
        subject.scored.update(zip(sorted(tuned.texts), column, strict=True))
    session.note_memory("evaluate")
    return mean_scores(settings.base, columns, cut)


def _scored(session: Session, subjects: Sequence[Measurement]) -> tuple[list[list[float]], int]:
    """The scores of each subject's answers, in the order of the rows, and how many answers were cut."""
    model, settings = session.load_reward_model("eval_reward_model"), session.plan.settings
    numbers = sorted(subjects[0].texts)
    columns, cut = [], 0
    with session.journal.phase("grade", f"{len(numbers) * len(subjects)} answers by {model.name}"):
        for one in subjects:
            texts = [one.texts[number] for number in numbers]
            found = model.scores("test", numbers, texts, settings.eval.batch_size, session.stop)
            columns.append(found.values)
            cut += found.cut
    return columns, cut
