"""Masked tokens, by an encoder's own layers over the vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ftc.runtime.tasks.scorer import (
    Arithmetic,
    Batch,
    Objective,
    PickedStates,
    Prediction,
    cross_entropy,
    padded,
    without_cache,
)
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["MASKED_LANGUAGE", "MaskedScorer"]


class MaskedScorer:
    """Tokens in masked places, from what stands on both sides of them.

    Args:
        model: Without any wrapper for several devices.
        settings: The plan's.
        arithmetic: Of its forward pass.
    """

    def __init__(self, model: Any, settings: Settings, arithmetic: Arithmetic) -> None:
        self._pad_id = settings.model.pad_id
        self._arithmetic = arithmetic
        self._states = PickedStates(model.get_output_embeddings())

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        ids, attention = padded([rows.ids(number) for number in numbers], self._pad_id)
        masks, _ = padded([rows.mask(number).astype(np.int32) for number in numbers], 0)
        kept, _ = padded([rows.targets[number] for number in numbers], 0)
        positions = np.flatnonzero(masks)
        return Batch(
            ids=torch.from_numpy(ids),
            attention=torch.from_numpy(attention),
            positions=torch.from_numpy(positions),
            targets=torch.from_numpy(kept.reshape(-1)[positions]),
            owners=torch.from_numpy(positions // masks.shape[1]),
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """Masked tokens of a row."""
        return int(rows.mask(number).sum())

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, V) scores of the token in each masked place."""
        with self._states.at(batch.positions, batch.ids.shape[1]), self._arithmetic(batch.ids.device):
            output = model(input_ids=batch.ids, attention_mask=batch.attention, **without_cache(model))
        found: torch.Tensor = output.logits
        assert found.shape[0] == len(batch.positions), "the output layer saw more than what is scored"
        return found.float()

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) cross entropy of each token."""
        return cross_entropy(logits, batch.targets, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """The likeliest token of each masked place, row by row."""
        found, owners = logits.argmax(dim=-1).tolist(), batch.owners.tolist()
        lists: list[list[float]] = [[] for _ in range(len(batch.ids))]
        for owner, one in zip(owners, found, strict=True):
            lists[owner].append(float(one))
        return [tuple(one) for one in lists]


MASKED_LANGUAGE = Objective(
    head="masked_lm",
    is_pair=False,
    is_sampled=False,
    has_texts=False,
    scorer=MaskedScorer,
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda shape: [0] * shape.length,
    has_offsets=False,
)
"""Tokens in masked places."""
