"""What of a trained model is its result: which tensors are saved, and how they get back into a model.

An adapter is saved as it is and never merged into its base, so that nothing is computed and nothing is copied here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ftc.runtime.artifacts.checkpoint import Kept
from ftc.runtime.models.build_model import trainable_tensors
from ftc.runtime.models.peft_import import peft_with_bitsandbytes, peft_without_bitsandbytes
from ftc.runtime.models.sharding import is_sharded, split_like
from ftc.runtime.models.weights import load_weights
from ftc.spec.documents.settings import Settings
from ftc.spec.strategy import VIRTUAL_TOKENS, WHOLE_MODEL
from ftc.spec.strategy_settings import BottleneckSettings, QLoraSettings

__all__ = ["artifact_tensors", "chosen_tensors", "load_artifact"]


def chosen_tensors(model: nn.Module, settings: Settings, chosen: Kept) -> dict[str, torch.Tensor]:
    """What is saved of a model once it holds the weights that training chose.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    load_weights(model, chosen.weights())
    return artifact_tensors(model, settings)


def artifact_tensors(model: nn.Module, settings: Settings) -> dict[str, torch.Tensor]:
    """What is saved: an adapter by peft's names, or all weights with shared ones once."""
    if settings.strategy.kind in WHOLE_MODEL:
        return _whole(model)
    if isinstance(settings.strategy, BottleneckSettings):
        return {name: tensor.detach() for name, tensor in trainable_tensors(model).items()}
    with _peft(settings) as peft:
        state = _named(model)
        return dict(peft.get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False))


def _named(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by each of their names; `state_dict` would make copies of what quantised layers keep."""
    pairs = *model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)
    return {name: tensor.detach() for name, tensor in pairs}


def _whole(model: nn.Module) -> dict[str, torch.Tensor]:
    saved = model.state_dict()
    shared = saved.keys() - dict(model.named_parameters()).keys() - dict(model.named_buffers()).keys()
    return {name: tensor for name, tensor in saved.items() if name not in shared}


def _load_full(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    # Shared names are absent; the digest afterwards proves the rest.
    model.load_state_dict(_in_parts(model, tensors), strict=False)


def _in_parts(model: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as a divided model takes them; buffers, which it has whole, as they are."""
    if not is_sharded(model):
        return tensors
    buffers, pattern = dict(model.named_buffers()), next(iter(model.parameters()))
    return {name: one if name in buffers else split_like(one, pattern) for name, one in tensors.items()}


def load_artifact(model: Any, settings: Settings, tensors: dict[str, torch.Tensor]) -> None:
    """Puts what was saved into a model that is as it was before the first step."""
    if settings.strategy.kind in WHOLE_MODEL:
        _load_full(model, tensors)
    elif isinstance(settings.strategy, BottleneckSettings):
        load_weights(model, tensors)
    else:
        if settings.strategy.kind in VIRTUAL_TOKENS:  # what made the tokens isn't saved, they are
            model.peft_config["default"].inference_mode = True
            _make_room(model.prompt_encoder["default"], tensors["prompt_embeddings"])
        with _peft(settings) as peft:
            peft.set_peft_model_state_dict(model, _in_parts(model, tensors))


def _make_room(encoder: Any, saved: torch.Tensor) -> None:
    """Lets keys and values stand where the vectors stood that a network made them out of, which are narrower."""
    if encoder.embedding.weight.shape != saved.shape:
        tokens, width = saved.shape
        encoder.embedding = nn.Embedding(tokens, width, device=encoder.embedding.weight.device)


@contextmanager
def _peft(settings: Settings) -> Iterator[ModuleType]:
    if isinstance(settings.strategy, QLoraSettings):
        yield peft_with_bitsandbytes()
    else:
        with peft_without_bitsandbytes() as peft:
            yield peft
