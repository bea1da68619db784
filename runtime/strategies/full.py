"""Full training, and what all strategies share whose result is a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.base_model import Base, frozen_parts, load_base, trainable_tensors
from ftc.runtime.models.file_names import names_in_files, stored_names
from ftc.runtime.models.float8_layers import multiply_in_float8
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.models.quantized_layers import round_in_training
from ftc.runtime.models.recomputing import checkpoint_activations, want_no_gradients
from ftc.runtime.strategies.half import Half, S_contra, in_parts, require, require_weights
from ftc.spec.architectures import architecture
from ftc.spec.documents.settings import Settings
from ftc.spec.module_names import depths_of
from ftc.spec.precisions import precision_card
from ftc.spec.strategies.bitfit import BitFitSettings
from ftc.spec.strategies.chosen import ChosenSettings

__all__ = ["OfBitFit", "OfChosen", "OfWhole"]


class OfWhole(Half[S_contra]):
    """Weights of the model itself are trained, in the type that the plan's precision gives them."""

    @abstractmethod
    def chosen(self, model: nn.Module, strategy: S_contra) -> Container[str]:
        """Names of the weights that are trained."""

    def build(self, settings: Settings, strategy: S_contra, base: Base) -> nn.Module:
        """The model, of which nothing but the chosen weights is trained."""
        model: Any = load_base(settings, base, dtype=torch_type(precision_card(settings.train.precision).trained))
        checkpoint_activations(model, settings.train.activation_checkpointing, frozen_parts(settings))
        want_no_gradients(model)  # frozen layers below the trained ones would be kept and computed again for nothing
        if (rounded := settings.train.quantize_aware) is not None:
            names = round_in_training(model, rounded)
            require(len(names), rounded.num_modules, names, is_whole=base.is_whole)
        chosen, router = self.chosen(model, strategy), settings.train.router
        mixture = architecture(model.config.model_type).experts if router and not router.trained else None
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in chosen and not (mixture and mixture.is_router(name)))
        if (eight := settings.train.float8) is not None:
            names = multiply_in_float8(model, settings.train.precision)
            require(len(names), eight.num_modules, names, is_whole=base.is_whole)
        made: nn.Module = model
        return made

    def saved(self, model: nn.Module, strategy: S_contra) -> dict[str, torch.Tensor]:
        """All weights, shared ones once."""
        saved, names = model.state_dict(), names_in_files(model)
        shared = saved.keys() - dict(model.named_parameters()).keys() - dict(model.named_buffers()).keys()
        return {names.get(name, name): tensor for name, tensor in saved.items() if name not in shared}

    def load(self, model: Any, strategy: S_contra, tensors: dict[str, torch.Tensor]) -> None:
        """All weights. Shared names are absent; the digest afterwards proves the rest."""
        owns = {name: own for own, name in names_in_files(model).items()}
        model.load_state_dict(
            in_parts(model, {owns.get(name, name): one for name, one in tensors.items()}), strict=False
        )

    def adapter_config(self, model: Any, strategy: S_contra) -> dict[str, Any]:
        """There is no adapter."""
        return {}


class OfChosen(OfWhole[ChosenSettings]):
    """Every weight, or those of the last layers, or what patterns of names leave of them."""

    def chosen(self, model: nn.Module, strategy: ChosenSettings) -> Container[str]:
        """By the names of the weights, as the plan counted them."""
        names = [name for name, _ in model.named_parameters()]
        depths, stored = depths_of(names), stored_names(model) if strategy.has_patterns else {}
        return {name for name in names if strategy.is_trained(name, depths, stored.get(name, ()))}

    def build(self, settings: Settings, strategy: ChosenSettings, base: Base) -> nn.Module:
        """The model, of which as much is trained as the plan counted."""
        model = super().build(settings, strategy, base)
        if strategy.num_weights is not None and base.is_whole:
            trained = trainable_tensors(model)
            found = sum(one.numel() for name, one in trained.items() if not strategy.is_of_head(name))
            require_weights(found, strategy.num_weights, strategy.pattern_words())
        return model


class OfBitFit(OfWhole[BitFitSettings]):
    """Biases."""

    def chosen(self, model: nn.Module, strategy: BitFitSettings) -> Container[str]:
        """Biases, and the new head whole."""
        head = set(strategy.trained_modules)
        parts = {name: name.split(".") for name, _ in model.named_parameters()}
        return {name for name, words in parts.items() if words[-1] == "bias" or head & set(words)}
