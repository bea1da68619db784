"""Scoring only what is scored: the output layer runs where a label is, and nowhere else.

The output layer of a language model is often its largest matrix, and most of a row's tokens are prompt or padding.
A hook in front of that layer picks the hidden states that matter, (B, T, H) to (N, H), so the layer computes (N, V)
instead of (B, T, V), and whatever the model does behind it, such as capping, still happens. Since the mask is known
beforehand, the result is exact: the same losses and the same gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol, assert_never

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.collate import Batch, classification_batch, lm_batch
from ftc.spec.settings import ModelSettings, TrainSettings
from ftc.spec.streams import TokenStream

__all__ = ["Arithmetic", "ClassifierScorer", "LanguageScorer", "Scorer", "losses", "make_scorer", "mixed_precision"]

Arithmetic = Callable[[torch.device], AbstractContextManager[Any]]
"""A block in which the forward pass runs on a device: what chooses the precision of its operators."""


class Scorer(Protocol):
    """How rows become scores for one kind of head."""

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        ...

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """How many things a row has to predict."""
        ...

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, V) or (N, C) scores in float32, one line for each target."""
        ...


class LanguageScorer:
    """Next tokens, by the model's own output layer.

    Args:
        model: The model without any wrapper for several devices.
        settings: Which token pads.
        arithmetic: What the forward pass runs in.
    """

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic) -> None:
        self._pad_id = settings.pad_id
        self._needs_mask = settings.family != "decoder"
        self._arithmetic = arithmetic
        self._positions: torch.Tensor | None = None
        model.get_output_embeddings().register_forward_pre_hook(self._select)

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        return lm_batch(rows, numbers, self._pad_id)

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """Supervised tokens of a row; its first token has nothing before it to be predicted from."""
        return int(rows.mask(number)[1:].sum())

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, V) scores of the next token at the places that are scored."""
        # Padding stands on the right, where a causal model never looks back from: without a mask, attention takes the
        # faster causal kernel.
        attention = batch.attention if self._needs_mask else None
        with self._only_at(batch.positions), self._arithmetic(batch.ids.device):
            # Without a mask, places that begin anew tell the model where a packed row ends.
            places = {} if batch.places is None else {"position_ids": batch.places}
            output = model(input_ids=batch.ids, attention_mask=attention, use_cache=False, **places)
        logits: torch.Tensor = output.logits
        assert logits.shape[0] == len(batch.positions), "the output layer saw more than what is scored"
        return logits.float()

    @contextmanager
    def _only_at(self, positions: torch.Tensor) -> Iterator[None]:
        self._positions = positions
        try:
            yield
        finally:
            self._positions = None

    def _select(self, _layer: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
        if self._positions is None:  # while answers are written, every position counts
            return None
        return (inputs[0].flatten(0, 1).index_select(0, self._positions),)  # (B, T, H) -> (N, H)


class ClassifierScorer:
    """Classes of whole rows, by a new output layer.

    transformers' classifiers on decoders look for a row's last token by comparing ids with the padding id, which fails
    where that id also ends a row; the hook puts the last token's state wherever they look.
    """

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic) -> None:
        self._pad_id = settings.pad_id
        self._arithmetic = arithmetic
        self._positions: torch.Tensor | None = None
        self._has_token_types = getattr(model.config, "type_vocab_size", 0) > 1
        if settings.family == "decoder":
            model.score.register_forward_pre_hook(self._last_token)

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        return classification_batch(rows, numbers, self._pad_id)

    def num_targets(self, rows: TokenStream, number: int) -> int:  # noqa: ARG002 - a row has one class
        """One: the row's class."""
        return 1

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(B, C) scores of the classes."""
        self._positions = batch.positions
        with self._arithmetic(batch.ids.device):
            types = {"token_type_ids": batch.token_types} if self._has_token_types else {}
            output = model(input_ids=batch.ids, attention_mask=batch.attention, **types)
        logits: torch.Tensor = output.logits
        return logits.float()

    def _last_token(self, _layer: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        assert self._positions is not None
        hidden = inputs[0]  # (B, T, H)
        last = hidden.flatten(0, 1).index_select(0, self._positions)
        return (last.unsqueeze(1).expand_as(hidden),)


def make_scorer(
    model: nn.Module, settings: ModelSettings, train: TrainSettings, arithmetic: Arithmetic | None = None
) -> Scorer:
    """The scorer for a plan's head; it hooks itself into the model for good.

    Args:
        model: The model without any wrapper for several devices.
        settings: Its head.
        train: The plan's precision.
        arithmetic: Stands in for torch's mixed precision where that does nothing, on tensors without memory.
    """
    arithmetic = arithmetic or partial(mixed_precision, train.precision)
    match settings.head:
        case "lm":
            return LanguageScorer(model, settings, arithmetic)
        case "classification":
            return ClassifierScorer(model, settings, arithmetic)
        case _:
            assert_never(settings.head)


def losses(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(N,) cross entropy of each target in nats, float32."""
    return functional.cross_entropy(logits, batch.targets, reduction="none")


def mixed_precision(precision: str, device: torch.device) -> torch.autocast:
    """torch's autocast for a plan's precision; does nothing for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
