"""Activation checkpointing by torch: what of a layer is kept for the backward pass, and what is computed again.

torch's own `create_selective_checkpoint_contexts` counts every operator, and stops where the backward pass casts a
weight that the forward pass had cast already, as autocast does for layers that share weights. Here only what is kept
is counted, and only it costs time to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ftc.spec.checkpointing import Recomputing, checkpointing_card

__all__ = ["checkpoint_activations", "checkpointing_options", "keep_activations", "want_no_gradients"]

_aten = torch.ops.aten
_PRODUCTS = {_aten.mm.default: 0, _aten.addmm.default: 1}
"""Products of matrices, with the place of the left one."""
_ALWAYS = (
    "aten::_efficient_attention_forward", "aten::_flash_attention_forward", "aten::_grouped_mm", "aten::_scaled_mm",
    "aten::_scaled_dot_product_", "bitsandbytes::gemm_4bit", "bitsandbytes::int8_mixed_scaled_mm",
    "bitsandbytes::int8_scaled_mm", "flash_attn::", "flash_attn_3::", "ftc_traced::",
)  # fmt: skip
"""How operators begin that compute attention in one kernel, here or in a trace, or that only large products have."""


_HOOKS = ("_require_grads_hook", "_require_grads_hooks")
"""Where models of transformers keep what has their embeddings want gradients: earlier releases one hook, later all."""


def checkpoint_activations(model: Any, value: Recomputing, frozen: Collection[str] = ()) -> None:
    """Has the model compute activations again in the backward pass, where the plan says so.

    Args:
        model: A model of transformers.
        value: What is computed again.
        frozen: Modules in front of the language model that have no backward pass, by name.
    """
    if checkpointing_card(value).recomputes:
        options = checkpointing_options(model, value)
        if hasattr(model, "activation_checkpointing_enable"):  # later releases of transformers 5; 6 drops the other
            model.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
        else:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
        keep_activations(model, frozen)


def keep_activations(model: Any, parts: Collection[str]) -> None:
    """Takes modules of these names out of activation checkpointing and out of the backward pass, with all in them.

    For checkpointing, transformers and peft have all embeddings want gradients, those of patches too: the backward pass
    would go through a frozen tower, whose layers would be kept for it. Checkpointing that isn't reentrant needs none.
    """
    if parts:
        want_no_gradients(model)
    for name, module in model.named_modules():
        if set(parts) & set(name.split(".")) and hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = False


def want_no_gradients(model: Any) -> None:
    """Ends the backward pass of a model with activation checkpointing where its lowest trained weights are."""
    wants_gradients = any(hasattr(model, name) for name in _HOOKS)  # earlier releases fail where nothing does
    if wants_gradients and any(getattr(one, "gradient_checkpointing", False) for one in model.modules()):
        model.disable_input_require_grads()


def checkpointing_options(model: nn.Module, value: Recomputing) -> dict[str, Any]:
    """Options of torch's checkpoint for a base model that has nothing beside its own layers yet."""
    options: dict[str, Any] = {"use_reentrant": False}
    if checkpointing_card(value).keeps_products:
        layers = [module for module in model.modules() if hasattr(module, "gradient_checkpointing")] or [model]
        inner = (module for layer in layers for module in layer.modules())
        widths = (getattr(module, "in_features", getattr(module, "nx", None)) for module in inner)
        narrowest = min((width for width in widths if width), default=0)
        options["context_fn"] = partial(_both_passes, narrowest)
    return options


def _both_passes(narrowest: int) -> tuple[TorchDispatchMode, TorchDispatchMode]:
    """What a layer's forward pass runs in, and its second one."""
    kept: list[Any] = []
    is_kept = partial(_is_kept, narrowest)
    return _Keeping(is_kept, kept), _Giving(is_kept, kept)


def _is_kept(narrowest: int, operator: Any, args: Sequence[Any]) -> bool:
    """Whether what an operator gives is kept: a product of fewer inputs than any of the model's own is an adapter's."""
    if (left := _PRODUCTS.get(operator)) is not None:
        return bool(args[left].shape[1] >= narrowest)
    return _is_large(operator)


@cache
def _is_large(operator: Any) -> bool:
    return str(operator.name()).startswith(_ALWAYS)


class _Keeping(TorchDispatchMode):
    """Keeps what large products give, in their order; what is changed in place afterwards is kept as it was."""

    def __init__(self, is_kept: Callable[[Any, Sequence[Any]], bool], kept: list[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._is_kept, self._kept = is_kept, kept

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator."""
        if func._schema.is_mutable and self._kept:
            declared = func._schema.arguments
            values = {one.name: value for one, value in zip(declared, args, strict=False)} | (kwargs or {})
            written = [values.get(one.name) for one in declared if one.alias_info and one.alias_info.is_write]
            changed = [one.untyped_storage() for one in tree_leaves(written) if isinstance(one, torch.Tensor)]
            self._kept[:] = [_apart(result, changed) for result in self._kept]
        out = func(*args, **(kwargs or {}))
        if self._is_kept(func, args):
            self._kept.append(tree_map_only(torch.Tensor, torch.Tensor.detach, out))
        return out


def _apart(result: Any, changed: Sequence[torch.UntypedStorage]) -> Any:
    """A result with copies of those of its tensors that lie in one of these storages."""

    def apart(one: torch.Tensor) -> torch.Tensor:
        storage = one.untyped_storage()
        return one.clone() if any(storage is other for other in changed) else one

    return tree_map_only(torch.Tensor, apart, result)


class _Giving(TorchDispatchMode):
    """Gives what was kept in place of computing it, once; a further backward pass computes it."""

    def __init__(self, is_kept: Callable[[Any, Sequence[Any]], bool], kept: list[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._is_kept, self._kept = is_kept, kept

    def __enter__(self) -> Any:
        self._next = 0
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator, or gives what it gave."""
        if not self._is_kept(func, args):
            return func(*args, **(kwargs or {}))
        place, self._next = self._next, self._next + 1
        result, self._kept[place] = self._kept[place], None
        return func(*args, **(kwargs or {})) if result is None else result
