"""Whole numbers that a model reads from its inputs, such as the grid of each image, beside tensors without memory.

What a model makes of an image depends on how large it is: loops, splits and places are counted from small tensors of
whole numbers. So those that come from the batch keep their values here, in memory, and so does whatever is computed
from them alone: operators run twice, on shapes and on values. Numbers with a point have no values, and equal none that
they are compared with: a model that looks for padding among pixels finds images. Where all elements are one number, as
in a mask of all pixels, it stands once.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ftc.runtime.memory_trace.torch_internals import storage_key, tree_leaves, tree_map_only

__all__ = ["Factories", "Values"]

_aten = torch.ops.aten
_MOST = 2**24
"""Elements of the largest tensor that has values."""
_NEW = frozenset(
    getattr(getattr(_aten, name), overload)
    for name, overloads in {
        "arange": ("default", "start", "start_step"),
        "full": ("default",),
        "ones": ("default",),
        "scalar_tensor": ("default",),
        "zeros": ("default",),
    }.items()
    for overload in overloads
)
"""Operators that make values from Python's numbers alone."""
_CHOOSING = frozenset((_aten.index.Tensor, _aten.index_put.default, _aten.masked_select.default))
"""Operators that take masks."""
_COPYING = frozenset((_aten._to_copy.default, _aten.clone.default, _aten.index.Tensor))
"""Operators that give elements of their first tensor, whatever their shape."""
_UNKNOWN = object()


@dataclass
class Values:
    """The values of tensors without memory, by their storage.

    Every method is called where modes are off, so that nothing here is watched.
    """

    _known: dict[int, torch.Tensor] = field(default_factory=dict)
    """All elements of a storage in their order, or the one that each of them is, by the storage's key."""
    _watchers: dict[int, weakref.ref[Any]] = field(default_factory=dict)

    def of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The values of a tensor, as a view that changes with them; None where they aren't known."""
        if tensor.device.type != "meta":
            return tensor
        whole = self._known.get(storage_key(tensor.untyped_storage()))
        if whole is None or whole.dtype != tensor.dtype:
            return None
        if len(whole) == 1:
            return _repeated(whole, tensor.shape)
        return whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What an operator gives; NotImplemented where it is to run on shapes, and no value is known of what it gives.

        Args:
            func: The operator.
            args: What it is given.
            kwargs: Likewise.
        """
        first = args[0] if args else None
        if isinstance(first, (list, tuple)) and first:
            first = first[0]
        if isinstance(first, torch.Tensor) and first.is_floating_point() and func not in _CHOOSING:
            # most of what a model does
            return self._compared(func, args) if func is _aten.eq.Scalar else NotImplemented
        with torch.inference_mode(mode=False), torch.no_grad():
            if (element := self._element(func, first, kwargs)) is not None:
                return self._copied(element, func, args, kwargs)
            found = self._found(func, args, kwargs)
        if found is _UNKNOWN:
            self._forget(func, args)
            return _chosen(self, func, args, kwargs)
        if kwargs.get("device") == torch.device("cpu"):
            return found
        is_sized_by_values = torch.Tag.dynamic_output_shape in func.tags
        result = tree_map_only(torch.Tensor, _shape, found) if is_sized_by_values else func(*args, **kwargs)
        with torch.inference_mode(mode=False), torch.no_grad():
            for leaf, value in zip(tree_leaves(result), tree_leaves(found), strict=True):
                if isinstance(leaf, torch.Tensor):
                    self._note(leaf, value)
        return result

    def _compared(self, func: Any, args: Sequence[Any]) -> torch.Tensor:
        """Where numbers with a point equal another: nowhere."""
        result: torch.Tensor = func(*args)
        self._note(result, _repeated(torch.zeros(1, dtype=torch.bool), result.shape))
        return result

    def _element(self, func: Any, first: Any, kwargs: Mapping[str, Any]) -> torch.Tensor | None:
        """(1,) what each element is of the tensor that is copied; None where they differ, or aren't known."""
        if func not in _COPYING or kwargs.get("device") == torch.device("cpu") or not isinstance(first, torch.Tensor):
            return None
        value = self.of(first)
        return value.as_strided((1,), (1,), value.storage_offset()) if value is not None and _repeats(value) else None

    def _copied(self, element: torch.Tensor, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Copies of one element, as many as an operator makes."""
        result = _chosen(self, func, args, kwargs)
        result = func(*args, **kwargs) if result is NotImplemented else result
        self._note(result, _repeated(element.to(result.dtype), result.shape))
        return result

    def _found(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What an operator gives on values; a mark where it can't run on them."""
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        is_random = torch.Tag.nondeterministic_seeded in func.tags
        has_numbers = any(one.is_floating_point() for one in tensors)
        if is_random or has_numbers or not (tensors or func in _NEW):
            return _UNKNOWN
        if not any(one.device.type == "meta" for one in tensors) and kwargs.get("device") != torch.device("meta"):
            return _UNKNOWN  # of the host alone
        values = {id(one): self.of(one) for one in tensors}
        if any(value is None for value in values.values()):
            return _UNKNOWN
        if func._schema.is_mutable and any(map(self._stands_once, tensors)):
            return _UNKNOWN  # what is written to one place would stand in all
        if _is_vast(func, tensors, args, kwargs):
            return _UNKNOWN
        args, kwargs = tree_map_only(torch.Tensor, lambda one: values[id(one)], (tuple(args), kwargs))
        return func(*args, **(kwargs | {"device": torch.device("cpu")} if kwargs.get("device") else kwargs))

    def _stands_once(self, tensor: torch.Tensor) -> bool:
        """Whether all elements of a tensor's storage are known as one, of which the tensor may be a part."""
        storage = tensor.untyped_storage()
        whole = self._known.get(storage_key(storage)) if tensor.device.type == "meta" else None
        return whole is not None and len(whole) == 1 and storage.nbytes() > tensor.element_size()

    def _note(self, tensor: torch.Tensor, value: torch.Tensor) -> None:
        """Keeps the values of a tensor that was just made; views and what was changed in place have theirs."""
        storage = tensor.untyped_storage()
        key, size = storage_key(storage), storage.nbytes() // tensor.element_size()
        if key in self._known or tensor.is_floating_point() or (size > _MOST and not _repeats(value)):
            return
        if _repeats(value):
            whole = value.as_strided((1,), (1,), value.storage_offset()).clone()
        else:
            whole = torch.zeros(size, dtype=tensor.dtype)
            whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(value)
        self._known[key] = whole
        self._watchers[key] = weakref.ref(storage, lambda _: self._end(key))

    def _end(self, key: int) -> None:
        self._known.pop(key, None)
        self._watchers.pop(key, None)

    def _forget(self, func: Any, args: Sequence[Any]) -> None:
        """Drops the values of what an operator overwrites with something unknown."""
        for declared, given in zip(func._schema.arguments, args, strict=False):
            if declared.alias_info is not None and declared.alias_info.is_write:
                for one in tree_leaves(given):
                    if isinstance(one, torch.Tensor):
                        self._end(storage_key(one.untyped_storage()))


def _repeated(element: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """One element in all places of a shape."""
    return element.as_strided(tuple(shape), [0] * len(shape))


def _repeats(value: torch.Tensor) -> bool:
    """Whether one element stands in all places of a tensor."""
    return value.numel() > 1 and all(
        not step for step, size in zip(value.stride(), value.shape, strict=True) if size > 1
    )


def _is_vast(func: Any, tensors: Sequence[torch.Tensor], args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether an operator gives more elements than have values, such as a mask of all pairs of many tokens."""
    if torch.Tag.dynamic_output_shape in func.tags or kwargs.get("device") == torch.device("cpu"):
        return False
    if math.prod(tensor.numel() for tensor in tensors) <= _MOST:  # nothing is broadcast to more
        return False
    made = [one for one in tree_leaves(func(*args, **kwargs)) if isinstance(one, torch.Tensor)]
    return any(one.untyped_storage().nbytes() // one.element_size() > _MOST for one in made)


def _shape(value: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _chosen(values: Values, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What masks choose among numbers without values; all there is where a mask of one dimension has none either."""
    if func not in _CHOOSING:
        return NotImplemented
    if func is _aten.masked_select.default:
        whole, mask = args
        known = values.of(mask)
        count = whole.numel() if known is None else int(known.expand(whole.shape).sum())
        return whole.new_empty(count)
    indices = [part for one in args[1] for part in _places(values, one)]
    if len(indices) == len(args[1]) and all(a is b for a, b in zip(indices, args[1], strict=True)):
        return NotImplemented
    return func(args[0], indices, *args[2:], **kwargs)


def _places(values: Values, index: torch.Tensor | None) -> Sequence[torch.Tensor | None]:
    """The places that a mask chooses, by dimension; what is no mask as it is."""
    if index is None or index.dtype != torch.bool:
        return [index]
    known = values.of(index)
    if known is None and index.ndim > 1:
        return [index]
    count = len(index) if known is None else int(known.sum())
    return [torch.empty(count, dtype=torch.long, device="meta") for _ in range(index.ndim)]


class Factories(TorchFunctionMode):
    """Has `torch.tensor` make tensors without memory as it makes others: from values in memory, which are copied.

    Args:
        unseen: A block in which nothing is watched.
    """

    def __init__(self, unseen: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._unseen = unseen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function."""
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if func is not torch.tensor or device is None or torch.device(device).type != "meta":
            return func(*args, **kwargs)
        numbers = tree_map_only(torch.Tensor, torch.Tensor.item, args)
        with self._unseen():
            made: torch.Tensor = func(*numbers, **(kwargs | {"device": "cpu"}))
        return made.to("meta")
