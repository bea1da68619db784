"""Watches what operators allocate and free, and logs it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from ftc.runtime.memory_trace.arithmetic import processor_norm
from ftc.runtime.memory_trace.log import Log, Section, Storage, Tag, rounded
from ftc.runtime.memory_trace.torch_internals import TorchDispatchMode, is_in_backward, storage_key, tree_leaves
from ftc.runtime.memory_trace.value_sizes import sized_by_values
from ftc.runtime.memory_trace.values import Values

__all__ = ["Buffers", "StorageTracker", "card_buffers", "workspace_bytes"]

_aten = torch.ops.aten
_Sizes = Mapping[Any, Callable[[Sequence[Any]], Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Buffers:
    """What kernels hold beside their results, by operator.

    Attributes:
        before: Bytes of buffers that are there before the result is, from the operator's arguments.
        within: Of those that come after it.
        products: Operators that use a library's workspace, which the first one makes for each thread, for good.
        workspace: Bytes of that.
    """

    before: _Sizes = field(default_factory=dict)
    within: _Sizes = field(default_factory=dict)
    products: Collection[Any] = ()
    workspace: int = 0


_WRAPPERS = frozenset(("DTensor", "Float8TrainingTensor"))
"""Tensors that hold another: torch's parts of a divided one, and torchao's numbers in 8 bits with their scale."""

_UPDATES_IN_PLACE = ("aten::_fused_", "bitsandbytes::optimizer_update_")
"""How operators begin that only write what they are given, and that have no form for tensors without memory."""


class StorageTracker(TorchDispatchMode):
    """Logs storages on one kind of device while it is active.

    Args:
        device_type: `meta`, or `cpu` to watch a real step the same way.
        buffers: What kernels hold beside what they return.
        score_shapes: (N, V) of the scores; tensors of that many rows and that width count as logits.
        answer: What tensors without memory say when Python branches on one of them; it may change between passes.
        values: Keeps what the model reads of its inputs beside tensors without memory; None where it reads nothing.
        on_processor: Whether tensors without memory stand for a processor's.
    """

    def __init__(
        self,
        device_type: str = "meta",
        *,
        buffers: Buffers | None = None,
        score_shapes: Collection[tuple[int, int]] = (),
        answer: bool = True,
        values: Values | None = None,
        on_processor: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.log = Log()
        self.purpose = "evaluation"
        """What passes without gradients are for, the first word of their sections."""
        self._device_type = device_type
        self._buffers = buffers or Buffers()
        self._has_workspace: set[bool] = set()
        self._score_shapes = frozenset(score_shapes)
        self.answer = answer
        self._values = values
        self._on_processor = on_processor
        self.makes_inside = False
        """Whether a model's own code runs, so that what it makes in host memory is the device's there."""
        self._turn = (0, 0)
        self._numbers: dict[int, int] = {}
        self._watchers: dict[int, weakref.ref[Any]] = {}
        self._empty: dict[int, int] = {}
        """What storages held last that hold nothing now, by their keys."""
        self._elsewhere: set[int] = set()
        """Storages that are not the device's, by their keys."""
        self._born_as: Tag = "temporaries"
        self._is_deaf = False
        self._born_for_gradients: set[int] = set()
        self.section("load")

    def turn(self, step: int, micro_batch: int) -> None:
        """Tells which optimizer step and micro-batch the next sections belong to."""
        self._turn = (step, micro_batch)

    def section(self, name: str, group: int | None = None) -> None:
        """Begins a section."""
        current = self.log.sections[-1] if self.log.sections else None
        if current is None or (current.name, current.group, current.turn) != (name, group, self._turn):
            self.log.sections.append(Section(name, group, self._turn))

    def empty_cache(self) -> None:
        """Begins a section before which the allocator gives unused segments back."""
        current = self.log.sections[-1]
        self.log.sections.append(Section(current.name, current.group, current.turn, empties_cache=True))

    def register(self, tensor: torch.Tensor, tag: Tag, owner: int | None = None) -> None:
        """Counts a tensor that was there before, or says what one that is counted holds; of a divided one the part."""
        tensor = _part(tensor)
        number = self.number_of(tensor)
        if number is None:
            self._add(tensor, tag, owner)
            return
        self.log.storages[number].tag = tag
        if owner is not None:
            self.log.storages[number].owner = owner

    def owner_of(self, tensor: torch.Tensor) -> int | None:
        """The group of layers that a counted tensor belongs to."""
        number = self.number_of(tensor)
        return None if number is None else self.log.storages[number].owner

    def hold(self, size: int, tag: Tag = "temporaries", owner: int | None = None) -> int:
        """Logs memory that is no tensor here; returns its number."""
        self.log.storages.append(Storage(rounded(size), tag, owner))
        self.log.sections[-1].events.append(len(self.log.storages) - 1)
        return len(self.log.storages) - 1

    def release(self, number: int) -> None:
        """Logs the end of what `hold` gave."""
        self.log.sections[-1].events.append(~number)

    def number_of(self, tensor: torch.Tensor) -> int | None:
        """The number of a counted tensor's storage in the log."""
        return self._numbers.get(_part(tensor).untyped_storage()._cdata)

    def adopt(self, tensor: torch.Tensor, number: int) -> None:
        """Has a tensor that was made unseen be what `hold` gave: its end is logged when it ends."""
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        self._numbers[key] = number
        self._watchers[key] = weakref.ref(storage, lambda _: self._end(key))
        if torch.is_grad_enabled():
            self._born_for_gradients.add(number)

    def values_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The values of a tensor of whole numbers; None where they aren't known. Modes have to be off."""
        return None if self._values is None else self._values.of(tensor)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Leaves out what happens in the block: it isn't the device's."""
        before, self._is_deaf = self._is_deaf, True
        try:
            yield
        finally:
            self._is_deaf = before

    @contextmanager
    def holding(self, tag: Tag) -> Iterator[None]:
        """Says what storages hold that are born in the block."""
        before, self._born_as = self._born_as, tag
        try:
            yield
        finally:
            self._born_as = before

    def resized(self, storage: Any) -> None:
        """Logs the end of what a storage held, and the birth of what it holds now."""
        key, group = storage_key(storage), self.log.sections[-1].group
        number = self._numbers.pop(key, None)
        if number is not None:
            self.log.sections[-1].events.append(~number)
            self._empty[key] = number
        if storage.nbytes() and (before := self._empty.pop(key, None)) is not None:
            old = self.log.storages[before]
            self._numbers[key] = self.hold(storage.nbytes(), old.tag, old.owner if group is None else group)

    def leave_out(self, tensor: torch.Tensor) -> None:
        """From now on a tensor lies elsewhere: where it was counted its end is logged, and nothing of it is counted."""
        storage = _part(tensor).untyped_storage()
        key = storage_key(storage)
        if (number := self._numbers.pop(key, None)) is not None:
            self.release(number)
        if key not in self._watchers:
            self._watchers[key] = weakref.ref(storage, lambda _: self._end(key))
        self._elsewhere.add(key)

    def let_go(self, tag: Tag) -> None:
        """Logs the end of all that holds this and is live, whoever still has it."""
        for key in [key for key, number in self._numbers.items() if self.log.storages[number].tag == tag]:
            self._end(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator and logs what it allocates."""
        if self._is_deaf:
            return func(*args, **(kwargs or {}))
        if any(getattr(kind, "__name__", "") in _WRAPPERS for kind in types):
            return NotImplemented  # what is computed on the tensor inside comes by here in its turn
        if func is _aten._local_scalar_dense.default and args[0].device.type == "meta":
            return self._number(args[0])
        if self._device_type == "meta" and func.name().startswith(_UPDATES_IN_PLACE) and not func._schema.returns:
            return None
        if torch.is_inference_mode_enabled():  # where composite operators arrive whole
            with self:
                if (result := func.decompose(*args, **(kwargs or {}))) is not NotImplemented:
                    return result
        held = self._hold_all(self._buffers.before, func, args)
        result = self._run(func, args, kwargs or {})
        for position, leaf in enumerate(tree_leaves(result)):
            if isinstance(leaf, torch.Tensor) and self._is_here(leaf, func):
                self._see(leaf, args, position)
        held += self._hold_all(self._buffers.within, func, args)
        if func in self._buffers.products:
            self._need_workspace()
        for number in held:
            self.release(number)
        return result

    def _is_here(self, tensor: torch.Tensor, func: Any) -> bool:
        if tensor.device.type == self._device_type:
            return True
        return self._on_processor and self.makes_inside and func is not _aten._to_copy.default

    def _number(self, tensor: torch.Tensor) -> Any:
        """What a tensor without memory says where Python asks for its one number."""
        known = None if self._values is None else self._values.of(tensor)
        if known is not None:
            return known.item()
        return self.answer if tensor.dtype == torch.bool else 1

    def _run(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What an operator gives: on tensors without memory as large as values say, where they are known."""
        result: Any = NotImplemented
        if self._device_type == "meta":
            if self._values is not None:
                result = self._values.run(func, args, kwargs)
            if result is NotImplemented:
                result = sized_by_values(func, args)
        result = func(*args, **kwargs) if result is NotImplemented else result
        if self._on_processor and func is _aten.native_layer_norm.default:
            return processor_norm(result, args[2])
        return result

    def _hold_all(self, sizes: _Sizes, func: Any, args: Sequence[Any]) -> list[int]:
        needs = sizes.get(func)
        group = self.log.sections[-1].group
        return [self.hold(size, owner=group) for size in needs(args)] if needs else []

    def _need_workspace(self) -> None:
        """Autograd's engine runs in a thread of its own, which has its own workspace."""
        thread = is_in_backward()
        if thread not in self._has_workspace:
            self._has_workspace.add(thread)
            self.hold(self._buffers.workspace, "workspace")

    def _see(self, tensor: torch.Tensor, args: Sequence[Any], position: int) -> None:
        if (key := tensor.untyped_storage()._cdata) in self._numbers or key in self._elsewhere:
            return
        group = self.log.sections[-1].group
        owner = self._inherited(args, position) if group is None else group
        number = self._add(tensor, "logits" if self._is_scores(tensor) else self._born_as, owner)
        if torch.is_grad_enabled():
            self._born_for_gradients.add(number)

    def _inherited(self, args: Sequence[Any], position: int) -> int | None:
        """The owner of the tensor that an optimizer's or a norm's tensor belongs to."""
        source = args[0] if args else None
        if isinstance(source, (list, tuple)) and position < len(source):
            source = source[position]
        return self.owner_of(source) if isinstance(source, torch.Tensor) else None

    def _is_scores(self, tensor: torch.Tensor) -> bool:
        if tensor.ndim == 0:
            return False
        width = tensor.shape[-1]
        return width > 0 and (tensor.numel() // width, width) in self._score_shapes

    def _add(self, tensor: torch.Tensor, tag: Tag, owner: int | None) -> int:
        storage = tensor.untyped_storage()
        key = storage_key(storage)
        number = self._numbers[key] = self.hold(storage.nbytes(), tag, owner)
        self._watchers[key] = weakref.ref(storage, lambda _: self._end(key))
        return number

    def _end(self, key: int) -> None:
        number = self._numbers.pop(key, None)
        del self._watchers[key]
        self._elsewhere.discard(key)
        if self._empty.pop(key, None) is not None or number is None:
            return
        self.log.sections[-1].events.append(~number)
        storage = self.log.storages[number]
        # Made with gradients on and let go of with them off: the backward pass needed it.
        if storage.tag == "temporaries" and number in self._born_for_gradients and not torch.is_grad_enabled():
            storage.tag = "saved activations"

    def close(self) -> Log:
        """Stops watching; the log is complete."""
        self._watchers.clear()
        return self.log


def _part(tensor: torch.Tensor) -> torch.Tensor:
    """What of a tensor is on this device."""
    part: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
    return part


_MIB = 2**20
_PRODUCTS = (
    *(_aten.addmm.default, _aten.baddbmm.default, _aten.bmm.default, _aten.linear.default, _aten.mm.default),
    _aten._scaled_mm.default,
)


def card_buffers(capability: tuple[int, int]) -> Buffers:
    """What kernels hold, for CUDA."""
    before: dict[Any, Any] = {}
    if (quantized := getattr(torch.ops.bitsandbytes, "gemm_4bit", None)) is not None:
        before[quantized.default] = _gemm_4bit
    return Buffers(
        before=before,
        within={
            _aten._softmax_backward_data.default: _softmax_backward,
            _aten.masked_scatter.default: _scattering,
            _aten.sort.stable: _sorting,
        },
        products=frozenset((*_PRODUCTS, *before)),
        workspace=workspace_bytes(capability),
    )


def workspace_bytes(capability: tuple[int, int]) -> int:
    """torch's default cuBLAS workspace of one thread and stream."""
    return 32 * _MIB if capability >= (9, 0) else int(8.125 * _MIB)


def _scattering(args: Sequence[Any]) -> Sequence[int]:
    """A place for each element of what is written into, in 64 bits, and the mask in the same shape."""
    whole, mask = args[:2]
    return 8 * whole.numel(), 0 if mask.shape == whole.shape else whole.numel()


def _softmax_backward(args: Sequence[Any]) -> Sequence[int]:
    """The product of gradient and output, in the output's type.

    Where scores of 16 bits were normalized in float32, tensors without memory show a copy in float32 that the card's
    fused conversion never makes; half of the buffer is in the log already.
    """
    output = args[1]
    assert isinstance(output, torch.Tensor)
    return (output.numel() * 4,)


def _sorting(args: Sequence[Any]) -> Sequence[int]:
    """What a radix sort goes to and fro between, keys and 64-bit places once more, and the places it begins with."""
    keys = args[0]
    assert isinstance(keys, torch.Tensor)
    return (keys.numel() * 8, keys.numel() * (8 + keys.element_size()))


def _gemm_4bit(args: Sequence[Any]) -> Sequence[int]:
    """The whole weight in the input's type, and its scales in float32, while many rows are multiplied."""
    inputs, _packed, (rows, columns), *_rest = args
    elements = int(rows) * int(columns)
    return elements // 64 * 4, elements * int(inputs.element_size())
