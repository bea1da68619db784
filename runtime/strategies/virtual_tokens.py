"""Virtual tokens: prompt tuning, p-tuning and prefix tuning.

While answers are written, peft and transformers have to mean the same by the cache: peft puts a prefix, or embeddings
before the row, where `past_key_values` is missing or empty. Newer transformers call that `cache`, so that peft would
put embeddings there again at every token, and a prefix where nothing reads it.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.base_model import Base
from ftc.runtime.strategies.with_peft import OfPeft, peft_config
from ftc.spec.documents.settings import Settings
from ftc.spec.strategies.virtual_tokens import VirtualSettings

__all__ = ["OfVirtualTokens", "agree_on_cache"]

_OLD, _NEW = "past_key_values", "cache"


class OfVirtualTokens(OfPeft[VirtualSettings]):
    """peft's own, whatever makes the tokens."""

    def config(
        self, peft: ModuleType, model: Any, settings: Settings, strategy: VirtualSettings, *, is_whole: bool
    ) -> Any:
        """peft's configuration."""
        return peft_config(peft, settings, strategy, **strategy.begins_with(is_whole=is_whole))

    def build(self, settings: Settings, strategy: VirtualSettings, base: Base) -> nn.Module:
        """peft's model, which then writes answers as transformers would have it."""
        model = super().build(settings, strategy, base)
        agree_on_cache(model)
        return model

    def load(self, model: Any, strategy: VirtualSettings, tensors: dict[str, torch.Tensor]) -> None:
        """The tokens; what made them isn't saved."""
        model.peft_config["default"].inference_mode = True
        encoder, saved = model.prompt_encoder["default"], tensors["prompt_embeddings"]
        if encoder.embedding.weight.shape != saved.shape:  # vectors, of which a network made keys and values
            encoder.embedding = nn.Embedding(saved.shape[0], saved.shape[1], device=encoder.embedding.weight.device)
        super().load(model, strategy, tensors)


def agree_on_cache(model: Any) -> None:
    """Hands the cache to peft under the name that it knows, and on to the base under its own. For good."""
    base = model.get_base_model()
    if (
        not hasattr(model, "base_model_prepare_inputs_for_generation")
        or _NEW not in inspect.signature(base.forward).parameters
    ):
        return
    prepare = model.base_model_prepare_inputs_for_generation

    def prepared(*args: Any, **kwargs: Any) -> dict[str, Any]:  # by these names transformers takes it for its own
        return _renamed(prepare(*args, **kwargs), _NEW, _OLD)

    model.base_model_prepare_inputs_for_generation = prepared
    base.register_forward_pre_hook(_with_new_name, with_kwargs=True)


def _with_new_name(_base: nn.Module, words: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return words, _renamed(options, _OLD, _NEW)


def _renamed(options: dict[str, Any], name: str, other: str) -> dict[str, Any]:
    """The options with one of them called otherwise."""
    return {other if key == name else key: value for key, value in options.items()}
