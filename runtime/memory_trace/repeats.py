"""Layers of a vision tower that stand for each other where no gradient goes through them.

A configuration may name layers of a tower by number, so that none can be left out of the model. Most of them are alike
nevertheless: a Qwen2.5-VL has 28 layers that attend within windows, of which 32 images have thousands. So what a
layer allocates is compared with what the layer before it of the same kind did, and once two were equal the others of
that kind are not run: what they would have allocated and freed is logged as it was, and their result is a tensor of the
same form. Two layers are of one kind where their modules, what they are given, and what is switched on are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from ftc.runtime.memory_trace.log import Tag
from ftc.runtime.memory_trace.torch_internals import tree_leaves, unwatched
from ftc.runtime.memory_trace.tracker import StorageTracker

__all__ = ["repeat_alike"]

_MOST_VALUES = 2**16
"""Elements of the largest tensor whose values are compared."""
_SCALARS = (bool, int, float, str, type(None))
"""Values that are compared as they are."""


def repeat_alike(layers: Iterable[nn.Module], tracker: StorageTracker) -> None:
    """Has layers of a stack stand for each other, for good.

    Args:
        layers: On tensors without memory.
        tracker: Counts.
    """
    known = _Known(tracker)
    for layer in layers:
        forward: Callable[..., Any] = layer.forward
        layer.forward = _Repeating(layer, forward, known)


class _Births(NamedTuple):
    """What one layer allocated and freed.

    Attributes:
        events: As in a section of the log, by numbers that count from the layer's first birth.
        storages: (bytes, what it holds) of each birth.
        result: The birth that the layer's result is.
        shape: Of the result.
        stride: Of the result.
        dtype: Of the result.
    """

    events: tuple[int, ...]
    storages: tuple[tuple[int, Tag], ...]
    result: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(slots=True)
class _Known:
    """What layers did last, and which kinds were alike twice."""

    tracker: StorageTracker
    last: dict[Hashable, _Births | None] = field(default_factory=dict)
    alike: dict[Hashable, _Births] = field(default_factory=dict)

    def note(self, kind: Hashable, births: _Births | None) -> None:
        """Compares what a layer did with what the one before it of its kind did."""
        if births is not None and self.last.get(kind) == births:
            self.alike[kind] = births
        self.last[kind] = births

    def again(self, births: _Births) -> torch.Tensor:
        """Logs what a layer would have done, and gives its result."""
        tracker, group = self.tracker, self.tracker.log.sections[-1].group
        with unwatched():
            result = torch.empty_strided(births.shape, births.stride, dtype=births.dtype, device="meta")
        numbers: list[int] = []
        for event in births.events:
            if event >= 0:
                size, tag = births.storages[event]
                numbers.append(tracker.hold(size, tag, group))
            else:
                tracker.release(numbers[~event])
        tracker.adopt(result, numbers[births.result])
        return result


@dataclass(slots=True, eq=False)
class _Repeating:
    """A layer's forward pass, which is run until two of its kind were alike."""

    layer: nn.Module
    forward: Callable[..., Any]
    known: _Known

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kind = self._kind(args, kwargs)
        if kind is None:
            return self.forward(*args, **kwargs)
        if (births := self.known.alike.get(kind)) is not None:
            return self.known.again(births)
        log = self.known.tracker.log
        section, first, begun = log.sections[-1], len(log.storages), len(log.sections[-1].events)
        result = self.forward(*args, **kwargs)
        is_one = log.sections[-1] is section
        self.known.note(kind, self._births(section.events[begun:], first, result) if is_one else None)
        return result

    def _kind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable | None:
        """What decides about a layer's memory; None where a gradient goes through it, or that isn't known."""
        given = tree_leaves((args, kwargs))
        tensors = [one for one in given if isinstance(one, torch.Tensor)]
        if torch.is_grad_enabled() and any(one.requires_grad for one in (*tensors, *self.layer.parameters())):
            return None
        with unwatched():
            seen = tuple(map(self._seen, given))
        if any(one is None for one in seen):
            return None
        switches = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        return _form(self.layer), (*kwargs,), seen, switches

    def _seen(self, given: Any) -> Hashable | None:
        """What counts of an argument; None where that isn't known."""
        if not isinstance(given, torch.Tensor):
            return _scalar(given) if isinstance(given, _SCALARS) else None
        form = tuple(given.shape), given.stride(), given.dtype, given.device.type
        if given.is_floating_point():
            return form
        values = self.known.tracker.values_of(given) if given.numel() <= _MOST_VALUES else None
        return None if values is None else (*form, tuple(values.flatten().tolist()))

    def _births(self, events: list[int], first: int, result: Any) -> _Births | None:
        """What was logged since a birth; None where more than the result is left, or something older has ended."""
        tracker = self.known.tracker
        number = tracker.number_of(result) if isinstance(result, torch.Tensor) else None
        numbers = {event if event >= 0 else ~event for event in events}
        left = {one for one in events if one >= 0} - {~one for one in events if one < 0}
        if number is None or left != {number} or min(numbers) < first:
            return None
        storages = tracker.log.storages[first:]
        whole = result.untyped_storage().nbytes() == result.numel() * result.element_size()
        if not whole or result.storage_offset():
            return None
        return _Births(
            tuple(event - first if event >= 0 else event + first for event in events),
            tuple((one.size, one.tag) for one in storages),
            number - first,
            tuple(result.shape),
            result.stride(),
            result.dtype,
        )


def _form(layer: nn.Module) -> Hashable:
    """What a layer is made of: its modules' classes and plain values, such as `training`, and the forms of its tensors.

    Values may change between two passes, so they are read each time.
    """
    modules = [
        (name, type(one), *((key, _scalar(value)) for key, value in vars(one).items() if isinstance(value, _SCALARS)))
        for name, one in layer.named_modules()
    ]
    tensors = [
        (name, tuple(one.shape), one.dtype, one.requires_grad)
        for name, one in (*layer.named_parameters(), *layer.named_buffers())
    ]
    return tuple(modules), tuple(tensors)


def _scalar(value: Any) -> Hashable:
    """A plain value with its type: Python takes 1, 1.0 and True for equal."""
    return type(value).__name__, value
