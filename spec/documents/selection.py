"""Which checkpoint is the best: pure bookkeeping over validation results, in a run and in its audit."""

from __future__ import annotations

from collections.abc import Mapping

from ftc.spec.base import Document, Real
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.schedules import schedule_card

__all__ = ["Selection"]


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

    def after(self, step: int, metrics: Mapping[str, float], train: TrainSettings) -> Selection:
        """The selection after one more evaluation.

        Raises:
            KeyError: The evaluation lacks the metric that selects.
        """
        # Only the loss has the split's name before it.
        name = train.select_metric if train.select_metric == "val_loss" else train.select_metric.removeprefix("val_")
        value = metrics[name]
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


def _gain(value: float, before: float, train: TrainSettings) -> float:
    return value - before if train.select_higher else before - value
