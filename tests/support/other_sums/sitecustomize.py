"""A CPU that nobody has here: linear layers sum in another order, as other kernels would.

Python imports a module of this name before anything else, in every process whose PYTHONPATH names this folder, so that
processes that tests start round in the same way as the tests themselves. `nox -s cpus` does that.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_NAME = "torch.nn.functional"


class _Finder(MetaPathFinder):
    """Finds torch's functions as usual, and has them changed once they are loaded."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        spec.loader = _Changed(spec.loader)
        return spec


class _Changed(Loader):
    def __init__(self, usual: Loader) -> None:
        self._usual = usual

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._usual.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._usual.exec_module(module)
        module.linear = _in_another_order(module.linear)


def _in_another_order(linear: Any) -> Any:
    """The same products, added up in an order that depends on how many they are alone."""
    import torch

    @cache
    def order(size: int) -> torch.Tensor:
        with torch.inference_mode(False):  # else gradients couldn't flow through it later
            return torch.randperm(size, generator=torch.Generator().manual_seed(size))

    def call(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Any:  # noqa: A002 - torch's name
        plain = type(weight) in (torch.Tensor, torch.nn.Parameter) and weight.device.type == "cpu"
        if not plain or input.dtype != torch.float32 or weight.dtype != torch.float32:
            return linear(input, weight, bias)
        if torch.is_autocast_enabled("cpu"):
            return linear(input, weight, bias)
        places = order(weight.shape[-1])
        return linear(input[..., places], weight[..., places], bias)

    return call


sys.meta_path.insert(0, _Finder())
