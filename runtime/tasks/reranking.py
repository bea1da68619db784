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


def _cross_entropy(scores: torch.Tensor, there: torch.Tensor, _margins: torch.Tensor) -> torch.Tensor:
    return -scores.masked_fill(~there, -torch.inf).log_softmax(dim=1)[:, 0]


def _binary_cross_entropy(scores: torch.Tensor, there: torch.Tensor, _margins: torch.Tensor) -> torch.Tensor:
    each = -functional.logsigmoid(torch.cat((scores[:, :1], -scores[:, 1:]), dim=1))
    return (each * there).sum(dim=1) / there.sum(dim=1)


def _margin_mse(scores: torch.Tensor, there: torch.Tensor, margins: torch.Tensor) -> torch.Tensor:
    wrong = there[:, 1:]
    squares = (scores[:, :1] - scores[:, 1:] - margins[:, :-1]) ** 2
    return (squares * wrong).sum(dim=1) / wrong.sum(dim=1).clamp_min(1)


LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "margin_mse": _margin_mse,
}
"""(B,) losses by the card's name, of (B, K) scores of each row's texts, the right one first, where (B, K) says which
rows have such a text, and (B, K) margins, the first wrong text's first.
"""


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
        """(B,) loss of each row. No number is read back, so that a step can be traced without any."""
        assert batch.sequences is not None, "each pair belongs to a row"
        rows, scores = batch.sequences, logits[:, 0]
        counts = torch.zeros_like(batch.owners).index_add(0, rows, torch.ones_like(rows))
        places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        empty = torch.zeros_like(batch.targets)
        there = empty.bool().index_put((rows, places), torch.ones_like(rows, dtype=torch.bool))
        return self._loss(empty.index_put((rows, places), scores), there, batch.targets)

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
