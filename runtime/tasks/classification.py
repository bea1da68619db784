"""Whole rows, by a new output layer: one class a row, or any number of them; what all such heads have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.evaluation.shortcuts import LastLayer, find_last_layer
from ftc.runtime.tasks.scorer import (
    Arithmetic,
    Batch,
    Objective,
    Prediction,
    cross_entropy,
    padded,
    states_at,
    token_types_of,
    without_cache,
)
from ftc.spec.documents.settings import ModelSettings
from ftc.spec.documents.streams import TokenStream

__all__ = [
    "CLASSIFICATION",
    "MULTI_LABEL",
    "ClassifierScorer",
    "LabeledRowScorer",
    "MultiLabelScorer",
    "RowScorer",
    "has_token_types",
]

_SHORT = 2, 8
"""Rows, and tokens of each, by which it is found out what a head reads."""


def has_token_types(model: Any) -> bool:
    """Whether a model distinguishes the two texts of a pair by types of tokens.

    Virtual tokens have no type, and peft leaves out the others' beside them.
    """
    return getattr(model.config, "type_vocab_size", 0) > 1 and not hasattr(model, "prompt_encoder")


class RowScorer(ABC):
    """A head that reads one place of each row.

    transformers' classifiers on decoders look for a row's last token by comparing ids with the padding id, which fails
    where that id also ends a row; the hook puts the last token's state wherever they look.
    """

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic) -> None:
        self._pad_id = settings.pad_id
        self._arithmetic = arithmetic
        self._positions: torch.Tensor | None = None
        self._length = 0
        self._outputs = int(model.config.num_labels)
        self._has_token_types = has_token_types(model)
        self._family = settings.family
        self._options = without_cache(model)
        self._last_layer: LastLayer | None = None
        if settings.family == "decoder":
            model.score.register_forward_pre_hook(self._last_token)

    @abstractmethod
    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""

    @abstractmethod
    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(B,) loss of each row."""

    @abstractmethod
    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """What the head says of each row."""

    def num_targets(self, rows: TokenStream, number: int) -> int:  # noqa: ARG002 - a row is decided on as a whole
        """One: the row."""
        return 1

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, C) scores of the classes."""
        self._positions, self._length = batch.positions, batch.ids.shape[1]
        with self._arithmetic(batch.ids.device):
            types = {"token_type_ids": batch.token_types} if self._has_token_types else {}
            output = model(input_ids=batch.ids, attention_mask=batch.attention, **self._options, **types)
        logits: torch.Tensor = output.logits
        return logits.float()

    def quick_logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The same up to rounding, without what the head doesn't read; the first call finds out what that is.

        The model has to be whole, and the block one without gradients.
        """
        if self._family == "encoder_decoder":  # two last layers, of which one is read as a whole
            return self.logits(model, batch)
        if self._last_layer is None:
            short = batch.corner(*_SHORT)
            places, length = self._read_places(short), short.ids.shape[1]
            if length < 2:  # nothing to leave out, and nothing to find out by
                return self.logits(model, batch)
            self._last_layer = find_last_layer(model, lambda: self.logits(model, short), places, length)
        with self._last_layer.at(self._read_places(batch), batch.ids.shape[1]):
            return self.logits(model, batch)

    def _read_places(self, batch: Batch) -> torch.Tensor:
        """(B,) the place of each row whose state the head reads: an encoder's first token, a decoder's last one."""
        places = batch.positions % batch.ids.shape[1]
        return places if self._family == "decoder" else torch.zeros_like(places)

    def _last_token(self, _layer: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        assert self._positions is not None
        hidden = inputs[0]  # (B, T, H)
        last = states_at(hidden, self._positions, self._length)
        return (last.unsqueeze(1).expand_as(hidden),)


class LabeledRowScorer(RowScorer):
    """A head that reads one text a row, which has a label or numbers."""

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors: scored is each row once, at its last token."""
        ids, attention = padded([rows.ids(number) for number in numbers], self._pad_id)
        lines = torch.arange(len(numbers))
        return Batch(
            ids=torch.from_numpy(ids),
            attention=torch.from_numpy(attention),
            positions=lines * ids.shape[1] + torch.from_numpy(attention).sum(dim=1) - 1,
            targets=self._targets(rows, numbers),
            owners=lines,
            token_types=token_types_of(rows, numbers, attention),
        )

    @abstractmethod
    def _targets(self, rows: TokenStream, numbers: Sequence[int]) -> torch.Tensor:
        """(B, ...) what each row should be."""


class ClassifierScorer(LabeledRowScorer):
    """One class a row."""

    def _targets(self, rows: TokenStream, numbers: Sequence[int]) -> torch.Tensor:
        return torch.tensor([int(rows.labels[number]) for number in numbers], dtype=torch.int64)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(B,) cross entropy of each row's class."""
        return cross_entropy(logits, batch.targets, smoothing)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002 - a line is a row
        """The class that scores highest, and its probability."""
        confidence, best = logits.softmax(dim=-1).max(dim=-1)
        return list(zip(best.tolist(), confidence.tolist(), strict=True))

    def probabilities(self, logits: torch.Tensor, batch: Batch) -> list[tuple[float, ...]]:  # noqa: ARG002
        """Of each class; they add up to 1."""
        return [tuple(row) for row in logits.softmax(dim=-1).tolist()]


class MultiLabelScorer(ClassifierScorer):
    """Any number of classes a row, each decided by itself."""

    def _targets(self, rows: TokenStream, numbers: Sequence[int]) -> torch.Tensor:
        """(B, C) a one for each class of a row."""
        wanted = torch.zeros(len(numbers), self._outputs)
        for line, number in enumerate(numbers):
            wanted[line, torch.from_numpy(rows.targets[number].astype(np.int64))] = 1.0
        return wanted

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(B,) binary cross entropy of each row, the mean over its classes."""
        return functional.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none").mean(dim=-1)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:  # noqa: ARG002 - a line is a row
        """The classes that are more likely than not."""
        return [tuple(row.nonzero().flatten().tolist()) for row in (logits > 0).cpu()]

    def probabilities(self, logits: torch.Tensor, batch: Batch) -> list[tuple[float, ...]]:  # noqa: ARG002
        """Of each class by itself."""
        return [tuple(row) for row in logits.sigmoid().tolist()]


CLASSIFICATION = Objective(
    head="classification",
    is_pair=False,
    is_sampled=False,
    has_texts=False,
    scorer=lambda model, settings, arithmetic: ClassifierScorer(model, settings.model, arithmetic),
    score_shape=lambda rows, _, outputs: (rows, outputs),
    stand_in_targets=lambda _: [],
    has_offsets=False,
)
MULTI_LABEL = replace(
    CLASSIFICATION,
    head="multi_label",
    scorer=lambda model, settings, arithmetic: MultiLabelScorer(model, settings.model, arithmetic),
)
