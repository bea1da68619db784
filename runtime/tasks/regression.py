"""Numbers of whole rows, by a new output layer. The formulas of the losses stand in `ftc.spec.number_losses` too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ftc.runtime.tasks.classification import CLASSIFICATION, LabeledRowScorer
from ftc.runtime.tasks.scorer import Arithmetic, Batch, Prediction
from ftc.spec.documents.loss_settings import RegressionSettings
from ftc.spec.documents.settings import ModelSettings, Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["LOSSES", "REGRESSION", "RegressionScorer"]

LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mse": lambda outputs, targets: functional.mse_loss(outputs, targets, reduction="none"),
    "mae": lambda outputs, targets: functional.l1_loss(outputs, targets, reduction="none"),
    "huber": lambda outputs, targets: functional.huber_loss(outputs, targets, reduction="none"),
    "binary_cross_entropy": lambda outputs, targets: functional.binary_cross_entropy_with_logits(
        outputs, targets, reduction="none"
    ),
}
"""(B, C) loss of each number by the card's name."""


class RegressionScorer(LabeledRowScorer):
    """One or several numbers a row."""

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic, rated: RegressionSettings) -> None:
        super().__init__(model, settings, arithmetic)
        self._loss, self._scales = LOSSES[rated.loss], rated.scales

    def _targets(self, rows: TokenStream, numbers: Sequence[int]) -> torch.Tensor:
        """(B, C) the numbers of each row, as far from their mean and in such units as the head learns them."""
        wanted = np.zeros((len(numbers), self._outputs))
        for line, number in enumerate(numbers):
            found = rows.targets[number].view(np.float32)  # none in rows that stand for others of their shape
            wanted[line, : len(found)] = found
        means, spreads = (np.array([getattr(one, name) for one in self._scales]) for name in ("mean", "spread"))
        return torch.from_numpy(((wanted - means) / spreads).astype(np.float32))

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) loss of each row, the mean over its numbers."""
        return self._loss(logits, batch.targets).mean(dim=-1)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002 - a line is a row
        """The numbers, in the unit of the data."""
        return [
            tuple(scale.mean + scale.spread * one for scale, one in zip(self._scales, row, strict=True))
            for row in logits.tolist()
        ]


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> RegressionScorer:
    assert settings.train.regression is not None, "the plan says how numbers are learned"
    return RegressionScorer(model, settings.model, arithmetic, settings.train.regression)


REGRESSION = replace(CLASSIFICATION, head="regression", scorer=_scorer)
