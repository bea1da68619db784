"""The processes and the device of a run, compared with the plan (accelerate falls back to less in silence) and watched.

A process that dies is noticed by the next exchange of gradients. One that is stopped, or whose machine is gone without
a word, is not: the others would wait for half an hour. So each reports every few seconds that it lives, and checks the
others. A long phase that only one of them works in, such as writing a large checkpoint, is no silence.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import torch
from torch import nn

from ftc.runtime.execution.agreement import environment_values, machine_values, mixed_machines, refuse_differences
from ftc.runtime.execution.lost_processes import end_now, loss_of_companion, lost, process
from ftc.runtime.execution.machine import device_name, machine_class
from ftc.runtime.execution.refused_disks import raise_first, refused_here
from ftc.runtime.models.packed_layers import exchange_no_packed
from ftc.runtime.models.sharding import is_sharded, shard
from ftc.runtime.models.tensor_parallel import NoTensorPlanError
from ftc.runtime.training.signals import StopRequest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.machine import CodeSnapshot
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Observation
from ftc.spec.documents.segments import ProcessSeen
from ftc.spec.documents.settings import Settings
from ftc.spec.shardings import UNDIVIDED, sharding_card
from ftc.spec.storage.processes import machine_name

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "Heartbeats",
    "StopTogether",
    "agreed",
    "any_process",
    "divide",
    "everywhere",
    "make_accelerator",
    "observe",
    "watched",
    "wrap",
    "wrapper_of",
]

_T = TypeVar("_T")
_WRAPPER = "wrapper"


def make_accelerator(settings: Settings) -> Accelerator:
    """accelerate's view of this process, as the plan expects it.

    Raises:
        Refusal: There are more or fewer processes, or another kind of device.
    """
    from accelerate import Accelerator

    if findings := list(_too_few_cards(settings)):
        raise Refusal(findings)
    from accelerate.utils import InitProcessGroupKwargs

    both = settings.train.offload == "cpu" and settings.device.kind == "cuda"
    accelerator = Accelerator(
        cpu=settings.device.kind == "cpu",
        kwargs_handlers=[InitProcessGroupKwargs(backend="cuda:nccl,cpu:gloo")] if both else [],
    )
    planned, found = settings.train.world_size, accelerator.num_processes
    findings = [
        *([] if found == planned else [_wrong("FTC624", "number of processes", str(planned), str(found))]),
        *_device(accelerator, settings),
    ]
    if findings:
        raise Refusal(findings)
    return accelerator


def divide(accelerator: Accelerator, model: nn.Module, settings: Settings) -> nn.Module:
    """The model with each weight in parts, where the plan says so, else as it is.

    Raises:
        Refusal: Its layers can't be told (FTC291) or divided (FTC718), or something of it is still whole (FTC624).
    """
    if not settings.train.is_divided:
        return model
    from torch.distributed.tensor import DTensor

    try:
        divided = shard(model, settings.train, accelerator.device, fills=True)
    except NoTensorPlanError as error:
        summary, path = "the installed transformers divides this model's layers in another way", "train.tensor_parallel"
        help = "write `train: {tensor_parallel: 1}`, or install another version of transformers"
        raise Refusal([diagnostic("FTC718", summary, notes=str(error), help=help, path=path)]) from error
    except LookupError as error:
        kind, notes = settings.train.sharding, str(error)
        summary = f"`{kind}` shards a model layer by layer, and can't find this model's layers"
        help, path = f"choose `sharding: {UNDIVIDED.kind}`", "train.sharding"
        raise Refusal([diagnostic("FTC291", summary, notes=notes, help=help, path=path)]) from error
    kept = [name for name, one in divided.named_parameters() if not isinstance(one, DTensor)]
    if kept:
        raise Refusal([_wrong("FTC624", _WRAPPER, "FSDP2 around every weight", f"`{kept[0]}` is whole")])
    return divided


def wrapper_of(model: nn.Module) -> str:
    """What stands around a model in training, or its own class where nothing does."""
    return "FSDP2" if is_sharded(model) else type(model).__name__


def wrap(accelerator: Accelerator, model: nn.Module) -> nn.Module:
    """The model as it is called in training: wrapped where several processes hold it whole, else as it is.

    Raises:
        Refusal: accelerate wrapped it in something else.
    """
    if accelerator.num_processes == 1 or is_sharded(model):
        return model
    exchange_no_packed(model)
    wrapped: nn.Module = accelerator.prepare_model(model)
    if not isinstance(wrapped, nn.parallel.DistributedDataParallel):
        raise Refusal([_wrong("FTC624", _WRAPPER, "DistributedDataParallel", type(wrapped).__name__)])
    return wrapped


def agreed(accelerator: Accelerator, look: Callable[[], _T]) -> _T:
    """What the first process sees, in all processes: files are looked at once, so nobody decides otherwise.

    Raises:
        OSError: A disk refused it, in all processes.
    """
    if accelerator.num_processes == 1:
        return look()
    from accelerate.utils import broadcast_object_list

    seen, own = None, None
    try:
        seen = look() if accelerator.is_main_process else None
    except OSError as error:  # the others wait, and hear of it first
        own = error
    told: list[Any] = broadcast_object_list([seen, refused_here(own)])
    raise_first(own, told[1:])
    return cast("_T", told[0])


def everywhere(accelerator: Accelerator, value: str) -> list[str]:
    """A value from every process, in the order of their ranks."""
    if accelerator.num_processes == 1:
        return [value]
    from accelerate.utils import gather_object

    gathered: list[str] = gather_object([value])
    return gathered


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether the flag is set in any process, so that all of them stop at the same step."""
    if accelerator.num_processes == 1:
        return flag
    flags = torch.tensor(int(flag), device=accelerator.device)
    total: Any = accelerator.reduce(flags, reduction="sum")
    return bool(total.item())


class StopTogether(StopRequest):
    """A request to stop that all processes heed at the same place, since they compute each layer together.

    Args:
        accelerator: Knows the others.
        own: What this process was asked.
    """

    def __init__(self, accelerator: Accelerator, own: StopRequest) -> None:
        super().__init__()
        self._accelerator, self._own = accelerator, own

    def check(self) -> None:
        """Leaves work where any process was asked to; all of them have to look.

        Raises:
            Interrupted: Somebody asked for it.
        """
        self.requested = any_process(self._accelerator, self._own.requested)
        self.kind, self.reason = self._own.kind, self._own.reason
        super().check()


def observe(
    accelerator: Accelerator, plan: Plan, environment: EnvironmentFacts, code: CodeSnapshot
) -> tuple[Observation, tuple[ProcessSeen, ...]]:
    """What the run finds on its machines, before a model is built; all processes have to look.

    Returns:
        What this process found, and what each of several did.

    Raises:
        Refusal: Processes have other packages or code, or their machines are of another class (FTC701), or a launcher
            numbers them so that those of a machine don't hold a model together, as the plan has it (FTC716).
    """
    train = plan.settings.train
    uses = {"compiles": train.compile, "fuses": bool(train.kernels)}
    machine = machine_class(accelerator.device, accelerator.num_processes, **uses)
    device = device_name(accelerator.device)
    found = Observation(
        platform=environment.platform,
        device=device,
        world_size=accelerator.num_processes,
        wrapper=None,
        threads=torch.get_num_threads(),
        machine=machine,
        code=code,
        environment=environment,
    )
    if accelerator.num_processes == 1:
        return found, ()
    own = ProcessSeen(
        rank=accelerator.process_index,
        local_rank=accelerator.local_process_index,
        host=platform.node(),
        device=device,
        driver=machine.driver,
        machine_sha256=machine.digest(),
        ftc_sha256=code.ftc_sha256,
        job_sha256=plan.job_sha256(),
        packages_sha256=environment.digest(),
    )
    values = {"plan": plan.run_id, "ftc's code": code.ftc_sha256[:12], **environment_values(environment)}
    refuse_differences(accelerator, values | machine_values(machine))
    train = plan.settings.train
    among = train.parts if sharding_card(train.sharding).divided_among == "machine" else train.tensor_parallel
    if among > 1 and (mixed := mixed_machines(everywhere(accelerator, machine_name(os.environ)), among)):
        raise Refusal([mixed])
    each = everywhere(accelerator, own.model_dump_json())
    return found, tuple(map(ProcessSeen.model_validate_json, each))


def _too_few_cards(settings: Settings) -> Iterator[Diagnostic]:
    planned, found = settings.device.count, torch.cuda.device_count()
    if settings.device.kind == "cuda" and 0 < found < planned:
        yield _wrong("FTC623", "number of GPUs", str(planned), str(found))


def _device(accelerator: Accelerator, settings: Settings) -> list[Diagnostic]:
    planned, found = settings.device.kind, accelerator.device.type
    return [] if found == planned else [_wrong("FTC623", "device type", planned, found)]


def _wrong(code: str, thing: str, planned: str, found: str) -> Diagnostic:
    fix = {
        "FTC623": "plan again on this machine, or apply on the planned one",
        "FTC624": f"`ftc apply PLAN` starts them itself; a launcher must start {planned}. Or plan again here",
    }
    # Processes have a number; a wrapper is another one where accelerate was told so beside the plan.
    beside = "unset accelerate's `ACCELERATE_*` variables; ftc needs none of them"
    help = beside if thing == _WRAPPER else fix[code]
    return diagnostic(code, f"{thing}: {planned} in the plan, {found} here", help=help)


_SILENT_SECONDS = 60.0
_BEATS = 12
"""Signs of life within the time of silence that is borne."""
_OVER = b"over"


class Store(Protocol):
    """What is used of torch's store, which all processes of a run share."""

    def set(self, key: str, value: str) -> None: ...

    def get(self, key: str) -> bytes: ...

    def check(self, keys: list[str]) -> bool: ...


class Heartbeats:
    """One process's signs of life, and when it last saw those of the others.

    Args:
        store: Shared by all processes.
        rank: This process's number.
        world_size: How many there are.
        clock: Seconds that only rise.
    """

    def __init__(self, store: Store, rank: int, world_size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._rank, self._clock = store, rank, clock
        self._count = 0
        self._seen = {other: (b"", clock()) for other in range(world_size) if other != rank}

    def beat(self) -> None:
        """Tells that this process lives."""
        self._count += 1
        self._store.set(_key(self._rank), str(self._count))

    def end(self) -> None:
        """Tells that this process is done, and that its silence means nothing."""
        self._store.set(_key(self._rank), _OVER.decode())

    def silent(self, seconds: float) -> int | None:
        """A process that has been silent for so long, or None."""
        now = self._clock()
        for other, (last, since) in self._seen.items():
            value = self._store.get(_key(other)) if self._store.check([_key(other)]) else b""
            if value not in (last, _OVER):
                self._seen[other] = (value, now)
            elif value != _OVER and now - since > seconds:
                return other
        return None


@contextmanager
def watched(accelerator: Accelerator) -> Iterator[None]:
    """Watches the run's other processes while the block runs; a silent one ends this process with a diagnostic.

    `FTC_SILENT_SECONDS` is how long a process may be silent; 60 where it isn't set.
    """
    if accelerator.num_processes == 1:
        yield
        return
    from torch.distributed.distributed_c10d import _get_default_store

    seconds = float(os.environ.get("FTC_SILENT_SECONDS", _SILENT_SECONDS))
    shared: Any = _get_default_store()
    beats = Heartbeats(shared.clone(), accelerator.process_index, accelerator.num_processes)
    is_over = threading.Event()
    threading.Thread(target=_watch, args=(beats, seconds, is_over), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
        _quietly(beats.end)


def _watch(beats: Heartbeats, seconds: float, is_over: threading.Event) -> None:
    while not is_over.wait(seconds / _BEATS):
        try:
            beats.beat()
            silent = beats.silent(seconds)
        except RuntimeError:  # the launcher, which keeps the store, is gone
            silent = -1
        if silent is not None and not is_over.is_set():
            who = "the launcher" if silent < 0 else process(silent)
            end_now(loss_of_companion(0.0) or lost(who, f"silent for {seconds:g} s"), traces=True)


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except RuntimeError:
        return


def _key(rank: int) -> str:
    return f"ftc/alive/{rank}"
