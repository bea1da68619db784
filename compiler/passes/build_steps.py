"""What the run will do, in order."""

from __future__ import annotations

from dataclasses import replace

from ftc.compiler.draft import ClosedDraft
from ftc.spec.documents.plan import EvaluateStep, ExportStep, ProveStep, Step, TrainStep, VerifyStep
from ftc.spec.strategies import strategy_card

__all__ = ["build_steps"]


def build_steps(draft: ClosedDraft) -> ClosedDraft:
    """The steps: verify, prove where asked, train, export, then measure base and tuned on the test split, once."""
    teacher = len(draft.teacher.model.files) if draft.teacher else 0
    files = len(draft.model.files) + teacher + len(draft.splits)
    artifact = strategy_card(draft.strategy).result
    proof_steps = draft.determinism.proof_steps
    steps: list[Step] = [
        VerifyStep(kind="verify", files=files),
        *([ProveStep(kind="prove", steps=proof_steps)] if proof_steps else []),
        TrainStep(kind="train", steps=draft.train.num_steps),
        ExportStep(kind="export", artifact=artifact),
    ]
    if "test" not in draft.splits:
        return replace(draft.miss("quality: there is no test split"), steps=tuple(steps))
    rows = draft.splits["test"].measured(draft.text.form)
    if draft.eval.baseline:
        steps.append(EvaluateStep(kind="evaluate", subject="base", rows=rows))
    steps.append(EvaluateStep(kind="evaluate", subject="tuned", rows=rows))
    return replace(draft, steps=tuple(steps))
