"""A scorer that tells the tracker of a trace where it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.tasks.scorer import Prediction, Scorer
from ftc.spec.documents.streams import TokenStream

__all__ = ["Marked"]


@dataclass(frozen=True, slots=True)
class Marked:
    """A task's scorer with marks around its scores.

    Attributes:
        scorer: Does the work.
        tracker: Is told.
        before: The section that begins with the scores; None for none.
        after: The section that begins when they are done; None for none.
    """

    scorer: Scorer
    tracker: StorageTracker
    before: str | None = None
    after: str | None = None

    def batch(self, rows: TokenStream, numbers: list[int]) -> Any:
        """The rows as tensors."""
        return self.scorer.batch(rows, numbers)

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """What is supervised of a row."""
        return self.scorer.num_targets(rows, number)

    def logits(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The scores, between their marks."""
        if self.before is not None:
            self.tracker.section(self.before)
        scores = self.scorer.logits(model, batch)
        if self.after is not None:
            self.tracker.section(self.after)
        return scores

    def losses(self, logits: torch.Tensor, batch: Any, smoothing: float = 0.0) -> torch.Tensor:
        """The loss of each target."""
        return self.scorer.losses(logits, batch, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Any) -> list[Prediction]:
        """What is said of each row."""
        return self.scorer.predictions(logits, batch)
