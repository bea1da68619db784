"""The processes and the device of a run, compared with the plan, since accelerate falls back to less in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import nn

from ftc.runtime.execution.machine import device_name, machine_class
from ftc.runtime.models.sharding import is_sharded, shard
from ftc.runtime.training.signals import StopRequest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.machine import CodeSnapshot
from ftc.spec.documents.record import Sighting
from ftc.spec.documents.settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "StopTogether",
    "agreed",
    "any_process",
    "divide",
    "everywhere",
    "make_accelerator",
    "sighting",
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
    accelerator = Accelerator(cpu=settings.device.kind == "cpu", kwargs_handlers=_handlers(settings))
    findings = [*_processes(accelerator, settings), *_device(accelerator, settings)]
    if findings:
        raise Refusal(findings)
    return accelerator


def _handlers(settings: Settings) -> list[Any]:
    """What processes exchange in the host's memory, where parts lie there, takes a way of its own beside the cards'."""
    from accelerate.utils import InitProcessGroupKwargs

    both = settings.train.offload == "cpu" and settings.device.kind == "cuda"
    return [InitProcessGroupKwargs(backend="cuda:nccl,cpu:gloo")] if both else []


def divide(accelerator: Accelerator, model: nn.Module, settings: Settings) -> nn.Module:
    """The model with each weight in parts, where the plan says so, else as it is.

    Raises:
        Refusal: Its layers can't be told (FTC291), or something of it is still whole (FTC624).
    """
    if settings.train.sharding != "fsdp":
        return model
    from torch.distributed.tensor import DTensor

    try:
        divided = shard(model, settings.train, accelerator.device, fills=True)
    except LookupError as error:
        raise Refusal([_indivisible(error)]) from error
    kept = [name for name, one in divided.named_parameters() if not isinstance(one, DTensor)]
    if kept:
        raise Refusal([_wrong("FTC624", _WRAPPER, "FSDP2 around every weight", f"`{kept[0]}` is whole")])
    return divided


def _indivisible(error: LookupError) -> Diagnostic:
    summary, help = "`fsdp` divides a model layer by layer, and can't tell this one's", "choose `sharding: ddp`"
    return diagnostic("FTC291", summary, notes=str(error), help=help, path="train.sharding")


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
    wrapped: nn.Module = accelerator.prepare_model(model)
    if not isinstance(wrapped, nn.parallel.DistributedDataParallel):
        raise Refusal([_wrong("FTC624", _WRAPPER, "DistributedDataParallel", type(wrapped).__name__)])
    return wrapped


def agreed(accelerator: Accelerator, look: Callable[[], _T]) -> _T:
    """What the first process sees, in all processes: files are looked at once, so nobody decides otherwise."""
    if accelerator.num_processes == 1:
        return look()
    from accelerate.utils import broadcast_object_list

    seen = [look() if accelerator.is_main_process else None]
    told: list[Any] = broadcast_object_list(seen)
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
        super().check()


def sighting(accelerator: Accelerator, environment: EnvironmentFacts, code: CodeSnapshot) -> Sighting:
    """What the run finds on its machine, before a model is built."""
    return Sighting(
        platform=environment.platform,
        device=device_name(accelerator.device),
        world_size=accelerator.num_processes,
        wrapper=None,
        threads=torch.get_num_threads(),
        machine=machine_class(accelerator.device, accelerator.num_processes),
        code=code,
        environment=environment,
    )


def _processes(accelerator: Accelerator, settings: Settings) -> list[Diagnostic]:
    planned, found = settings.train.world_size, accelerator.num_processes
    return [] if found == planned else [_wrong("FTC624", "number of processes", str(planned), str(found))]


def _too_few_cards(settings: Settings) -> Iterator[Diagnostic]:
    planned, found = settings.device.count, torch.cuda.device_count()
    if settings.device.kind == "cuda" and 0 < found < planned:
        yield _wrong("FTC623", "number of cards", str(planned), str(found))


def _device(accelerator: Accelerator, settings: Settings) -> list[Diagnostic]:
    planned, found = settings.device.kind, accelerator.device.type
    return [] if found == planned else [_wrong("FTC623", "kind of device", planned, found)]


def _wrong(code: str, thing: str, planned: str, found: str) -> Diagnostic:
    mend = {
        "FTC623": "plan again on this machine, or apply on the planned one",
        "FTC624": f"`ftc apply PLAN` starts them itself, and of a launcher it takes {planned}; or plan again here",
    }
    # Processes have a number; a wrapper is another one where accelerate was told so beside the plan.
    beside = "unset accelerate's own `ACCELERATE_*` variables, none of which ftc needs"
    help = beside if thing == _WRAPPER else mend[code]
    return diagnostic(code, f"{thing}: {planned} in the plan, {found} here", help=help)
