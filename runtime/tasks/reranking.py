"""Scores of a query with each of several texts, of which one is right.

The formulas of the losses stand in `ftc.spec.reranking_losses`, and here as code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ftc.runtime.tasks.classification import RowScorer
from ftc.runtime.tasks.regression import REGRESSION
from ftc.runtime.tasks.scorer import Arithmetic, Batch, Prediction, padded
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["LOSSES", "RERANKING", "RerankingScorer"]

LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": lambda scores, _: -scores.log_softmax(dim=0)[0],
    "binary_cross_entropy": lambda scores, _: -functional.logsigmoid(torch.cat((scores[:1], -scores[1:]))).mean(),
    "margin_mse": lambda scores, margins: ((scores[0] - scores[1:] - margins) ** 2).mean(),
}
"""Loss of a row by the card's name, of (K,) scores of its texts, the right one first, and (K - 1,) margins."""


class RerankingScorer(RowScorer):
    """Rows of a query with several texts: pairs, each a sequence of its own."""

    def __init__(self, model: Any, settings: Settings, arithmetic: Arithmetic) -> None:
        super().__init__(model, settings.model, arithmetic)
        assert settings.train.reranking is not None, "the plan says how texts are compared"
        self._loss = LOSSES[settings.train.reranking.loss]

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors: all pairs of a row, one after the other; targets are (B, K) margins, 0 where there are
        none.
        """
        pairs = [rows.marked(number) for number in numbers]
        counts = [len(own) for own in pairs]
        ids, attention = padded([pair for own in pairs for pair in own], self._pad_id)
        given = [rows.targets[number][1:] for number in numbers]
        firsts = np.concatenate([one[:count] for one, count in zip(given, counts, strict=True)])
        seconds = (np.arange(ids.shape[1]) >= firsts[:, None]) & (attention == 1)
        return Batch(
            ids=torch.from_numpy(ids),
            attention=torch.from_numpy(attention),
            positions=torch.arange(len(ids)) * ids.shape[1] + torch.from_numpy(attention).sum(dim=1) - 1,
            targets=torch.from_numpy(_margins(given, counts)),
            owners=torch.arange(len(numbers)),
            token_types=torch.from_numpy(seconds.astype(np.int64)),
            sequences=torch.from_numpy(np.repeat(np.arange(len(numbers)), counts)),
        )

    def quick_logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The same as `logits`."""
        return self.logits(model, batch)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) loss of each row; 0 of a row with a single text."""
        rows = zip(_by_row(logits, batch), batch.targets, strict=True)
        return torch.stack(
            [self._loss(own, margins[: len(own) - 1]) if len(own) > 1 else 0 * own[0] for own, margins in rows]
        )

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """The rank of the first text, equal ones before it, and the score of each text as a share."""
        found = []
        for own in _by_row(logits, batch):
            rank = 1 + int((own[1:] >= own[0]).sum())
            found.append((float(rank), *own.sigmoid().tolist()))
        return found


def _by_row(logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, ...]:
    """(K,) scores of the texts of each row."""
    assert batch.sequences is not None, "each pair belongs to a row"
    counts = torch.bincount(batch.sequences, minlength=len(batch.owners)).tolist()
    found: tuple[torch.Tensor, ...] = logits[:, 0].split(counts)
    return found


def _margins(given: list[NDArray[np.int32]], counts: list[int]) -> NDArray[np.float32]:
    """(B, K) margins, of which each row has as many as wrong texts; 0 elsewhere."""
    found = np.zeros((len(given), max(counts)), np.float32)
    for line, (one, count) in enumerate(zip(given, counts, strict=True)):
        own = one[count:].view(np.float32)
        found[line, : len(own)] = own
    return found


RERANKING = replace(
    REGRESSION,
    has_texts=True,
    scorer=RerankingScorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda shape: [
        shape.length // shape.supervised,
        *[shape.length // shape.supervised // 2] * shape.supervised,
    ],
)
"""Texts of a query, each with a score of its own."""
