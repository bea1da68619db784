"""Which checkpoint is the best, and when to stop early: pure bookkeeping over validation results."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from ftc.spec.base import Document, Real
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.schedules import schedule_card

__all__ = ["LossScaleState", "Progress", "Selection", "reason_to_stop"]


class Selection(Document):
    """What validation has shown so far."""

    best_step: int | None = None
    best_value: Real | None = None
    looks_without_best: int = 0
    """Evaluations on validation since one was better by at least `min_delta`."""
    reference: Real | None = None
    """Value that the next evaluation is compared with for early stopping."""
    looks_on_plateau: int = 0
    """Evaluations without a new best since the rate was lowered, where a plateau lowers it."""
    rate_factor: Real = 1.0
    """What plateaus have made of the learning rate."""

    def after(self, step: int, value: float, train: TrainSettings) -> Selection:
        """The selection after one more evaluation."""
        gain = None if self.best_value is None else _gain(value, self.best_value, train)
        is_better = gain is None or gain > 0
        # A share of few rows is often the same: then the later weights count, whose learning rate has come to rest.
        is_best = is_better or (gain == 0 and train.select_higher)
        min_delta = train.early_stopping.min_delta if train.early_stopping else 0.0
        moved = self.reference is None or _gain(value, self.reference, train) > min_delta
        waited, factor = 0, self.rate_factor
        if schedule_card(train.schedule.kind).watches_validation and not is_better:
            waited = self.looks_on_plateau + 1
            if waited > train.schedule.patience:
                waited, factor = 0, factor * train.schedule.factor
        return Selection(
            best_step=step if is_best else self.best_step,
            best_value=value if is_best else self.best_value,
            looks_without_best=0 if moved else self.looks_without_best + 1,
            reference=value if moved else self.reference,
            looks_on_plateau=waited,
            rate_factor=factor,
        )


class LossScaleState(Document):
    """The scale of the loss, where precision needs one."""

    scale: Real
    steps_since_change: int
    """Steps without an overflow; after enough of them the scale doubles."""


class Progress(Document):
    """How far training has come; all that a resumed run needs beside weights and optimizer."""

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

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}

    def checksum(self) -> str:
        """Digest of all but the time that it took, which differs between runs that are equal."""
        return self.model_copy(update={"train_seconds": 0.0}).digest()


def reason_to_stop(selection: Selection, train: TrainSettings) -> str | None:
    """Why training should stop early, or None."""
    rule = train.early_stopping
    if rule is None or selection.looks_without_best < rule.patience:
        return None
    return f"{train.select_metric} did not improve in {selection.looks_without_best} evaluations"


def _gain(value: float, before: float, train: TrainSettings) -> float:
    return value - before if train.select_higher else before - value
