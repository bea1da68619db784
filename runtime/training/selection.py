"""How far training has come, and when it stops early: pure bookkeeping over steps and validation results."""

from __future__ import annotations

from typing import ClassVar

from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.documents.selection import Selection
from ftc.spec.documents.settings import TrainSettings

__all__ = ["LossScaleState", "Progress", "reason_to_stop"]


class LossScaleState(Document):
    """The scale of the loss, where precision needs one."""

    scale: Real
    steps_since_change: int
    """Steps without an overflow; after enough of them the scale doubles."""


class Progress(SparseDocument):
    """How far training has come; all that a resumed run needs beside weights and optimizer."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("loss_scale", "skipped_steps")

    step: int = 0
    """Optimizer steps that are done."""
    tokens: int = 0
    supervised_tokens: int = 0
    train_seconds: Real = 0.0
    selection: Selection = Selection()
    is_over: bool = False
    """Whether the last step is done, or training was stopped early."""
    loss_scale: LossScaleState | None = None
    """Absent where losses are not scaled."""
    skipped_steps: int | None = None
    """Steps whose gradients overflowed, so that no weight changed; absent where losses are not scaled."""

    def checksum(self) -> str:
        """Digest of all but the time that it took, which differs between runs that are equal."""
        return self.model_copy(update={"train_seconds": 0.0}).digest()


def reason_to_stop(selection: Selection, train: TrainSettings) -> str | None:
    """Why training should stop early, or None."""
    rule = train.early_stopping
    if rule is None or selection.looks_without_best < rule.patience:
        return None
    return f"{train.select_metric} did not improve in {selection.looks_without_best} evaluations"
