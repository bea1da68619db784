"""A tag for each word, by a new output layer at the word's first token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ftc.runtime.tasks.classification import has_token_types
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
from ftc.spec.documents.settings import ModelSettings
from ftc.spec.documents.streams import TokenStream

__all__ = ["TOKEN_CLASSIFICATION", "WordScorer", "output_layer"]


def output_layer(model: Any) -> nn.Module:
    """The new layer of a model that tags words, whatever transformers calls it, in an adapter or without."""
    layer = getattr(model, "score", None)
    found: nn.Module = model.classifier if layer is None else layer
    return found


class WordScorer:
    """Tags of words."""

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic) -> None:
        self._pad_id = settings.pad_id
        self._arithmetic = arithmetic
        self._has_token_types = has_token_types(model)
        self._options = without_cache(model)
        self._states = PickedStates(output_layer(model))

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors: scored is each word, at its first token."""
        ids, attention = padded([rows.ids(number) for number in numbers], self._pad_id)
        begins = np.zeros(ids.shape, dtype=bool)
        for line, number in enumerate(numbers):
            mask = rows.mask(number)
            begins[line, : len(mask)] = mask
        positions = np.flatnonzero(begins)
        targets = np.concatenate([rows.targets[number] for number in numbers]).astype(np.int64)
        return Batch(
            ids=torch.from_numpy(ids),
            attention=torch.from_numpy(attention),
            positions=torch.from_numpy(positions),
            targets=torch.from_numpy(targets),
            owners=torch.from_numpy(positions // ids.shape[1]),
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """Words that have a token of their own."""
        return int(rows.mask(number).sum())

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, C) scores of the tags, a line a word."""
        with self._states.at(batch.positions, batch.ids.shape[1]), self._arithmetic(batch.ids.device):
            types = {"token_type_ids": torch.zeros_like(batch.ids)} if self._has_token_types else {}
            output = model(input_ids=batch.ids, attention_mask=batch.attention, **self._options, **types)
        logits: torch.Tensor = output.logits
        return logits.float()

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) cross entropy of each word's tag."""
        return cross_entropy(logits, batch.targets, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """The tag that scores highest for each word, row by row."""
        best, counts = logits.argmax(dim=-1), torch.bincount(batch.owners, minlength=len(batch.ids)).tolist()
        return [tuple(part.tolist()) for part in best.split(counts)]

    def probabilities(self, logits: torch.Tensor, batch: Batch) -> list[tuple[float, ...]]:
        """Of the tag that was chosen for each word, row by row."""
        highest, counts = logits.softmax(dim=-1).amax(dim=-1), torch.bincount(batch.owners, minlength=len(batch.ids))
        return [tuple(part.tolist()) for part in highest.split(counts.tolist())]


TOKEN_CLASSIFICATION = Objective(
    head="token_classification",
    is_pair=False,
    is_sampled=False,
    has_texts=False,
    scorer=lambda model, settings, arithmetic: WordScorer(model, settings.model, arithmetic),
    score_shape=lambda rows, shape, outputs: (rows * shape.supervised, outputs),
    stand_in_targets=lambda shape: [0] * shape.supervised,
    has_offsets=False,
)
