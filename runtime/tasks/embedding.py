"""Texts as vectors: pooled states of the last layer, compared with those of all rows of an optimizer batch.

What a row's loss is depends on the other rows (`ftc.runtime.tasks.text_groups`), so the training loop takes this task
another way (`ftc.runtime.training.coupled`), and an evaluation compares vectors when it has all of them.
"""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import torch
from torch import nn

from ftc.runtime.tasks.scorer import Arithmetic, Batch, Objective, Prediction, padded, states_at, without_cache
from ftc.runtime.tasks.text_groups import Coupling, TextGroups
from ftc.spec.documents.loss_settings import EmbeddingSettings
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.embedding_losses import Pooling

__all__ = ["EMBEDDING", "EmbeddingScorer", "pooled"]


def pooled(states: torch.Tensor, batch: Batch, pooling: Pooling) -> torch.Tensor:
    """(S, D) a vector for each text, in float32, of (S, T, D) states of the last layer."""
    states, mask = states.float(), batch.attention[:, :, None].float()
    match pooling:
        case "mean":
            return (states * mask).sum(dim=1) / mask.sum(dim=1)
        case "cls":
            return states[:, 0]
        case "last":
            return states_at(states, batch.positions, states.shape[1])
        case _:
            assert_never(pooling)


class EmbeddingScorer:
    """Rows of several texts, each a sequence of its own."""

    def __init__(self, model: Any, settings: Settings, arithmetic: Arithmetic, vectors: EmbeddingSettings) -> None:
        self._pad_id = settings.model.pad_id
        self._arithmetic = arithmetic
        self._pooling: Pooling = vectors.pooling
        self._options = without_cache(model)
        self.coupling = Coupling(vectors, settings.train.batch_size)

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors: all texts of a row, one after the other."""
        texts = [rows.marked(number) for number in numbers]
        ids, attention = padded([text for own in texts for text in own], self._pad_id)
        sequences = np.repeat(np.arange(len(numbers)), [len(own) for own in texts])
        groups = self.coupling.groups(rows, numbers) if min(map(len, texts)) > 1 else None
        return Batch(
            ids=torch.from_numpy(ids),
            attention=torch.from_numpy(attention),
            positions=torch.arange(len(ids)) * ids.shape[1] + torch.from_numpy(attention).sum(dim=1) - 1,
            targets=torch.zeros(len(numbers)) if groups is None else groups.scores,
            owners=torch.arange(len(numbers)),
            sequences=torch.from_numpy(sequences),
            groups=groups,
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:  # noqa: ARG002 - a row is one comparison
        """One: the comparison."""
        return 1

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(S, D) the vector of each text."""
        with self._arithmetic(batch.ids.device):
            output = model(input_ids=batch.ids, attention_mask=batch.attention, **self._options)
        states: torch.Tensor = output.last_hidden_state
        return pooled(states[:, -batch.ids.shape[1] :], batch, self._pooling)  # without virtual tokens

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) loss of each row, compared with the rows of this batch alone."""
        assert isinstance(batch.groups, TextGroups)
        return self.coupling.losses(logits, batch.groups)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002
        """Nothing: what is said of a row depends on those of other batches."""
        return [() for _ in range(len(batch.owners))]


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> EmbeddingScorer:
    assert settings.train.embedding is not None, "the plan says how texts become vectors"
    return EmbeddingScorer(model, settings, arithmetic, settings.train.embedding)


EMBEDDING = Objective(
    head="embedding",
    is_pair=False,
    is_sampled=False,
    has_texts=True,
    scorer=_scorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda shape: [shape.length // shape.supervised, 0],
    has_offsets=False,
)
