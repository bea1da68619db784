"""Fused kernels of layers' parts by liger-kernel, through the door that transformers keeps for it.

liger-kernel changes modules of one model, and names in the code of its model type, which every model of the process
shares. Here only the model that is trained has them, and only in training: what is evaluated, a teacher, and what is
exported are computed as without.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from types import MethodType, ModuleType
from typing import Any

from torch import nn

from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.fused_kernels import FUSED_KERNELS, fused_kernel

__all__ = ["fuse_layers"]

_OTHERS = ("cross_entropy", "fused_linear_cross_entropy", "layer_norm")
"""Switches of liger-kernel for what ftc computes itself, or torch in one kernel."""


def fuse_layers(model: nn.Module, train: TrainSettings) -> Callable[[], None]:
    """Has the plan's parts of a model's layers computed by fused kernels while it trains.

    Returns:
        What undoes it.

    Raises:
        ImportError: liger-kernel, or what it needs, isn't installed.
        LookupError: A part of the plan has no kernel in this model.
    """
    logging.getLogger("liger_kernel").setLevel(logging.ERROR)  # it tells of kernels for other devices
    from liger_kernel.backends import set_impl
    from transformers.integrations.liger import apply_liger_kernel

    set_impl("nvidia-triton")  # whatever else is installed: the record names this one
    members = list(model.modules())
    own = [vars(one).get("forward") for one in members]
    code = [sys.modules[name] for name in sorted({type(one).__module__ for one in members}) if "modeling" in name]
    names = [dict(vars(module)) for module in code]
    wanted = {name for part in train.kernels for name in fused_kernel(part).switches}
    switches = {name: name in wanted for card in FUSED_KERNELS for name in card.switches}
    try:
        apply_liger_kernel(model, {**switches, **dict.fromkeys(_OTHERS, False)})
    finally:
        replaced = [_put_back(module, before) for module, before in zip(code, names, strict=True)]
    found = set[str]()
    for one, before in zip(members, own, strict=True):
        if vars(one).get("forward") is not before:
            one.forward = _in_training(one, one.forward, before or MethodType(type(one).forward, one))
            found.add("modules")
    keeps = checkpointing_card(train.activation_checkpointing)
    for module, functions in zip(code, replaced, strict=True):
        for name, rotate in functions.items():
            # Selective checkpointing keeps what products gave, which a rotation in place would write over unseen.
            safe = _on_copies(rotate) if keeps.recomputes and keeps.keeps_products else rotate
            for one in members:
                if type(one).__module__ == module.__name__ and _calls(one, name):
                    one.forward = _in_training(one, _with(module, name, safe, one.forward), one.forward)
                    found.add("functions")

    def undo() -> None:
        for one, before in zip(members, own, strict=True):
            vars(one).pop("forward", None)
            if before is not None:
                one.forward = before

    if found != {"functions" if part == "rotation" else "modules" for part in train.kernels}:
        undo()
        raise LookupError(f"liger-kernel has other kernels for `{type(model).__name__}` than the plan says")
    return undo


def _put_back(module: ModuleType, before: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Gives a module's names their values again; returns the functions that stood in for them."""
    replaced = {name: value for name, value in vars(module).items() if before.get(name) is not value}
    for name in replaced:
        setattr(module, name, before[name])
    return {name: value for name, value in replaced.items() if inspect.isfunction(value)}


def _calls(module: nn.Module, name: str) -> bool:
    """Whether the class's own forward pass calls a function of its file."""
    return name in inspect.unwrap(type(module).forward).__code__.co_names


def _in_training(module: nn.Module, fused: Callable[..., Any], usual: Callable[..., Any]) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return (fused if module.training else usual)(*args, **kwargs)

    return forward


def _with(module: ModuleType, name: str, value: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A way forward in which a name of its file means something else."""

    def call(*args: Any, **kwargs: Any) -> Any:
        before = getattr(module, name)
        setattr(module, name, value)
        try:
            return forward(*args, **kwargs)
        finally:
            setattr(module, name, before)

    return call


def _on_copies(rotate: Callable[..., Any]) -> Callable[..., Any]:
    def rotated(queries: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
        return rotate(queries.clone(), keys.clone(), *args, **kwargs)

    return rotated
