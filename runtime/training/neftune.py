"""NEFTune: noise on the embeddings while a model is trained (Jain et al. 2023)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

__all__ = ["add_noise"]


def add_noise(model: Any, alpha: float) -> None:
    """Hooks the noise behind a model's table of words, for good; it draws nothing in evaluation."""
    model.get_input_embeddings().register_forward_hook(partial(_shake, alpha))


def _shake(alpha: float, table: nn.Module, _inputs: Any, words: torch.Tensor) -> torch.Tensor | None:
    """(B, T, H) embeddings, each moved by at most alpha / sqrt(T * H)."""
    if not table.training:
        return None
    most = alpha / (words.shape[1] * words.shape[2]) ** 0.5
    return words + torch.zeros_like(words).uniform_(-most, most)
