"""What the machine does while a run goes on, as far as psutil and NVIDIA's library show it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

__all__ = ["Machine"]


@dataclass(slots=True)
class Machine:
    """A process, its machine's memory and its GPUs.

    Attributes:
        process: Number of the process.
    """

    process: int
    _seen: psutil.Process | None = None
    _gpus: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        with contextlib.suppress(psutil.Error):
            self._seen = psutil.Process(self.process)
            self._seen.cpu_percent()  # the first call begins the first interval
        with contextlib.suppress(Exception):  # no library, no driver or no permission: then nothing is known
            import pynvml

            pynvml.nvmlInit()
            self._gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]

    def sample(self) -> dict[str, float]:
        """The values now, by name; CPU and GPU utilization are in percent, where 100 is one core."""
        return dict(self._values())

    def _values(self) -> Iterator[tuple[str, float]]:
        if self._seen is not None:
            with contextlib.suppress(psutil.Error):
                yield "system/cpu_percent", self._seen.cpu_percent()
                yield "system/process_memory_bytes", float(self._seen.memory_info().rss)
        yield "system/host_memory_percent", psutil.virtual_memory().percent
        for index, gpu in enumerate(self._gpus):
            yield from _gpu_values(f"system/gpu{index}", gpu)


def _gpu_values(name: str, gpu: Any) -> Iterator[tuple[str, float]]:
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        yield f"{name}_memory_bytes", float(pynvml.nvmlDeviceGetMemoryInfo(gpu).used)
    with contextlib.suppress(pynvml.NVMLError):
        yield f"{name}_utilization_percent", float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
    with contextlib.suppress(pynvml.NVMLError):
        yield f"{name}_power_watts", pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000
