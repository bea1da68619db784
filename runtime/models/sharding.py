"""A model in parts on several devices, by torch's own `fully_shard`, and how parts and whole tensors become each other.

Every layer is put together just before it computes and taken apart after it; what stands outside the layers is one
more such unit. Outside this module a part looks like any other tensor, but that all processes have to ask for a whole
one together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ftc.runtime.models.number_types import torch_type
from ftc.runtime.models.tensor_parallel import TENSOR, TensorPlan
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.precisions import precision_card
from ftc.spec.vision_models import vision_model

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "accumulating",
    "description",
    "empty_like_parts",
    "fill",
    "in_step",
    "is_sharded",
    "plain_class_name",
    "reshard",
    "shard",
    "split_like",
    "stacks_of",
    "whole",
    "whole_tensors",
]


def shard(model: nn.Module, train: TrainSettings, device: torch.device, *, fills: bool = False) -> nn.Module:
    """Divides a model among processes, in place, one layer after the other; parts go to the device.

    They are those of the run, or those of one machine; then each machine holds a copy of the model.

    Layers that read images have no unit of their own: a process whose rows have none runs none of them, while others
    would wait for it. They are put together with what stands outside the layers.

    Under mixed precision the parts stay as they are and are put together in the 16 bits in which the products are
    computed anyway; gradients are summed in float32. What goes into a layer is left as it is.

    Args:
        model: Whole, in host RAM, or without values where it is filled.
        train: Precision, number of processes, and where parts lie.
        device: Of this process.
        fills: Whether the first process's model has the values for all of them.

    Raises:
        LookupError: The model's layers aren't known.
    """
    stacks = _used_by_all(model)
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard

    card = precision_card(train.precision)
    half = torch_type(card.products) if card.is_mixed else None
    sizes = train.world_size // train.parts, train.parts // train.tensor_parallel, train.tensor_parallel
    mesh, layer_mesh = _meshes(torch.distributed.group.WORLD, device.type, *sizes)
    plan = TensorPlan(model, layer_mesh)
    options: dict[str, Any] = {
        "mesh": mesh,
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=half, reduce_dtype=torch.float32 if half else None, cast_forward_inputs=False
        ),
    }
    if train.offload == "cpu":
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=device.type == "cuda")
    filled: set[int] = set()
    for layers in stacks:
        for layer in layers:
            if fills:
                fill(layer, device, filled)
            plan.divide(layer)
            fully_shard(layer, **options)
    if fills:
        fill(model, device, filled)
    plan.divide(model)
    fully_shard(_root(model), **options)
    plan.note(model)
    for buffer in model.buffers():  # what an adapter's wrapper keeps outside the model proper
        if not buffer.is_meta:
            buffer.data = buffer.data.to(device)
    return model


def _used_by_all(model: nn.Module) -> list[nn.ModuleList]:
    """The stacks of layers that every micro-batch goes through, whether its rows have images or not."""
    config = getattr(model, "config", None)
    vision = vision_model(getattr(config, "model_type", ""))
    parts = set(vision.parts if vision else ())
    return [layers for name, layers in stacks_of(model) if not parts & set(name.split("."))]


@lru_cache(maxsize=1)  # each group of processes takes memory of the device, and a run builds several models
def _meshes(world: Any, kind: str, copies: int, parts: int, tensor: int) -> tuple[Any, Any]:  # noqa: ARG001 - part of the key
    """The processes of a run by what they hold: the mesh over which weights are divided or copied, and that of a layer.

    Launchers number the processes of a machine in a row. Those that divide each layer follow each other, then come
    those that divide the model by weights, and then machines with copies.

    Args:
        world: The group of all processes, of which another run in this process would have its own.
        kind: Of the devices.
        copies: How many copies of the model there are.
        parts: How many processes divide each weight of a copy, or each process's part of it.
        tensor: How many processes divide each layer.

    Returns:
        Both meshes; the second is None where each process computes whole layers.
    """
    from torch.distributed.device_mesh import init_device_mesh

    dims = [("replicate", copies)] if copies > 1 else []
    dims.append(("shard", parts))
    names = tuple(name for name, _ in dims)
    if tensor > 1:
        dims.append((TENSOR, tensor))
    mesh = init_device_mesh(kind, tuple(size for _, size in dims), mesh_dim_names=tuple(name for name, _ in dims))
    return (mesh[names], mesh[TENSOR]) if tensor > 1 else (mesh, None)


@contextmanager
def accumulating(accelerator: Accelerator, model: nn.Module) -> Iterator[None]:
    """A micro-batch before the last one of a step: gradients wait for it where they can.

    A whole model's are exchanged behind the last one. Those of a model in parts are exchanged among the processes that
    divide it each time, and between machines once.
    """
    root: Any = _root(model)
    waits = is_sharded(model)
    if waits:
        root.set_requires_all_reduce(False)
    try:
        with accelerator.no_sync(model):
            yield
    finally:
        if waits:
            root.set_requires_all_reduce(True)


def _root(model: Any) -> nn.Module:
    """What is called in training, in evaluation and while answers are written: beneath peft's wrappers."""
    inner: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has divided a model: it shows in what torch adds to it, since importing that takes its time."""
    return hasattr(_root(model), "set_requires_gradient_sync")


def reshard(model: nn.Module) -> None:
    """Takes apart what a forward without a backward pass has left whole; of any other model nothing."""
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
    """Tensors put together one after the other; divided ones end in host RAM.

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
    """A tensor on the device and in the parts of a parameter: a whole one, which all processes have, or its parts."""
    placements = getattr(parameter, "placements", None)
    if placements is None or hasattr(tensor, "placements"):
        return tensor.to(parameter.device)
    from torch.distributed.tensor import distribute_tensor

    mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
    divided: torch.Tensor = distribute_tensor(tensor.to(mesh.device_type), mesh, placements, src_data_rank=None)
    return divided.to(parameter.device)


def empty_like_parts(parameter: torch.Tensor, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    """A tensor without values, on the device and in the parts of a parameter; whole where that is.

    Args:
        parameter: Any.
        shape: Of the whole tensor.
        dtype: Of its numbers.
    """
    placements = getattr(parameter, "placements", None)
    if placements is None:
        return torch.empty(shape, dtype=dtype)
    from torch.distributed import tensor as divided

    mesh: Any = parameter.device_mesh  # type: ignore[attr-defined]
    if shape != parameter.shape:
        made: torch.Tensor = divided.empty(shape, dtype=dtype, device_mesh=mesh, placements=placements)
        return made.to(parameter.device)
    local = torch.empty_like(parameter.to_local(), dtype=dtype)  # type: ignore[attr-defined]
    stride = torch.empty(shape, device="meta").stride()
    return divided.DTensor.from_local(local, mesh, placements, run_check=False, shape=shape, stride=stride)


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


def stacks_of(model: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """The stacks of layers with their names: one, or an encoder's and a decoder's in the order in which they run.

    Raises:
        LookupError: The model has no such stack, or more of them.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    lists = [(name, one) for name, one in model.named_modules() if isinstance(one, nn.ModuleList)]
    stacks = [(name, one) for name, one in lists if one and isinstance(one[0], GradientCheckpointingLayer)]
    if not stacks:  # as many modules of one kind as the model has layers
        depth = getattr(getattr(model, "config", None), "num_hidden_layers", None)
        stacks = [(name, one) for name, one in lists if len(one) == depth and len({type(part) for part in one}) == 1]
    if len(stacks) not in (1, 2):
        raise LookupError(f"{type(model).__name__} has {len(stacks)} stacks of layers, not one or two")
    return sorted(stacks, key=lambda stack: "encoder" not in stack[0].split("."))


def description(model: nn.Module) -> dict[str, Any]:
    """All that two models have to agree in for one to be filled with what the other holds, values aside.

    Names, types and shapes of all tensors, which of them are one and the same, and configurations.
    """
    numbers: dict[int, int] = {}
    tensors = [
        (name, tuple(one.shape), str(one.dtype), one.requires_grad, numbers.setdefault(id(one), len(numbers)))
        for name, one in _tensors(model)
    ]
    names = ("config", "generation_config")  # what transformers keeps of a configuration in its modules
    held = (cast("Any", vars(module).get(name)) for module in model.modules() for name in names)
    configurations = {id(one): one.to_dict() for one in held if hasattr(one, "to_dict")}
    return {"tensors": tensors, "configurations": list(configurations.values())}


def fill(module: nn.Module, device: torch.device, filled: set[int]) -> None:
    """Gives a module's tensors the values that they have in the first process, and moves them to the device.

    All processes have to call this together. Tensors that are neither parameters nor buffers stay in host RAM.

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
        values = _broadcast(tensor, device)
        values = values if id(tensor) in placed else values.cpu()
        if not tensor.is_meta:
            tensor.data = values
        else:  # modules may hold it under several names
            is_parameter = isinstance(tensor, nn.Parameter)
            torch.utils.swap_tensors(tensor, nn.Parameter(values, tensor.requires_grad) if is_parameter else values)


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, buffers, and tensors that modules keep as plain attributes, under each of their names."""
    for place, module in model.named_modules(remove_duplicate=False):
        held: Any = module
        for kept in (held._parameters, held._buffers, vars(held)):
            yield from ((f"{place}.{name}", one) for name, one in kept.items() if isinstance(one, torch.Tensor))


def _broadcast(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The first process's values, as bytes, since not every exchange knows every type."""
    if torch.distributed.get_rank() == 0:
        values = tensor.detach().to(device).contiguous()
    else:
        values = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    if values.numel():
        torch.distributed.broadcast(values.view(-1).view(torch.uint8), 0)
    return values
