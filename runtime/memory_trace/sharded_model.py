"""A model in parts on tensors without memory: torch's own `fully_shard` among processes of which only one is there.

torch's group for tests stands in for the others: every exchange is called and nothing is sent. What is put together
and taken apart is storages that grow and shrink, which are counted like births and ends. Parts that lie with the
processor are not the device's, so that they are left out, and only pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from ftc.runtime.memory_trace.log import Tag
from ftc.runtime.memory_trace.torch_internals import (
    alone,
    exchanges_replaced,
    fsdp_groups,
    gathered_bytes,
    put_on_meta,
    sharded_bytes,
)
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.sharding import shard
from ftc.spec.documents.memory_trace import TraceJob

__all__ = ["divided", "hold_wholes"]

_EXCHANGES: dict[str, Tag] = {
    "foreach_all_gather": "gathered weights",
    "foreach_all_gather_copy_out": "gathered weights",
    "foreach_reduce": "gradients",
}
"""What is born in each of torch's exchanges, by its name."""


@contextmanager
def divided(job: TraceJob, model: nn.Module, tracker: StorageTracker, device: torch.device) -> Iterator[None]:
    """Divides a model among the plan's processes, where it says so, and tells the tracker of parts.

    Args:
        job: How many processes there are.
        model: Whole, on the device.
        tracker: Counts.
        device: Tensors without memory, or a processor's with a process group that is there.

    Raises:
        RuntimeError: The installed torch divides models in a way that can't be followed.
    """
    train = job.settings.train
    if train.sharding != "fsdp":
        yield
        return
    on_meta = device.type == "meta"
    with alone(train.world_size) if on_meta else nullcontext(), _told(tracker, offloads=train.offload == "cpu"):
        # Nothing without memory can lie elsewhere; what would is left out by the tracker.
        shard(model, train.model_copy(update={"offload": "none"}), torch.device("cpu"))
        if on_meta:
            for group in fsdp_groups(model):
                put_on_meta(group)
        yield


def hold_wholes(model: nn.Module, tracker: StorageTracker) -> None:
    """What is whole for a moment: a unit while it is divided, and each weight while it is saved or restored."""
    tracker.section("load")
    tracker.release(tracker.hold(max(map(gathered_bytes, fsdp_groups(model))), "weights"))
    largest = max(one.numel() * one.element_size() for one in model.parameters() if one.requires_grad)
    for phase in ("save", "resume", "export"):
        tracker.section(phase)
        tracker.release(tracker.hold(largest))
    tracker.section("load")


def _told(tracker: StorageTracker, *, offloads: bool) -> AbstractContextManager[None]:
    """Says what storages of an exchange hold, when they grow and shrink, and what only seems to be computed."""

    def resize(act: Callable[..., Any]) -> Callable[..., Any]:
        def call(storage: Any, size: int) -> Any:
            act(storage, size)
            tracker.resized(storage)
            return storage

        return call

    def unseen(act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with tracker.deaf():
                return act(*args, **kwargs)

        return call

    def exchange(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        """Parts from the host pass through the device, where there are such."""
        tag, passes = _EXCHANGES[name], offloads and name == "foreach_all_gather"

        def call(*args: Any, **kwargs: Any) -> Any:
            parts = sharded_bytes(args[0]) if passes else 0
            held = tracker.hold(parts, tag, tracker.log.sections[-1].group) if parts else None
            with tracker.holding(tag):
                result = act(*args, **kwargs)
            if held is not None:
                tracker.release(held)
            return result

        return call

    return exchanges_replaced(resize=resize, unseen=unseen, exchange=exchange)
