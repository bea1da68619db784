"""Several processes on tensors without memory: torch's `fully_shard`, and what DistributedDataParallel holds.

`fully_shard` runs among processes of which only one is there; torch's group for tests stands in for the others: every
exchange is called and nothing is sent. What is put together and taken apart is storages that grow and shrink, which are
counted like births and ends. Parts that lie in host memory are not the device's, so that they are left out, and
only pass through.

DistributedDataParallel's reducer can't run there, since it reads what processes tell each other. So its allocations are
followed, with its own way of dividing tensors into buckets, and `nox -s sharding` compares them with real processes.
It is followed as accelerate makes it: gradients stay beside the buckets in which they are exchanged (no
`gradient_as_bucket_view`), every parameter takes part (no `find_unused_parameters`), and buckets are made once more
behind the first step, in the order in which gradients were ready (no `static_graph`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import nn

from ftc.runtime.memory_trace.log import Tag
from ftc.runtime.memory_trace.sections import Groups
from ftc.runtime.memory_trace.torch_internals import (
    alone,
    buckets,
    exchanges_replaced,
    fsdp_groups,
    gathered_bytes,
    put_on_meta,
    sharded_bytes,
)
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.packed_layers import exchange_no_packed, packed_buffers
from ftc.runtime.models.sharding import shard
from ftc.spec.documents.memory_trace import TraceJob
from ftc.spec.shardings import sharding_card

__all__ = ["divided", "exchanging", "hold_wholes"]

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
        device: Tensors without memory, or a CPU's with a process group that is there.

    Raises:
        RuntimeError: The installed torch divides models in a way that can't be followed.
    """
    train = job.settings.train
    if not train.is_divided:
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


_BROADCAST = 250 << 20
"""Bytes from which on a message is sent, when the first process tells the others its weights."""
_IN_FLIGHT = 2
"""Messages that may be on their way."""
_FIRST_BUCKET, _BUCKET = 1 << 20, 25 << 20


def exchanging(
    job: TraceJob,
    model: nn.Module,
    parameters: dict[str, nn.Parameter],
    tracker: StorageTracker,
    groups: Sequence[Groups],
    device: torch.device,
) -> nn.Module:
    """The model as it is called in training: wrapped, or with what the wrapper would do.

    Args:
        job: Where the model is held whole by each of several processes.
        model: Counted already.
        parameters: What is trained, by name.
        tracker: Counts.
        groups: How the layers of each stack repeat.
        device: Tensors without memory, or a CPU's with a process group that is there.
    """
    if not sharding_card(job.settings.train.sharding).buckets:
        return model
    if device.type != "meta":
        exchange_no_packed(model)
        with tracker, tracker.holding("gradients"):
            return nn.parallel.DistributedDataParallel(model)
    followed = _Exchange(job, model, list(parameters.values()), tracker, groups)
    followed.begin()
    model.register_forward_pre_hook(followed.before_forward, prepend=True)
    for parameter in parameters.values():
        parameter.register_post_accumulate_grad_hook(followed.note_ready)
    return model


@dataclass
class _Exchange:
    job: TraceJob
    model: nn.Module
    trained: list[nn.Parameter]
    tracker: StorageTracker
    groups: Sequence[Groups]
    forwards: int = 0
    ready: dict[nn.Parameter, None] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=list)

    def begin(self) -> None:
        """The first process's weights reach the others, and gradients get one bucket."""
        self.tracker.section("load")
        self._broadcast([*self.model.parameters(), *self._buffers()])
        self._hold_buckets(self.trained, [sys.maxsize])

    def note_ready(self, parameter: nn.Parameter) -> None:
        """Gradients are exchanged in the order in which they were ready first."""
        self.ready.setdefault(parameter)

    def before_forward(self, *_: Any) -> None:
        """What the wrapper does before the model: new buckets once, then the first process's buffers."""
        if not torch.is_grad_enabled():
            return
        in_step = 2 if self.job.accumulates else 1
        if self.forwards == in_step:
            # Processes agree on the order, and new buckets are made, of which the first is small.
            for number in self.buckets:
                self.tracker.release(number)
            self._hold_buckets(list(self.ready), [_FIRST_BUCKET, _BUCKET])
        if self.forwards % in_step == 0:  # behind a pass that exchanged, or none
            self._broadcast(self._buffers())
        self.forwards += 1

    def _buffers(self) -> list[torch.Tensor]:
        """Those that are exchanged."""
        left_alone = set(map(id, packed_buffers(self.model).values()))
        return [one for one in self.model.buffers() if id(one) not in left_alone]

    def _hold_buckets(self, tensors: Sequence[torch.Tensor], limits: list[int]) -> None:
        sizes = self._sizes(tensors, limits)
        self.buckets = [self.tracker.hold(sum(bucket), "gradients") for bucket in sizes]

    def _broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Tensors are copied one behind the other into messages; one that fills a message is sent as it is."""
        on_their_way: list[int | None] = []
        for message in self._sizes(tensors, [_BROADCAST]):
            if len(on_their_way) == _IN_FLIGHT:
                self._arrive(on_their_way.pop(0))
            on_their_way.append(self.tracker.hold(sum(message)) if len(message) > 1 else None)
        for one in on_their_way:
            self._arrive(one)

    def _arrive(self, message: int | None) -> None:
        if message is not None:
            self.tracker.release(message)

    def _sizes(self, tensors: Sequence[torch.Tensor], limits: list[int]) -> Iterator[list[int]]:
        """Bytes of the tensors in each of torch's buckets, at the model's real depth."""
        all_of_them = [one.detach() for one in self._at_depth(tensors)]
        if not all_of_them:
            return
        for bucket in buckets(all_of_them, limits):
            yield [all_of_them[place].nbytes for place in bucket]

    def _at_depth(self, tensors: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The tensors with those of a group that stands for others as often as the model has them."""
        for owner, run in groupby(tensors, self.tracker.owner_of):
            times = 1 if owner is None else next(one.times(owner) for one in self.groups if owner in one)
            yield from [*run] * times
