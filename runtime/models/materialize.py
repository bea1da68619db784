"""What a model is made of besides its code, and how all processes come to hold what the first one does.

A model that was built on shapes alone has the same modules as one that was read, and tensors without memory in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn

__all__ = ["description", "fill"]

_CONFIGURATIONS = ("config", "generation_config")
"""What transformers keeps of a model's configuration in its modules."""


def description(model: nn.Module) -> dict[str, Any]:
    """All that two models have to agree in for one to be filled with what the other holds, values aside.

    Names, types and shapes of all tensors, which of them are one and the same, and configurations.
    """
    numbers: dict[int, int] = {}
    tensors = [
        (name, tuple(one.shape), str(one.dtype), one.requires_grad, numbers.setdefault(id(one), len(numbers)))
        for name, one in _tensors(model)
    ]
    held = (cast("Any", vars(module).get(name)) for module in model.modules() for name in _CONFIGURATIONS)
    configurations = {id(one): one.to_dict() for one in held if hasattr(one, "to_dict")}
    return {"tensors": tensors, "configurations": list(configurations.values())}


def fill(module: nn.Module, device: torch.device, filled: set[int]) -> None:
    """Gives a module's tensors the values that they have in the first process, and moves them to the device.

    All processes have to call this together. Tensors that are neither parameters nor buffers stay with the processor.

    Args:
        module: Built alike in all processes; what is divided already is left as it is.
        device: Of this process.
        filled: Tensors that were filled before, by their ids; those of this call are added.
    """
    placed = {id(one) for one in (*module.parameters(), *module.buffers())}
    for _, tensor in _tensors(module):
        if id(tensor) in filled or hasattr(tensor, "full_tensor"):
            continue
        filled.add(id(tensor))
        values = _sent(tensor, device)
        _put(tensor, values if id(tensor) in placed else values.cpu())


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, buffers, and tensors that modules keep as plain attributes, under each of their names."""
    for place, module in model.named_modules(remove_duplicate=False):
        held: Any = module
        for kept in (held._parameters, held._buffers, vars(held)):
            yield from ((f"{place}.{name}", one) for name, one in kept.items() if isinstance(one, torch.Tensor))


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The first process's values, as bytes, since not every exchange knows every type."""
    if torch.distributed.get_rank() == 0:
        values = tensor.detach().to(device).contiguous()
    else:
        values = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    if values.numel():
        torch.distributed.broadcast(values.view(-1).view(torch.uint8), 0)
    return values


def _put(tensor: torch.Tensor, values: torch.Tensor) -> None:
    """Makes values those of a tensor that modules may hold under several names."""
    if not tensor.is_meta:
        tensor.data = values
        return
    is_parameter = isinstance(tensor, nn.Parameter)
    torch.utils.swap_tensors(tensor, nn.Parameter(values, tensor.requires_grad) if is_parameter else values)
