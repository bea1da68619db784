"""What a model and an optimizer hold, in the order in which it comes to be on the device; then saving and resuming.

Saving, resuming and writing the result are the run's own functions, watched. A run copies its tensors to the CPU
one at a time, so that a card needs nothing for it; what is read lies beside what is there until it is copied over. Only
the files are left out: a shelf holds what would be in them. Where the device is a card, a copy on the CPU is a
tensor of one number that claims its shape, so that a model of any size can be read out and put back. Where the device
is the CPU itself, there is nothing to copy to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from ftc.runtime.artifacts.checkpoint import (
    Contents,
    Kept,
    Parameters,
    artifact_tensors,
    chosen_tensors,
    contents,
    load_artifact,
    put_back,
)
from ftc.runtime.artifacts.tensor_files import flattened
from ftc.runtime.memory_trace.sections import Groups
from ftc.runtime.memory_trace.torch_internals import TorchDispatchMode
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.sharding import stacks_of
from ftc.runtime.training.loop import Job
from ftc.runtime.training.optimizers import evaluating
from ftc.runtime.training.weight_average import WeightAverage
from ftc.spec.documents.settings import Settings
from ftc.spec.quantized_files import DEQUANTIZING_BYTES
from ftc.spec.strategies import STRATEGIES

__all__ = [
    "Host",
    "Read",
    "Shapes",
    "Shelf",
    "hold_dequantized",
    "keep",
    "register_model",
    "register_state",
    "register_teacher",
    "release_teacher",
]

_HALF = 2
"""Bytes of an element of a weight that arrives in 16 bits."""

_OF_ADAPTERS = ("modules_to_save", *{mark: None for card in STRATEGIES for mark in card.marks})
"""What names of adapters' weights hold."""

_Tensors = dict[str, torch.Tensor]
_Owners = dict[str, int | None]


def register_model(
    tracker: StorageTracker, model: nn.Module, groups: Sequence[Groups], *, empties_cache: bool = False
) -> None:
    """Counts weights, adapter and buffers as loading would allocate them.

    Args:
        tracker: Where they are counted.
        model: With its adapter.
        groups: How the layers of each stack repeat.
        empties_cache: Whether unused segments are given back when quantized weights are ready, as newer peft does.
    """
    prefixes = [f"{path}." for path, _ in stacks_of(model)]
    tensors: _Tensors = dict([*model.named_parameters(), *model.named_buffers()])
    owners = {name: _owner(name, prefixes, groups) for name in tensors}
    base = {name: tensor for name, tensor in tensors.items() if not _is_adapter(name)}
    if any(hasattr(tensor, "quant_state") for tensor in base.values()):
        _load_quantized(tracker, base, owners, groups, empties_cache)
    else:
        for name, tensor in base.items():
            tracker.section("load", owners[name])
            tracker.register(tensor, "weights", owners[name])
    for name, tensor in tensors.items():
        if _is_adapter(name):
            tracker.section("load", owners[name])
            tracker.register(tensor, "adapter", owners[name])
    tracker.section("load")


def hold_dequantized(tracker: StorageTracker, model: nn.Module) -> None:
    """What passes through host RAM while the largest weight of the layers is dequantized."""
    layers = (layer for _, stack in stacks_of(model) for layer in stack)
    weights = (one for layer in layers for name, one in layer.named_parameters() if not _is_adapter(name))
    largest = max((one.numel() for one in weights), default=0)
    tracker.release(tracker.hold(DEQUANTIZING_BYTES * largest, "temporaries"))


def register_teacher(tracker: StorageTracker, model: nn.Module, *, dequantizes: bool) -> None:
    """Counts a teacher's weights and buffers as loading would allocate them; `dequantizes` says whether here."""
    from transformers.core_model_loading import dot_natural_key

    tensors: _Tensors = dict([*model.named_parameters(), *model.named_buffers()])
    tracker.section("load")
    if any(hasattr(tensor, "quant_state") for tensor in tensors.values()):
        tracker.release(tracker.hold(_warm_up_bytes(tensors, dict.fromkeys(tensors), ()), "temporaries"))
    for _, tensor in sorted(tensors.items(), key=lambda one: dot_natural_key(one[0])):
        if (state := getattr(tensor, "quant_state", None)) is not None:
            _pack(tracker, tensor, None)
            for part in _parts(state):
                tracker.register(part, "teacher")
        tracker.register(tensor, "teacher")
    if dequantizes:
        hold_dequantized(tracker, model)


def release_teacher(tracker: StorageTracker, model: nn.Module) -> None:
    """Lets go of a teacher, with what it has put in place of some of its weights since."""
    for tensor in (*model.parameters(), *model.buffers()):
        tracker.register(tensor, "teacher")
    tracker.let_go("teacher")


def register_state(
    tracker: StorageTracker, optimizer: torch.optim.Optimizer, average: WeightAverage | None = None
) -> None:
    """Says which tensors are the optimizer's or an average, and whose; those that the CPU holds are left out."""
    for weights, averaged in average.pairs if average is not None else ():
        tracker.register(averaged, "optimiser state", tracker.owner_of(weights))
    for parameter, state in optimizer.state.items():
        for tensor in state.values():
            if isinstance(tensor, torch.Tensor) and tensor.device == parameter.device:
                tracker.register(tensor, "optimiser state", tracker.owner_of(parameter))


def _is_adapter(name: str) -> bool:
    return any(mark in name for mark in _OF_ADAPTERS)


def _owner(name: str, prefixes: Sequence[str], groups: Sequence[Groups]) -> int | None:
    for prefix, one in zip(prefixes, groups, strict=True):
        if name.startswith(prefix):
            return one.of(int(name.removeprefix(prefix).partition(".")[0]))
    return None


def _load_quantized(
    tracker: StorageTracker, tensors: _Tensors, owners: _Owners, groups: Sequence[Groups], empties_cache: bool
) -> None:
    """Loading as transformers does it where it quantizes.

    It asks for the memory of all weights at once and lets go of it, then takes the weights one by one, sorted by name.
    One that becomes 4-bit stays in 16 bits until it is packed; the others are made float32 when all are there.
    """
    from transformers.core_model_loading import dot_natural_key

    tracker.release(tracker.hold(_warm_up_bytes(tensors, owners, groups), "temporaries"))
    arrived: dict[str, int] = {}
    for name in sorted(tensors, key=lambda name: dot_natural_key(name.replace(".base_layer", ""))):
        tensor, owner = tensors[name], owners[name]
        tracker.section("load", owner)
        if hasattr(tensor, "quant_state"):
            _pack(tracker, tensor, owner)
        elif isinstance(tensor, nn.Parameter):
            arrived[name] = tracker.hold(_HALF * tensor.numel(), "weights", owner)
        else:
            tracker.register(tensor, "weights", owner)
    for name in tensors:
        if name in arrived:
            tracker.section("load", owners[name])
            tracker.register(tensors[name], "weights", owners[name])
            tracker.release(arrived[name])
    tracker.section("load")
    if empties_cache:
        tracker.empty_cache()


def _warm_up_bytes(tensors: _Tensors, owners: _Owners, groups: Sequence[Groups]) -> int:
    """Half a byte for each 4-bit weight, two for the others, at the model's real depth."""
    size = 0
    for name, tensor in tensors.items():
        owner = owners[name]
        times = next((one.times(owner) for one in groups if owner is not None and owner in one), 1)
        is_packed = hasattr(tensor, "quant_state")
        size += times * tensor.numel() * (tensor.element_size() if is_packed else _HALF)
    return size


def _pack(tracker: StorageTracker, tensor: Any, owner: int | None) -> None:
    """A weight in 16 bits, its packed form with scales, and where those are quantized too, their own steps."""
    state = tensor.quant_state
    passing = [tracker.hold(_HALF * state.shape.numel(), "weights", owner)]
    if state.nested:
        passing.append(tracker.hold(4 * state.absmax.numel(), "quantisation state", owner))
    tracker.register(tensor, "weights", owner)
    if state.nested:
        passing.append(tracker.hold(4 * state.absmax.numel(), "quantisation state", owner))
    for part in _parts(state):
        tracker.register(part, "quantisation state", owner)
    for number in reversed(passing):
        tracker.release(number)


def _parts(state: Any) -> Iterator[torch.Tensor]:
    """What bitsandbytes keeps beside packed weights; scales may be quantized themselves."""
    yield from (part for part in (state.absmax, state.code, state.offset) if isinstance(part, torch.Tensor))
    if state.state2 is not None:
        yield from _parts(state.state2)


_aten = torch.ops.aten


class Host(TorchDispatchMode):
    """Answers copies from the device to the CPU while it is active, inside of what counts storages.

    Args:
        is_device: Whether the CPU is the device that tensors without memory stand for.
    """

    def __init__(self, *, is_device: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._is_device = is_device

    def tensor(self, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """What was read from a file: it lies in host memory."""
        return torch.empty(shape, dtype=dtype, device="meta") if self._is_device else _claimed(shape, dtype)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator, or says what a copy is."""
        kwargs = kwargs or {}
        if func is _aten._to_copy.default and args[0].is_meta and _is_processor(kwargs.get("device")):
            dtype = kwargs.get("dtype") or args[0].dtype
            return _aten.alias(args[0]) if self._is_device else _claimed(args[0].shape, dtype)
        if func is _aten.clone.default and _is_claimed(args[0]):
            return args[0]
        if func is _aten.lift_fresh.default and self._is_device and not args[0].is_meta:  # made of Python's numbers
            return torch.empty_like(args[0], device="meta")
        return func(*args, **kwargs)


def _claimed(shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros((), dtype=dtype, device="cpu").expand(shape)


def _is_claimed(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.numel() > 1 and not any(tensor.stride())


def _is_processor(device: torch.device | None) -> bool:
    return device is not None and device.type == "cpu"


Read = Callable[[], dict[str, torch.Tensor]]
"""Reads a file."""


class Shelf(Protocol):
    """Where a run's files would be."""

    def checkpoint(self, tensors: Contents) -> Kept:
        """Keeps a checkpoint."""
        ...

    def result(self, tensors: Mapping[str, torch.Tensor]) -> Read:
        """Keeps the result, and tells how it is read."""
        ...


@dataclass(frozen=True, slots=True)
class _Reads:
    """A checkpoint by how its two files are read; of a divided tensor they have this process's part."""

    read_weights: Read
    read_optimizer: Read

    def weights(self, _: Parameters) -> dict[str, torch.Tensor]:
        return self.read_weights()

    def optimizer(self, _: Parameters) -> dict[str, torch.Tensor]:
        return self.read_optimizer()


class Shapes:
    """A shelf that holds shapes alone.

    Args:
        tracker: Counts what is read into the device's own memory.
        host: Says whether host memory is that.
    """

    def __init__(self, tracker: StorageTracker, host: Host) -> None:
        self._tracker, self._host = tracker, host

    def checkpoint(self, tensors: Contents) -> Kept:
        """Takes the tensors out as a file's writer does."""
        return _Reads(*map(self.result, tensors.values()))

    def result(self, tensors: Mapping[str, torch.Tensor]) -> Read:
        """The same, of one file."""
        for _ in flattened(tensors.values()):
            pass
        shapes = {name: (one.shape, one.dtype, self._tracker.owner_of(one)) for name, one in tensors.items()}

        def read() -> dict[str, torch.Tensor]:
            return {name: self._read(*shape) for name, shape in shapes.items()}

        return read

    def _read(self, shape: torch.Size, dtype: torch.dtype, owner: int | None) -> torch.Tensor:
        tensor = self._host.tensor(shape, dtype)
        if tensor.is_meta:
            self._tracker.register(tensor, "temporaries", owner)
        return tensor


def keep(job: Job, settings: Settings, tracker: StorageTracker, shelf: Shelf) -> None:
    """Saves, resumes and writes the result, behind the last step.

    Args:
        job: What was trained.
        settings: The plan's.
        tracker: Watches.
        shelf: Takes the place of the run's folder.
    """
    tracker.section("save")
    with evaluating(job.optimizer, job.average):
        kept = shelf.checkpoint(contents(job.parameters, job.optimizer))
    _forget(job, tracker)  # a run that is resumed has a new optimizer

    tracker.section("resume")
    put_back(job.model, job.parameters, job.optimizer, kept, job.average)
    register_state(tracker, job.optimizer, job.average)
    _forget(job, tracker)  # it ends with training
    if job.teacher is not None:
        release_teacher(tracker, job.teacher.model)

    tracker.section("export")
    read = shelf.result(chosen_tensors(job.model, settings, kept))

    tracker.section("evaluation: result")
    tensors = read()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*copying from a non-meta parameter")  # there is nothing to copy
        load_artifact(job.model, settings, tensors)
    for _ in flattened(artifact_tensors(job.model, settings).values()):
        pass


def _forget(job: Job, tracker: StorageTracker) -> None:
    """Frees the optimizer's memory, in no phase."""
    tracker.section("")
    job.optimizer.state.clear()
    if job.average is not None:
        job.average.forget()
