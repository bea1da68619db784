"""What a model and an optimizer hold, counted in the order in which it comes to be on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ftc.runtime.memory_trace.sections import Groups
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.sharding import stacks_of
from ftc.spec.strategies import STRATEGIES

__all__ = ["register_model", "register_state", "register_teacher", "release_teacher"]

_HALF = 2
"""Bytes of an element of a weight that arrives in 16 bits."""

_OF_ADAPTERS = ("modules_to_save", *{mark: None for card in STRATEGIES for mark in card.marks})
"""What names of adapters' weights hold."""

_Tensors = dict[str, torch.Tensor]
_Owners = dict[str, int | None]


def register_model(
    tracker: StorageTracker, model: nn.Module, groups: Sequence[Groups], *, empties_cache: bool = False
) -> None:
    """Counts weights, adapter and buffers as loading would allocate them.

    Args:
        tracker: Where they are counted.
        model: With its adapter.
        groups: How the layers of each stack repeat.
        empties_cache: Whether unused segments are given back when quantized weights are ready, as newer peft does.
    """
    prefixes = [f"{path}." for path, _ in stacks_of(model)]
    tensors: _Tensors = dict([*model.named_parameters(), *model.named_buffers()])
    owners = {name: _owner(name, prefixes, groups) for name in tensors}
    base = {name: tensor for name, tensor in tensors.items() if not _is_adapter(name)}
    if any(hasattr(tensor, "quant_state") for tensor in base.values()):
        _load_quantized(tracker, base, owners, groups, empties_cache)
    else:
        for name, tensor in base.items():
            tracker.section("load", owners[name])
            tracker.register(tensor, "weights", owners[name])
    for name, tensor in tensors.items():
        if _is_adapter(name):
            tracker.section("load", owners[name])
            tracker.register(tensor, "adapter", owners[name])
    tracker.section("load")


def register_teacher(tracker: StorageTracker, model: nn.Module) -> None:
    """Counts a teacher's weights and buffers as loading would allocate them."""
    from transformers.core_model_loading import dot_natural_key

    tensors: _Tensors = dict([*model.named_parameters(), *model.named_buffers()])
    tracker.section("load")
    if any(hasattr(tensor, "quant_state") for tensor in tensors.values()):
        tracker.release(tracker.hold(_warm_up_bytes(tensors, dict.fromkeys(tensors), ()), "temporaries"))
    for _, tensor in sorted(tensors.items(), key=lambda one: dot_natural_key(one[0])):
        if (state := getattr(tensor, "quant_state", None)) is not None:
            _pack(tracker, tensor, None)
            for part in _parts(state):
                tracker.register(part, "teacher")
        tracker.register(tensor, "teacher")


def release_teacher(tracker: StorageTracker, model: nn.Module) -> None:
    """Lets go of a teacher, with what it has put in place of some of its weights since."""
    for tensor in (*model.parameters(), *model.buffers()):
        tracker.register(tensor, "teacher")
    tracker.let_go("teacher")


def register_state(tracker: StorageTracker, optimizer: torch.optim.Optimizer) -> None:
    """Says which tensors are the optimizer's, and whose; those that the processor holds are left out."""
    for parameter, state in optimizer.state.items():
        for tensor in state.values():
            if isinstance(tensor, torch.Tensor) and tensor.device == parameter.device:
                tracker.register(tensor, "optimiser state", tracker.owner_of(parameter))


def _is_adapter(name: str) -> bool:
    return any(mark in name for mark in _OF_ADAPTERS)


def _owner(name: str, prefixes: Sequence[str], groups: Sequence[Groups]) -> int | None:
    for prefix, one in zip(prefixes, groups, strict=True):
        if name.startswith(prefix):
            return one.of(int(name.removeprefix(prefix).partition(".")[0]))
    return None


def _load_quantized(
    tracker: StorageTracker, tensors: _Tensors, owners: _Owners, groups: Sequence[Groups], empties_cache: bool
) -> None:
    """Loading as transformers does it where it quantizes.

    It asks for the memory of all weights at once and lets go of it, then takes the weights one by one, sorted by name.
    One that becomes 4-bit stays in 16 bits until it is packed; the others are made float32 when all are there.
    """
    from transformers.core_model_loading import dot_natural_key

    tracker.release(tracker.hold(_warm_up_bytes(tensors, owners, groups), "temporaries"))
    arrived: dict[str, int] = {}
    for name in sorted(tensors, key=lambda name: dot_natural_key(name.replace(".base_layer", ""))):
        tensor, owner = tensors[name], owners[name]
        tracker.section("load", owner)
        if hasattr(tensor, "quant_state"):
            _pack(tracker, tensor, owner)
        elif isinstance(tensor, nn.Parameter):
            arrived[name] = tracker.hold(_HALF * tensor.numel(), "weights", owner)
        else:
            tracker.register(tensor, "weights", owner)
    for name in tensors:
        if name in arrived:
            tracker.section("load", owners[name])
            tracker.register(tensors[name], "weights", owners[name])
            tracker.release(arrived[name])
    tracker.section("load")
    if empties_cache:
        tracker.empty_cache()


def _warm_up_bytes(tensors: _Tensors, owners: _Owners, groups: Sequence[Groups]) -> int:
    """Half a byte for each 4-bit weight, two for the others, at the model's real depth."""
    size = 0
    for name, tensor in tensors.items():
        owner = owners[name]
        times = next((one.times(owner) for one in groups if owner is not None and owner in one), 1)
        is_packed = hasattr(tensor, "quant_state")
        size += times * tensor.numel() * (tensor.element_size() if is_packed else _HALF)
    return size


def _pack(tracker: StorageTracker, tensor: Any, owner: int | None) -> None:
    """A weight in 16 bits, its packed form with scales, and where those are quantized too, their own steps."""
    state = tensor.quant_state
    passing = [tracker.hold(_HALF * state.shape.numel(), "weights", owner)]
    if state.nested:
        passing.append(tracker.hold(4 * state.absmax.numel(), "quantisation state", owner))
    tracker.register(tensor, "weights", owner)
    if state.nested:
        passing.append(tracker.hold(4 * state.absmax.numel(), "quantisation state", owner))
    for part in _parts(state):
        tracker.register(part, "quantisation state", owner)
    for number in reversed(passing):
        tracker.release(number)


def _parts(state: Any) -> Iterator[torch.Tensor]:
    """What bitsandbytes keeps beside packed weights; scales may be quantized themselves."""
    yield from (part for part in (state.absmax, state.code, state.offset) if isinstance(part, torch.Tensor))
    if state.state2 is not None:
        yield from _parts(state.state2)
