"""A model in parts on tensors without memory: torch's own `fully_shard` among processes of which only one is there.

torch's group for tests stands in for the others: every exchange is called and nothing is sent. What is put together
and taken apart is storages that grow and shrink, which are counted like births and ends. Parts that lie with the
processor are not the device's, so that they are left out, and only pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import nn

from ftc.runtime.memory_trace.log import Tag
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.sharding import shard
from ftc.spec.documents.memory_trace import TraceJob

__all__ = ["divided", "follows_sharding", "hold_wholes"]

_FOLLOWED = ("2.13",)
"""Releases of torch that were held against real processes to the byte; what they do inside moves between releases."""

_EXCHANGES: dict[str, Tag] = {
    "foreach_all_gather": "gathered weights",
    "foreach_all_gather_copy_out": "gathered weights",
    "foreach_reduce": "gradients",
}
"""What is born in each of torch's exchanges, by its name."""
_SUMS = ("reduce_scatter_single", "reduce_scatter_tensor")
"""What torch's releases call the sum of which each process keeps a part."""


def follows_sharding() -> bool:
    """Whether the installed torch divides models in the way that the trace follows."""
    return torch.__version__.startswith(_FOLLOWED)


@contextmanager
def divided(job: TraceJob, model: nn.Module, tracker: StorageTracker, device: torch.device) -> Iterator[None]:
    """Divides a model among the plan's processes, where it says so, and tells the tracker of parts.

    Args:
        job: How many processes there are.
        model: Whole, on the device.
        tracker: Counts.
        device: Tensors without memory, or a processor's with a process group that is there.

    Raises:
        RuntimeError: The installed torch divides models in another way than those that are followed.
    """
    train = job.settings.train
    if train.sharding != "fsdp":
        yield
        return
    if not follows_sharding():
        followed, found = " and ".join(_FOLLOWED), torch.__version__
        raise RuntimeError(f"of torch's releases {followed} is followed as it divides a model, and this is {found}")
    on_meta = device.type == "meta"
    with _alone(train.world_size) if on_meta else nullcontext(), _told(tracker, offloads=train.offload == "cpu"):
        # Nothing without memory can lie elsewhere; what would is left out by the tracker.
        shard(model, train.model_copy(update={"offload": "none"}), torch.device("cpu"))
        if on_meta:
            for group in _groups(model):
                _put_on_meta(group)
        yield


def hold_wholes(model: nn.Module, tracker: StorageTracker) -> None:
    """What is whole for a moment: a unit while it is divided, and each weight while it is saved or restored."""
    sizes = [sum(_full_bytes(one) for one in group.fsdp_params) for group in _groups(model)]
    tracker.section("load")
    tracker.release(tracker.hold(max(sizes), "weights"))
    largest = max(one.numel() * one.element_size() for one in model.parameters() if one.requires_grad)
    for phase in ("save", "resume", "export"):
        tracker.section(phase)
        tracker.release(tracker.hold(largest))
    tracker.section("load")


def _full_bytes(part: Any) -> int:
    return int(part.sharded_param.numel() * part.sharded_param.element_size())


@contextmanager
def _alone(world_size: int) -> Iterator[None]:
    """One process of several, without the others."""
    import torch.distributed as dist
    from torch.distributed._tools import fake_collectives  # noqa: F401 - it brings exchanges without memory
    from torch.distributed.fsdp._fully_shard import _fsdp_collectives, _fsdp_param_group
    from torch.testing._internal.distributed.fake_pg import FakeStore

    def processor(*_: Any) -> Any:
        return torch.cpu

    dist.init_process_group("fake", rank=0, world_size=world_size, store=FakeStore())
    group: Any = _fsdp_param_group.FSDPParamGroup
    try:
        with (
            mock.patch.object(group, "_validate_no_meta_params"),
            mock.patch.object(_fsdp_param_group, "_get_device_handle", processor),
            mock.patch.object(_fsdp_collectives, "_get_device_handle", processor),
        ):
            yield
    finally:
        dist.destroy_process_group()


def _groups(model: nn.Module) -> Iterator[Any]:
    """What torch puts together at once: layers, then what is outside of them."""
    modules: Iterator[Any] = model.modules()
    for module in modules:
        if hasattr(module, "set_requires_gradient_sync"):
            yield from module._get_fsdp_state()._fsdp_param_groups


def _put_on_meta(group: Any) -> None:
    """Has what is put together come to be where the parts are; torch takes the group's device for it."""
    group.device = torch.device("meta")
    group._all_gather_output = torch.empty(0, device="meta")
    for part in group.fsdp_params:
        part.device = group.device


@contextmanager
def _told(tracker: StorageTracker, *, offloads: bool) -> Iterator[None]:
    """Says what storages of an exchange hold, when they grow and shrink, and what only seems to be computed."""
    from torch.distributed.fsdp._fully_shard import _fsdp_param_group as groups
    from torch.distributed.tensor._sharding_prop import ShardingPropagator

    # torch computes shapes of results on whole tensors, and gloo sums on a copy that a card's exchange doesn't make.
    unheard: list[tuple[Any, str]] = [
        (ShardingPropagator, "_propagate_tensor_meta_non_cached"),
        *((torch.distributed, name) for name in _SUMS if hasattr(torch.distributed, name)),
    ]
    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(torch.UntypedStorage, "resize_", _heard(tracker)))
        for owner, name in unheard:
            patches.enter_context(mock.patch.object(owner, name, _unheard(tracker, getattr(owner, name))))
        for name, tag in _EXCHANGES.items():
            passes = offloads and name == "foreach_all_gather"
            told = _tagged(tracker, getattr(groups, name), tag, passes=passes)
            patches.enter_context(mock.patch.object(groups, name, told))
        yield


def _heard(tracker: StorageTracker) -> Callable[..., Any]:
    resize: Any = torch.UntypedStorage.resize_

    def call(storage: Any, size: int) -> Any:
        resize(storage, size)
        tracker.resized(storage)
        return storage

    return call


def _tagged(tracker: StorageTracker, act: Any, tag: Tag, *, passes: bool) -> Callable[..., Any]:
    """An exchange, by which storages come to be; parts from the host pass through, where there are such."""

    def call(*args: Any, **kwargs: Any) -> Any:
        parts = sum(part._sharded_param_data.nbytes for part in args[0]) if passes else 0
        held = tracker.hold(parts, tag, tracker.log.sections[-1].group) if parts else None
        with tracker.holding(tag):
            result = act(*args, **kwargs)
        if held is not None:
            tracker.release(held)
        return result

    return call


def _unheard(tracker: StorageTracker, act: Any) -> Callable[..., Any]:
    """Something whose own storages are left out."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with tracker.deaf():
            return act(*args, **kwargs)

    return call
