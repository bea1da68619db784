"""Which checkpoint is the best, and when to stop looking: pure bookkeeping over validation results."""

from __future__ import annotations

from ftc.spec.base import Document, Real
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.schedules import schedule_card

__all__ = ["Progress", "Selection", "reason_to_stop"]


class Selection(Document):
    """What validation has shown so far."""

    best_step: int | None = None
    best_value: Real | None = None
    looks_without_best: int = 0
    """Looks at validation since one was better by at least `min_delta`."""
    reference: Real | None = None
    """Value that the next look is compared with for early stopping."""
    looks_on_plateau: int = 0
    """Looks without a new best since the rate was lowered, where a plateau lowers it."""
    rate_factor: Real = 1.0
    """What plateaus have made of the learning rate."""

    def after(self, step: int, value: float, train: TrainSettings) -> Selection:
        """The selection after one more look."""
        is_best = self.best_value is None or _gain(value, self.best_value, train) > 0
        min_delta = train.early_stopping.min_delta if train.early_stopping else 0.0
        moved = self.reference is None or _gain(value, self.reference, train) > min_delta
        looks, factor = self._plateau(train, is_best=is_best)
        return Selection(
            best_step=step if is_best else self.best_step,
            best_value=value if is_best else self.best_value,
            looks_without_best=0 if moved else self.looks_without_best + 1,
            reference=value if moved else self.reference,
            looks_on_plateau=looks,
            rate_factor=factor,
        )

    def _plateau(self, train: TrainSettings, *, is_best: bool) -> tuple[int, float]:
        """Looks without a new best, and the factor of the learning rate, after one more look."""
        if not schedule_card(train.schedule.kind).watches_validation or is_best:
            return 0, self.rate_factor
        looks = self.looks_on_plateau + 1
        if looks <= train.schedule.patience:
            return looks, self.rate_factor
        return 0, self.rate_factor * train.schedule.factor


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


def reason_to_stop(selection: Selection, train: TrainSettings) -> str | None:
    """Why training should stop early, or None."""
    rule = train.early_stopping
    if rule is None or selection.looks_without_best < rule.patience:
        return None
    return f"{train.select_metric} was not better in {selection.looks_without_best} evaluations"


def _gain(value: float, before: float, train: TrainSettings) -> float:
    return value - before if train.select_higher else before - value
