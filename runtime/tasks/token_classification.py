"""A tag for each word, by a new output layer at the word's first token."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ftc.runtime.tasks.classification import has_token_types
from ftc.runtime.tasks.scorer import Arithmetic, PickedStates, Prediction, cross_entropy, without_cache
from ftc.runtime.training.collate import Batch, words_batch
from ftc.spec.documents.settings import ModelSettings
from ftc.spec.documents.streams import TokenStream

__all__ = ["WordScorer", "output_layer"]


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
        """The rows as tensors."""
        return words_batch(rows, numbers, self._pad_id)

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
