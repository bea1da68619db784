"""What every task offers to the loop, and what tasks have in common.

The output layer of a language model is often its largest matrix, and most of a row's tokens are prompt or padding.
A hook in front of that layer picks the hidden states that matter, (B, T, H) to (N, H), so the layer computes (N, V)
instead of (B, T, V), and whatever the model does behind it, such as capping, still happens. Since the places are known
beforehand, the result is exact: the same losses and the same gradients.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.training.collate import Batch
from ftc.spec.documents.streams import TokenStream

__all__ = [
    "Arithmetic",
    "PickedStates",
    "Prediction",
    "Scorer",
    "cross_entropy",
    "mixed_precision",
    "states_at",
    "without_cache",
]

Arithmetic = Callable[[torch.device], AbstractContextManager[Any]]
"""A block in which the forward pass runs on a device: what chooses the precision of its operators."""

Prediction = tuple[float, ...]
"""What a head says of a row: classes, tags of words, the place of an answer, or figures; empty for next tokens."""


class Scorer(Protocol):
    """How rows become scores for one kind of head. B rows, N things to predict, C choices for each."""

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The rows as tensors."""
        ...

    def num_targets(self, rows: TokenStream, number: int) -> int:
        """How many things a row has to predict."""
        ...

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(N, C) scores in float32, one line for each target."""
        ...

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:
        """(N,) loss of each target in nats, float32; in training, a share of the target may be spread over all choices.

        Plans smooth only what has one right choice among a fixed number (FTC276).
        """
        ...

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """What the head says of each row of the batch."""
        ...


class PickedStates:
    """Lets a layer see hidden states at chosen places alone, as long as a block says which.

    Args:
        layer: The layer, into which a hook goes for good.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._positions: torch.Tensor | None = None
        self._length = 0
        layer.register_forward_pre_hook(self._pick)

    @contextmanager
    def at(self, positions: torch.Tensor, length: int) -> Iterator[None]:
        """Within the block, the layer sees (N, H) states at these places in rows of so many tokens."""
        self._positions, self._length = positions, length
        try:
            yield
        finally:
            self._positions = None

    def _pick(self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor] | None:
        if self._positions is None:  # while answers are written, every position counts
            return None
        return (states_at(inputs[0], self._positions, self._length),)


def without_cache(model: Any) -> dict[str, bool]:
    """What to call a model with so that it doesn't remember keys and values for answers that nobody writes.

    A decoder does unless it is told otherwise: those of all layers, for all rows of a look.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {"use_cache": False} if "use_cache" in inspect.signature(inner.forward).parameters else {}


def states_at(hidden: torch.Tensor, positions: torch.Tensor, length: int) -> torch.Tensor:
    """(N, H) states at places in the flattened rows of a batch.

    Args:
        hidden: (B, P + T, H) states, with P virtual tokens before every row.
        positions: (N,) places in (B x T).
        length: T.
    """
    virtual = hidden.shape[1] - length
    if virtual:
        positions = positions + (positions // length + 1) * virtual
    return hidden.flatten(0, 1).index_select(0, positions)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """(N,) cross entropy of each target in nats, float32, of which a share is spread over all choices."""
    return functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def mixed_precision(precision: str, device: torch.device) -> torch.autocast:
    """torch's autocast for a plan's precision; does nothing for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
