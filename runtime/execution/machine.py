"""The machine as torch and the system find it: what bits depend on, and peak memory from one mark to the next."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch

from ftc.spec.documents.machine import ARITHMETIC_VARIABLES, MachineClass
from ftc.spec.fused_kernels import LIGER

__all__ = ["MemoryPeak", "begin_stretch", "device_name", "keeps_freed", "machine_class", "peak_memory"]

_VECTORS = re.compile(r"^(sse|ssse|avx|fma|f16c|amx|vnni|asimd|neon|sve|sme|bf16|fphp|i8mm|vsx)")


def machine_class(
    device: torch.device, num_processes: int, *, compiles: bool = False, fuses: bool = False
) -> MachineClass:
    """The class of this machine, with the modes that are set now.

    Args:
        device: Where the model is.
        num_processes: How many share the steps.
        compiles: Whether layers are compiled, so that bits depend on compilers too.
        fuses: Whether parts of layers have fused kernels, which a package brings and a compiler makes.
    """
    on_card = device.type == "cuda"
    found = _cpu_info("flags") or _cpu_info("Features")
    matmul = torch.backends.cuda.matmul
    modes: dict[str, Any] = {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "mkldnn": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "cuda_tf32": matmul.allow_tf32,
        "cuda_bf16_reduced_precision_reduction": matmul.allow_bf16_reduced_precision_reduction,
        "cuda_fp16_reduced_precision_reduction": matmul.allow_fp16_reduced_precision_reduction,
    }
    if compiles:
        modes |= {"compiled_by": _compilers()}
    if fuses:
        modes |= {"fused_by": ", ".join(_versions(LIGER, "triton")) or "none"}
    return MachineClass(
        architecture=platform.machine().lower(),
        device=device_name(device),
        vector_flags=tuple(sorted(flag for flag in found[0].split() if _VECTORS.match(flag))) if found else (),
        kernels=str(torch.backends.cpu.get_cpu_capability()),
        compute_capability=".".join(map(str, torch.cuda.get_device_capability(device))) if on_card else None,
        driver=_driver() if on_card else None,
        threads=torch.get_num_threads(),
        processes=num_processes,
        torch=f"{torch.__version__} {torch.version.git_version}",
        torch_build_sha256=hashlib.sha256(torch.__config__.show().encode()).hexdigest(),
        libraries=_libraries(),
        math={name: str(value).lower() for name, value in modes.items()},
        variables={name: os.environ[name] for name in ARITHMETIC_VARIABLES if name in os.environ},
    )


def device_name(device: torch.device) -> str:
    """The card's name, or the CPU's."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    names = _cpu_info("model name")
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_info(key: str) -> list[str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]


def _compilers() -> str:
    """The C++ compiler that torch would call, and Triton, with their versions; `none` without any."""
    path = shutil.which(os.environ.get("CXX", "g++"))
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False) if path else None
    found = [said.stdout.partition("\n")[0]] if said is not None else []
    return ", ".join([*found, *_versions("triton")]) or "none"


def _versions(*packages: str) -> Iterator[str]:
    """Those of packages that are installed, with their names."""
    for name in packages:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def _driver() -> str | None:
    version = Path("/proc/driver/nvidia/version")
    match = re.search(r"Module\s+(\d[\d.]*)", version.read_text(errors="replace")) if version.exists() else None
    return match[1] if match else None


def _libraries() -> dict[str, str]:
    found: dict[str, Any] = {"cuda": torch.version.cuda}
    if torch.cuda.is_available():
        from torch.cuda import nccl

        found |= {"cudnn": torch.backends.cudnn.version(), "nccl": ".".join(map(str, nccl.version()))}
    return {name: str(version) for name, version in found.items() if version}


_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"  # see proc(5), clear_refs: the peak of the resident set becomes what it is now
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # see mallopt(3)
_LARGEST_IN_HEAP = 32 * 2**20
"""Bytes of a piece from which glibc asks the system for it by itself, at the most: where its own adjusting ends."""


@dataclass(frozen=True, slots=True)
class MemoryPeak:
    """The most that was used since the last mark.

    Attributes:
        size: Bytes.
        method: What they measure.
        reserved: Bytes that torch's allocator held; None on a CPU.
    """

    size: int
    method: str
    reserved: int | None = None


def peak_memory(device: Literal["cpu", "cuda"]) -> MemoryPeak:
    """The peak since `begin_stretch`, or since the process began."""
    match device:
        case "cuda":
            reserved = torch.cuda.max_memory_reserved()
            return MemoryPeak(torch.cuda.max_memory_allocated(), "memory allocated by torch on the GPU", reserved)
        case "cpu":
            return MemoryPeak(_peak_resident(), "resident set of the process")


def begin_stretch(device: Literal["cpu", "cuda"]) -> bool:
    """Forgets the peak so far; tells whether the system can."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return True
    _give_back()
    try:
        (_PROCESS / "clear_refs").write_text(_FORGET_PEAK)
    except OSError:  # another system, or a kernel without it
        return False
    return True


@contextmanager
def keeps_freed() -> Iterator[None]:
    """A block in which the C library keeps what is freed, as each layer wants again what the one before it let go.

    Left to itself it gives that back to the system, which clears each page before it lends it out again.
    """
    adjust = _of_glibc("mallopt")
    if adjust is None:
        yield
        return
    adjust(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
    adjust(_TRIM_THRESHOLD, 2**30)
    try:
        yield
    finally:
        adjust(_TRIM_THRESHOLD, 2 * _LARGEST_IN_HEAP)


def _give_back() -> None:
    """Returns to the system what the C library keeps of freed tensors, which would count for whatever comes next."""
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function that glibc has and others don't; None where it isn't there."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _peak_resident() -> int:
    status = _PROCESS / "status"
    if status.exists():  # getrusage would count the process that started this one, too
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
