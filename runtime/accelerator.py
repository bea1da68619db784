"""The processes and the device of a run, compared with the plan, since accelerate falls back to less in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import nn

from ftc.runtime.machine import device_name, machine_class
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.facts import EnvironmentFacts
from ftc.spec.machine import CodeSnapshot
from ftc.spec.record import Sighting
from ftc.spec.settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["agreed", "any_process", "everywhere", "make_accelerator", "sighting", "wrap"]

_T = TypeVar("_T")


def make_accelerator(settings: Settings) -> Accelerator:
    """accelerate's view of this process, as the plan expects it.

    Raises:
        Refusal: There are more or fewer processes, or another kind of device.
    """
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=settings.device.kind == "cpu")
    findings = [*_processes(accelerator, settings), *_device(accelerator, settings)]
    if findings:
        raise Refusal(findings)
    return accelerator


def wrap(accelerator: Accelerator, model: nn.Module) -> nn.Module:
    """The model as it is called in training: wrapped for several processes, bare for one.

    Raises:
        Refusal: accelerate wrapped it in something else.
    """
    if accelerator.num_processes == 1:
        return model
    wrapped: nn.Module = accelerator.prepare_model(model)
    if not isinstance(wrapped, nn.parallel.DistributedDataParallel):
        raise Refusal([_wrong("FTC624", "wrapper", "DistributedDataParallel", type(wrapped).__name__)])
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


def _device(accelerator: Accelerator, settings: Settings) -> list[Diagnostic]:
    planned, found = settings.device.kind, accelerator.device.type
    return [] if found == planned else [_wrong("FTC623", "kind of device", planned, found)]


def _wrong(code: str, thing: str, planned: str, found: str) -> Diagnostic:
    mend = {
        "FTC623": "plan again on this machine, or apply on the planned one",
        "FTC624": f"start it with `torchrun --nproc-per-node {planned} -m ftc apply PLAN --yes`, or plan again here",
    }
    return diagnostic(code, f"{thing}: {planned} in the plan, {found} here", help=mend[code])
