"""Adapters that peft makes: how its models are built, saved and loaded, whatever the method.

peft looks whether bitsandbytes is installed, and then imports it, which takes more CPU time than torch itself.
Only 4-bit and 8-bit weights need it; for everything else it is hidden while peft is at work. So are packages with
layers for GPTQ's and AWQ's files, since ftc has its own: gptqmodel takes longer still, changes the environment when it
is imported, and where it lacks a package beside itself peft refuses every model.
"""

from __future__ import annotations

import sys
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.base_model import (
    Base,
    frozen_base,
    frozen_parts,
    peft_task,
    quiet_transformers,
    trainable_tensors,
)
from ftc.runtime.models.recomputing import keep_activations
from ftc.runtime.strategies.half import BESIDE_LAYERS, Half, S_contra, in_parts
from ftc.runtime.training.seeding import seed_everything
from ftc.spec.documents.settings import Settings
from ftc.spec.module_names import Role, role_of
from ftc.spec.strategies import StrategySettings

__all__ = ["OfPeft", "peft_config", "peft_for", "with_roles"]

_BITSANDBYTES = "bitsandbytes"
_OF_OTHERS = ("gptqmodel", "awq")
_CHECKS = ("is_bnb_available", "is_bnb_4bit_available", "is_gptqmodel_available", "is_auto_awq_available")
"""What peft remembers of these packages; the last one in earlier releases."""


class OfPeft(Half[S_contra]):
    """An adapter of peft's beside a frozen base."""

    @abstractmethod
    def config(self, peft: ModuleType, model: Any, settings: Settings, strategy: S_contra, *, is_whole: bool) -> Any:
        """peft's configuration; `is_whole` says whether the base has its weights and all its layers.

        Raises:
            Refusal: FTC625, the model has other modules of the kind than the plan says.
        """

    def frozen(self, settings: Settings, strategy: S_contra, base: Base) -> Any:
        """The base, of which nothing is trained."""
        return frozen_base(settings, base)

    def check(self, model: nn.Module, peft: ModuleType, strategy: S_contra) -> None:
        """Checks that peft did what the plan says, of a model with all its layers.

        Raises:
            Refusal: FTC625, it didn't.
        """

    def build(self, settings: Settings, strategy: S_contra, base: Base) -> nn.Module:
        """peft's model, whose adapter is in float32: steps are too small for 16 bits."""
        model = self.frozen(settings, strategy, base)
        with peft_for(strategy) as peft:
            config = self.config(peft, model, settings, strategy, is_whole=base.is_whole)
            seed_everything(settings.seeds.init)  # the adapter is drawn here
            with quiet_transformers():
                # peft asks norms for their inputs and outputs
                warnings.filterwarnings("ignore", "Unsupported layer type")
                # It looks for ranks of experts among modules, and finds them among parameters.
                warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys did not match")
                adapted: nn.Module = peft.get_peft_model(model, config, autocast_adapter_dtype=True)
            keep_activations(model, frozen_parts(settings))
            if base.is_whole:
                self.check(adapted, peft, strategy)
        for parameter in trainable_tensors(adapted).values():
            parameter.data = parameter.data.float()
        return adapted

    def saved(self, model: nn.Module, strategy: S_contra) -> dict[str, torch.Tensor]:
        """The adapter by peft's names."""
        # `state_dict` would make copies of what quantized layers keep.
        pairs = *model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)
        passing = {id(one.get_buffer(name)) for one in model.modules() for name in one._non_persistent_buffers_set}
        state = {name: tensor.detach() for name, tensor in pairs if id(tensor) not in passing}
        with peft_for(strategy) as peft:
            return dict(peft.get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False))

    def load(self, model: Any, strategy: S_contra, tensors: dict[str, torch.Tensor]) -> None:
        """The adapter by peft's names."""
        with peft_for(strategy) as peft:
            peft.set_peft_model_state_dict(model, in_parts(model, tensors))

    def adapter_config(self, model: Any, strategy: S_contra) -> dict[str, Any]:
        """peft's own file, without a path of this machine."""
        config = model.peft_config["default"].to_dict() | {"inference_mode": True, "revision": None}
        if whole := config.get("modules_to_save"):
            config["modules_to_save"] = list(dict.fromkeys(whole))  # peft names a class head a second time
        return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def peft_config(peft: ModuleType, settings: Settings, strategy: StrategySettings, **found: Any) -> Any:
    """peft's configuration of a strategy; `found` are arguments that follow from the loaded model."""
    method = strategy.peft()
    assert method is not None, "peft has such a method"
    common = {"task_type": peft_task(settings), "modules_to_save": list(strategy.traits.new_modules) or None}
    return getattr(peft, method.config)(**{**common, **method.arguments, **found})


def with_roles(model: Any, roles: tuple[Role, ...]) -> dict[str, nn.Module]:
    """Linear layers with one of these roles, by full name."""
    return {
        name: module
        for name, module in model.named_modules()
        if role_of(name) in roles and hasattr(module, "weight") and not set(BESIDE_LAYERS) & set(name.split("."))
    }


@contextmanager
def peft_for(strategy: StrategySettings) -> Iterator[ModuleType]:
    """peft, for a block that makes or fills a model of this strategy."""
    hidden = [*_OF_OTHERS] if strategy.traits.quantized is not None else [_BITSANDBYTES, *_OF_OTHERS]
    hidden = [name for name in hidden if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # python's own way to say that a module can't be imported
    _forget_what_is_installed()
    try:
        import peft

        yield peft
    finally:
        for name in hidden:
            del sys.modules[name]
        _forget_what_is_installed()


def _forget_what_is_installed() -> None:
    checks = sys.modules.get("peft.import_utils")
    for name in _CHECKS:
        if (check := getattr(checks, name, None)) is not None:
            check.cache_clear()
