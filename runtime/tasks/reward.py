"""Scores of answers, learned from pairs: the better answer of two should score higher (Bradley & Terry 1952)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.tasks.classification import RowScorer
from ftc.runtime.tasks.preference import pair_weights
from ftc.runtime.tasks.regression import REGRESSION
from ftc.runtime.tasks.scorer import Arithmetic, Batch, Prediction, padded
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["REWARD", "RewardScorer"]


class RewardScorer(RowScorer):
    """Chosen and rejected answers, a pair a row; or single answers, in rows to predict for."""

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors: of pairs 2B sequences, chosen and rejected in turn, each scored at its last token."""
        lines = []
        for number in numbers:
            firsts = rows.targets[number][:1].tolist()
            lines += np.split(rows.ids(number), firsts)
        ids, attention = padded(lines, self._pad_id)
        ends = torch.arange(len(lines)) * ids.shape[1] + torch.from_numpy(attention).sum(dim=1) - 1
        owners, weights = torch.arange(len(numbers)), pair_weights(rows, numbers)
        places = torch.from_numpy(ids), torch.from_numpy(attention), ends
        return Batch(*places, torch.zeros(len(numbers)), owners, weights=weights)

    def quick_logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The same as `logits`."""
        return self.logits(model, batch)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) cross entropy of which answer is preferred, where a difference of scores is its log odds; 0 of single
        answers.
        """
        scores = logits[:, 0].view(len(batch.owners), -1)
        losses = -functional.logsigmoid(scores[:, 0] - scores[:, 1]) if scores.shape[1] > 1 else 0 * scores[:, 0]
        return losses if batch.weights is None else losses * batch.weights

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """Scores of the chosen and the rejected answer, and how far they are apart; of a single answer its score."""
        rows = logits[:, 0].view(len(batch.owners), -1).tolist()
        return [(*scores, scores[0] - scores[1]) if len(scores) > 1 else tuple(scores) for scores in rows]


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> RewardScorer:
    return RewardScorer(model, settings.model, arithmetic)


REWARD = replace(
    REGRESSION,
    is_pair=True,
    is_sampled=False,
    scorer=_scorer,
    score_shape=lambda rows, _, outputs: (2 * rows, outputs),
    stand_in_targets=lambda shape: [shape.length // 2],
)
