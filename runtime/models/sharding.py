"""A model in parts on several devices, by torch's own `fully_shard`, and how parts and whole tensors become each other.

Every layer is put together just before it computes and taken apart after it; what stands outside the layers is one
more such unit. Outside this module a part looks like any other tensor, but that all processes have to ask for a whole
one together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.materialize import fill
from ftc.runtime.models.stacks import stacks_of
from ftc.spec.documents.settings import TrainSettings

__all__ = ["in_step", "is_sharded", "plain_class_name", "reshard", "shard", "split_like", "whole", "whole_tensors"]


def shard(model: nn.Module, train: TrainSettings, device: torch.device, *, fills: bool = False) -> nn.Module:
    """Divides a model among all processes, in place, one layer after the other; parts go to the device.

    Under bfloat16 the parts stay as they are and are put together in bfloat16, in which the products are computed
    anyway; gradients are summed in float32. What goes into a layer is left as it is.

    Args:
        model: Whole, in the processor's memory, or without values where it is filled.
        train: Precision, number of processes, and where parts lie.
        device: Of this process.
        fills: Whether the first process's model has the values for all of them.

    Raises:
        LookupError: The model's layers can't be told.
    """
    stacks = stacks_of(model)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard

    half = torch.bfloat16 if train.precision == "bfloat16" else None
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (train.world_size,)),
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=half, reduce_dtype=torch.float32 if half else None, cast_forward_inputs=False
        ),
    }
    if train.offload == "cpu":
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=device.type == "cuda")
    filled: set[int] = set()
    for _, layers in stacks:
        for layer in layers:
            if fills:
                fill(layer, device, filled)
            fully_shard(layer, **options)
    if fills:
        fill(model, device, filled)
    fully_shard(_root(model), **options)
    for buffer in model.buffers():  # what an adapter's wrapper keeps outside the model proper
        if not buffer.is_meta:
            buffer.data = buffer.data.to(device)
    return model


def _root(model: Any) -> nn.Module:
    """What is called in training, in evaluation and while answers are written: beneath peft's wrappers."""
    inner: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has divided a model; told by what torch adds to it, since importing that takes its time."""
    return hasattr(_root(model), "set_requires_gradient_sync")


def reshard(model: nn.Module) -> None:
    """Takes apart what a way forward without a way back has left whole; of any other model nothing."""
    root: Any = _root(model)
    if is_sharded(model):
        root.reshard()


def plain_class_name(model: nn.Module) -> str:
    """The name of a model's class as it was before it was divided."""
    kind = type(model)
    return kind.__mro__[2].__name__ if is_sharded(model) and model is _root(model) else kind.__name__


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor put together from all parts; one that isn't divided as it is."""
    full = getattr(tensor, "full_tensor", None)
    put_together: torch.Tensor = tensor if full is None else full()
    return put_together


def whole_tensors(tensors: Mapping[str, torch.Tensor], *, keep: bool) -> dict[str, torch.Tensor]:
    """Tensors put together one after the other; divided ones end in the processor's memory.

    Args:
        tensors: By name, in the same order in all processes, which have to call this together where any is divided.
        keep: Whether this process wants them; another only takes part.
    """
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor.detach())
        if keep:
            found[name] = full if full is tensor or not hasattr(tensor, "full_tensor") else full.cpu()
    return found


def split_like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A whole tensor, which all processes have, on the device and in the parts of a parameter."""
    placements = getattr(parameter, "placements", None)
    if placements is None:
        return tensor.to(parameter.device)
    from torch.distributed.tensor import distribute_tensor

    mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
    divided: torch.Tensor = distribute_tensor(tensor.to(mesh.device_type), mesh, placements, src_data_rank=None)
    return divided.to(parameter.device)


def in_step(pieces: Sequence[Sequence[list[int]]], rank: int, stand_in: list[int]) -> Iterator[tuple[list[int], bool]]:
    """A process's pieces, and as many stand-ins behind them as others have more, each with whether it counts.

    Processes that hold a model in parts have to go through it equally often, at the same time.

    Args:
        pieces: Pieces of rows of each process.
        rank: This process.
        stand_in: Rows that are computed and don't count.
    """
    mine = pieces[rank]
    yield from ((piece, True) for piece in mine)
    yield from ((stand_in, False) for _ in range(max(map(len, pieces)) - len(mine)))
