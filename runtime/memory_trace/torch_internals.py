"""The names of torch that torch doesn't promise, all of them: what the trace reads and replaces, by release.

The trace follows torch's own code, and has to see some of it from inside: where a divided model is gathered, which
storages an exchange creates, what autocast forgets. No other file of the trace uses a private name, so that a new
release of torch can break this one alone; `nox -s torches` runs it on the oldest and the newest release that
`pyproject.toml` allows. Releases differ in what is there, and what is there decides, never a version number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = [
    "TorchDispatchMode",
    "alone",
    "buckets",
    "exchanges_replaced",
    "fsdp_groups",
    "fused_on_meta",
    "gathered_bytes",
    "is_in_backward",
    "is_view",
    "put_on_meta",
    "remembers_casts_in_inference",
    "replaced",
    "run_backward",
    "sharded_bytes",
    "storage_key",
    "tree_leaves",
    "tree_map_only",
    "unwatched",
]

Act = Callable[..., Any]


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Has another value stand under a name of a module or a class.

    Raises:
        RuntimeError: The installed torch has no such name, so that what happens inside it can't be followed.
    """
    if not hasattr(owner, name):
        found = f"torch {torch.__version__} has no `{name}` in `{getattr(owner, '__name__', owner)}`"
        raise RuntimeError(f"{found}, by which the trace follows it")
    inherited, before = name not in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if inherited:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def run_backward(loss: torch.Tensor) -> None:
    """The backward pass by autograd's engine; its public names would hide modes from what it calls."""
    run = torch.autograd.Variable._execution_engine.run_backward
    run((loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True)


def storage_key(storage: Any) -> int:
    """What two views of one storage have in common while it lives."""
    key: int = storage._cdata
    return key


def is_view(tensor: torch.Tensor) -> bool:
    """Whether autograd knows a tensor as a view of another one."""
    return tensor._is_view()


def is_in_backward() -> bool:
    """Whether autograd's engine runs, in a backward pass or for gradients that are asked for within a forward pass."""
    return torch._C._current_graph_task_id() != -1


def buckets(tensors: list[torch.Tensor], limits: list[int]) -> list[list[int]]:
    """How DDP's reducer divides tensors: their places in each bucket, none of which is larger than its limit."""
    divide: Any = torch.distributed._compute_bucket_assignment_by_size  # type: ignore[attr-defined]
    found: list[list[int]] = divide(tensors, limits)[0]
    return found


@cache
def remembers_casts_in_inference() -> bool:
    """Whether autocast casts a weight once in inference mode too, as torch 2.10 does and 2.13 doesn't."""
    seen: list[Any] = []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(func)
            return func(*args, **(kwargs or {}))

    weight, rows = nn.Parameter(torch.zeros(1, 1)), torch.zeros(1, 1, dtype=torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), Seen():  # type: ignore[no-untyped-call]
        nn.functional.linear(rows, weight)
        first = len(seen)
        nn.functional.linear(rows, weight)
    return len(seen) - first < first


@contextmanager
def fused_on_meta() -> Iterator[None]:
    """Has torch's fused optimizers take tensors without memory."""
    module = sys.modules[torch.optim.Optimizer.__module__]  # torch.optim hides it under a class's name
    devices = [*module._get_fused_kernels_supported_devices(), "meta"]
    with replaced(module, "_get_fused_kernels_supported_devices", lambda: devices):
        yield


# fully_shard: a model in parts


@contextmanager
def alone(world_size: int) -> Iterator[None]:
    """One process of several without the others, whose exchanges are called and send nothing."""
    import torch.distributed as dist
    from torch.distributed._tools import fake_collectives  # noqa: F401 - it brings exchanges without memory
    from torch.distributed.fsdp._fully_shard import _fsdp_collectives, _fsdp_param_group
    from torch.testing._internal.distributed.fake_pg import FakeStore

    def cpu(*_: Any) -> Any:
        return torch.cpu

    dist.init_process_group("fake", rank=0, world_size=world_size, store=FakeStore())
    try:
        with ExitStack() as stack:
            stack.enter_context(replaced(_fsdp_param_group.FSDPParamGroup, "_validate_no_meta_params", _nothing))
            for module in (_fsdp_param_group, _fsdp_collectives):
                stack.enter_context(replaced(module, "_get_device_handle", cpu))
            # An exchange between machines wants an event of every device but a CPU, and a CPU's streams have none.
            stack.enter_context(replaced(torch.cpu.Stream, "record_event", lambda _: object()))
            # Layers that were gathered for nothing, such as frozen ones at the beginning, wait for it elsewhere.
            stack.enter_context(replaced(torch.accelerator, "current_stream", torch.cpu.current_stream))
            if hasattr(_fsdp_collectives, "record_grad_output_stream"):  # from 2.15 on; streams hold no memory
                stack.enter_context(replaced(_fsdp_collectives, "record_grad_output_stream", _nothing))
            yield
    finally:
        dist.destroy_process_group()


def fsdp_groups(model: nn.Module) -> Iterator[Any]:
    """What torch gathers at once: layers, then what is outside of them."""
    modules: Iterator[Any] = model.modules()
    for module in modules:
        if hasattr(module, "set_requires_gradient_sync"):
            state = module._get_fsdp_state()
            if hasattr(state, "_fsdp_param_groups"):
                yield from state._fsdp_param_groups
            elif state._fsdp_param_group is not None:  # until 2.12 a module has one at most
                yield state._fsdp_param_group


def put_on_meta(group: Any) -> None:
    """Has what is gathered come to be where the parts are; torch takes the group's device for it."""
    group.device = torch.device("meta")
    group._all_gather_output = torch.empty(0, device="meta")
    for part in group.fsdp_params:
        part.device = group.device


def gathered_bytes(group: Any) -> int:
    """Of a group's weights while they are gathered."""
    return sum(int(part.sharded_param.numel() * part.sharded_param.element_size()) for part in group.fsdp_params)


def sharded_bytes(parts: Sequence[Any]) -> int:
    """Of this process's parts, as `foreach_all_gather` is given them."""
    return sum(part._sharded_param_data.nbytes for part in parts)


@contextmanager
def exchanges_replaced(
    *, resize: Callable[[Act], Act], unseen: Callable[[Act], Act], exchange: Callable[[str, Act], Act]
) -> Iterator[None]:
    """Has others stand in for what creates storages as a model is gathered and its gradients are divided.

    Args:
        resize: Makes the stand-in for a storage's `resize_`, by which it is filled and emptied.
        unseen: For what only seems to be computed, or only on this device: torch computes shapes of results on whole
            tensors, and gloo sums on a copy that a GPU's exchange doesn't make.
        exchange: For an exchange, from its name: `foreach_all_gather`, `foreach_all_gather_copy_out` (the weights) and
            `foreach_reduce` (the gradients).
    """
    from torch.distributed.fsdp._fully_shard import _fsdp_param_group
    from torch.distributed.tensor._sharding_prop import ShardingPropagator

    sums = [name for name in ("reduce_scatter_single", "reduce_scatter_tensor") if hasattr(torch.distributed, name)]
    stands_in: list[tuple[Any, str, Act]] = [
        (torch.UntypedStorage, "resize_", resize),
        (ShardingPropagator, "_propagate_tensor_meta_non_cached", unseen),
        *((torch.distributed, name, unseen) for name in sums),  # releases name it differently
    ]
    with ExitStack() as stack:
        for owner, name, make in stands_in:
            stack.enter_context(replaced(owner, name, make(getattr(owner, name))))
        for name in ("foreach_all_gather", "foreach_all_gather_copy_out", "foreach_reduce"):
            act = getattr(_fsdp_param_group, name)
            stack.enter_context(replaced(_fsdp_param_group, name, exchange(name, act)))
        yield


def unwatched() -> AbstractContextManager[Any]:
    """A block in which nothing is followed, for what can't be made otherwise."""
    found: AbstractContextManager[Any] = _disable_current_modes()
    return found


def _nothing(*_: Any) -> None:
    """Nothing to do."""
