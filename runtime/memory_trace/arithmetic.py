"""Mixed precision and dropout for tensors without memory, for which torch's autocast does nothing.

Casts what autocast would cast, where it would: products of matrices run in 16 bits, sensitive functions in float32,
and a trained weight is cast once in each pass. Recomputed layers do the same, since checkpointing restores autocast.

A card's dropout is one kernel, which keeps a truth value for each element. Without memory torch takes the form for
CPUs, which keeps a number in the elements' own type, up to four times as much. Where something is dropped in
place, a card takes that form, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, ClassVar, Self

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ftc.runtime.memory_trace.torch_internals import is_view, remembers_casts_in_inference, replaced
from ftc.runtime.models import packed_layers

__all__ = ["CardDropout", "MixedPrecision", "mixed_without_memory", "processor_norm"]

_Tensor = torch.Tensor
_PRODUCTS = (torch.addmm, torch.addmv, torch.addbmm, torch.baddbmm, torch.bmm, torch.einsum, torch.matmul, torch.mm)
_PRODUCT_METHODS = (_Tensor.addmm, _Tensor.baddbmm, _Tensor.bmm, _Tensor.matmul, _Tensor.mm)
_PRODUCT_SIGNS = (_Tensor.__matmul__, _Tensor.__rmatmul__)
_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
_PRODUCT_LAYERS = (functional.bilinear, functional.linear, functional.scaled_dot_product_attention, *_CONVOLUTIONS)
_IN_HALF = frozenset[Any]({torch.mv, *_PRODUCTS, *_PRODUCT_METHODS, *_PRODUCT_SIGNS, *_PRODUCT_LAYERS})

_SENSITIVE = (torch.cumsum, torch.exp, torch.log, torch.log_softmax, torch.pow, torch.rsqrt, torch.softmax)
_SENSITIVE_METHODS = (_Tensor.cumsum, _Tensor.exp, _Tensor.log, _Tensor.pow, _Tensor.rsqrt, _Tensor.softmax)
_NORMS = (functional.layer_norm, functional.log_softmax, functional.softmax, torch.layer_norm)
_LOSSES = (functional.cross_entropy, functional.nll_loss)
_IN_FULL_ON_CARD = frozenset[Any]({*_SENSITIVE, *_SENSITIVE_METHODS, *_NORMS, *_LOSSES})


class MixedPrecision(TorchFunctionMode):
    """Autocast to a type of 16 bits while it is active, wherever autocast is on for the CPU.

    The CPU's switch does nothing to tensors without memory, but checkpointing carries it along, so that layers
    are computed again with what they were computed with.

    Args:
        half: The type.
        on_card: Whether sensitive functions run in float32, as on CUDA; a CPU's list is shorter.
    """

    _active: ClassVar[MixedPrecision | None] = None

    def __init__(self, half: torch.dtype, *, on_card: bool) -> None:
        super().__init__()
        self._half = half
        self._in_full = _IN_FULL_ON_CARD if on_card else frozenset[Any]()
        self._casts: dict[int, torch.Tensor] = {}
        self._remembers_in_inference = remembers_casts_in_inference()
        self._forgetting = ExitStack()

    def __enter__(self) -> Self:
        self._forgetting.enter_context(replaced(torch, "clear_autocast_cache", self._casts.clear))
        self._forgetting.enter_context(replaced(packed_layers, "operand", lambda one: self.halved(one)[0]))
        MixedPrecision._active = self
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        MixedPrecision._active = None
        self._forgetting.close()

    @staticmethod
    def halved(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What autocast makes of the arguments of a product, where it is on; for functions that stand in for one."""
        mode = MixedPrecision._active
        if mode is None or not torch.is_autocast_enabled("cpu"):
            return tensors
        return mode._cast(tensors, mode._to_half)  # type: ignore[no-any-return]

    @staticmethod
    def switch(is_on: bool) -> torch.autocast:
        """A block in which casts are made, or not; at the end of the outermost one casts of weights are forgotten."""
        return torch.autocast("cpu", enabled=is_on)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function on cast arguments."""
        kwargs = kwargs or {}
        if not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        if func in _IN_HALF:
            kwargs = self._cast(kwargs, self._to_half)
            return func(*self._cast(args, self._to_half), **kwargs)
        if func in self._in_full and kwargs.get("dtype") is None:
            kwargs = self._cast(kwargs, _to_full)
            return func(*self._cast(args, _to_full), **kwargs)
        return func(*args, **kwargs)

    @staticmethod
    def _cast(values: Any, cast: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        """Casts from the last argument to the first, the order in which compiled autocast evaluates them."""
        if isinstance(values, dict):
            return {name: cast(value) if _is_real(value) else value for name, value in reversed(values.items())}
        return tuple(reversed([cast(value) if _is_real(value) else value for value in reversed(values)]))

    def _to_half(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype == self._half:
            return tensor
        is_leaf = tensor.is_leaf and not is_view(tensor)  # a chunk of states is a leaf that autocast doesn't keep
        is_weight = is_leaf and tensor.requires_grad and tensor.dtype == torch.float32
        if not is_weight or (torch.is_inference_mode_enabled() and not self._remembers_in_inference):
            return tensor.to(self._half)
        if id(tensor) not in self._casts:
            self._casts[id(tensor)] = tensor.to(self._half)
        return self._casts[id(tensor)]


class _SwitchWithoutMemory(torch.autocast):
    """torch's autocast where a library asks it for the device of its tensors, which have no memory: the CPU's switch.

    peft does so around the sum of experts and their adapter; torch knows no autocast of that name.
    """

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if device_type == "meta" else device_type, *args, **kwargs)


@contextmanager
def mixed_without_memory(
    half: torch.dtype | None, models: Iterable[nn.Module], *, on_card: bool
) -> Iterator[Callable[[], torch.autocast]]:
    """Sets up what stands in for torch's autocast, and gives the switch that stands around what is to be cast.

    All passes run inside it, the backward pass too: layers that are computed again cast there what they cast before.

    Args:
        half: The type of 16 bits; None where a run casts nothing, so that the switch does nothing.
        models: Models that run. Their rotary embeddings turn autocast off, and would do so for a device without
            memory, which has none.
        on_card: As in `MixedPrecision`.
    """
    mixed = nullcontext() if half is None else MixedPrecision(half, on_card=on_card)
    with replaced(torch, "autocast", _SwitchWithoutMemory), mixed:
        for module in (module for model in models for module in model.modules()) if half is not None else ():
            if type(module).__name__.endswith("RotaryEmbedding"):
                module.forward = _uncast(module.forward)
        yield lambda: MixedPrecision.switch(half is not None)


def _uncast(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A module's forward pass, of which nothing is cast."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with MixedPrecision.switch(is_on=False):
            return forward(*args, **kwargs)

    return call


def _to_full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float()


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


class CardDropout(TorchFunctionMode):
    """Makes dropout the fused operator while it is active."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function; dropout as a card would."""
        if func is functional.dropout:
            options = {"tensor" if name == "input" else name: value for name, value in (kwargs or {}).items()}
            return _dropout(*args, **options)
        return func(*args, **(kwargs or {}))


def _dropout(tensor: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    if not training or inplace or not 0 < p < 1 or not tensor.numel():
        return functional.dropout(tensor, p, training, inplace)
    dropped: torch.Tensor = torch.native_dropout(tensor, p, True)[0]
    return dropped


def processor_norm(result: tuple[torch.Tensor, ...], weight: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """What a norm gives on a CPU, which keeps mean and deviation of each row in the type of its weight."""
    normed, *kept = result
    half = normed.dtype.itemsize < kept[0].dtype.itemsize and (weight is None or weight.dtype == normed.dtype)
    return normed, *((one.new_empty(one.shape, dtype=normed.dtype) for one in kept) if half else kept)
