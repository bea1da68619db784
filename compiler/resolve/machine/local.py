"""What this process may use of the machine: its cores, memory and instructions, and its GPUs."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from ftc.spec.accelerators import ACCELERATORS, Accelerator

__all__ = [
    "LocalCard",
    "cpu_has_bfloat16",
    "cpu_label",
    "free_memory_bytes",
    "local_cards",
    "other_accelerators",
    "usable_memory_bytes",
    "usable_threads",
]

_ROOT = Path("/")
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def usable_memory_bytes(root: Path = _ROOT) -> int:
    """The machine's memory, or the tightest limit of the control groups that this process is in."""
    return min([int(psutil.virtual_memory().total), *_group_limits(root, "memory.max", "memory/memory.limit_in_bytes")])


def free_memory_bytes(root: Path = _ROOT) -> int:
    """What a process can still take of that: what the system could give, and what is left below each group's limit."""
    free = int(psutil.virtual_memory().available)
    for folder in _groups(root):
        limit, used = (_text(folder / name) or "" for name in ("memory.max", "memory.current"))
        if limit.isdecimal() and used.isdecimal():
            free = min(free, max(0, int(limit) - int(used) + _droppable(folder)))
    return free


def _droppable(folder: Path) -> int:
    """What a group holds of files, which goes when memory is needed; files that others write count as well."""
    match = re.search(r"^inactive_file (\d+)$", _text(folder / "memory.stat") or "", re.MULTILINE)
    return int(match[1]) if match else 0


def usable_threads(root: Path = _ROOT) -> int:
    """Physical cores that this process may run on, or fewer where a container's quota allows fewer; at least one."""
    allowed = _allowed_cpus()
    cores = {_siblings(root, cpu) for cpu in allowed} if allowed else set()
    num_cores = len(cores) or psutil.cpu_count(logical=False) or 1
    return max(1, min([num_cores, *_quotas(root)]))


def cpu_has_bfloat16(root: Path = _ROOT) -> bool:
    """Whether the CPU has bfloat16 arithmetic; without it bfloat16 is emulated and many times slower than float32."""
    match = re.search(r"^flags\s*:(.*)$", _text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return bool(match and _BFLOAT16_FLAGS & set(match[1].split()))


def cpu_label(root: Path = _ROOT) -> str:
    """The CPU's own name, or `CPU` where the system gives none."""
    match = re.search(r"^model name\s*:\s*(.+)$", _text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else "CPU"


def other_accelerators(root: Path = _ROOT) -> list[Accelerator]:
    """What this machine has that ftc doesn't train on, as far as that shows without its libraries."""
    here = (platform.system(), platform.machine())
    found = []
    for one in ACCELERATORS:
        texts = (_text(file) or "" for file in root.glob(one.nodes)) if one.nodes else ()
        if one.machine == here or any(re.search(one.sign, text, re.MULTILINE) for text in texts):
            found.append(one)
    return found


def _allowed_cpus() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _siblings(root: Path, cpu: int) -> str:
    """Names the core that a logical CPU belongs to; a CPU whose core is unknown counts as one of its own."""
    return _text(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or f"cpu{cpu}"


def _quotas(root: Path) -> list[int]:
    """CPUs that each control group grants, rounded up."""
    granted = []
    for folder in _groups(root):
        quota, _, period = (_text(folder / "cpu.max") or "max").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:
            granted.append(math.ceil(int(quota) / int(period)))
    return granted


def _group_limits(root: Path, name: str, old_name: str) -> list[int]:
    texts = [_text(folder / name) for folder in _groups(root)] + [_text(root / "sys/fs/cgroup" / old_name)]
    return [int(text) for text in texts if text and text.isdecimal() and int(text) > 0]


def _groups(root: Path) -> list[Path]:
    """The folder of this process's control group and those above it, the limits of all of which hold."""
    top = root / "sys/fs/cgroup"
    match = re.search(r"^0::/(.*)$", _text(root / "proc/self/cgroup") or "", re.MULTILINE)
    parts = [part for part in (match[1] if match else "").split("/") if part not in ("", "..")]
    return [top.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


_LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_NAME_BYTES = 96


class LocalCard(NamedTuple):
    """One card as the driver describes it."""

    label: str
    memory_bytes: int
    capability: tuple[int, int]


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class _NvmlError(Exception):
    """A call to the library failed."""


def local_cards(visible: str | None = None) -> list[LocalCard]:
    """The cards that CUDA would see, in its order; none without a driver.

    Args:
        visible: Content of `CUDA_VISIBLE_DEVICES`; None to look it up in the environment.
    """
    if visible is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return []
    try:
        with _session(library):
            return [_describe(library, handle) for handle in _handles(library, visible)]
    except (_NvmlError, AttributeError):  # a driver that is loaded but broken, or too old for a call
        return []


@contextmanager
def _session(library: ctypes.CDLL) -> Iterator[None]:
    _check(library.nvmlInit_v2())
    try:
        yield
    finally:
        library.nvmlShutdown()


def _check(status: int) -> None:
    if status != 0:
        raise _NvmlError(status)


def _handles(library: ctypes.CDLL, visible: str | None) -> Iterator[ctypes.c_void_p]:
    count = ctypes.c_uint()
    _check(library.nvmlDeviceGetCount_v2(ctypes.byref(count)))
    names = [str(index) for index in range(count.value)] if visible is None else visible.split(",")
    for name in (name.strip() for name in names):
        handle = ctypes.c_void_p()
        if name.isdecimal() and int(name) < count.value:
            _check(library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle)))
        elif not name.startswith(("GPU-", "MIG-")) or library.nvmlDeviceGetHandleByUUID(
            name.encode(), ctypes.byref(handle)
        ):
            return  # CUDA too ignores what follows a name that it doesn't know
        yield handle


def _describe(library: ctypes.CDLL, handle: ctypes.c_void_p) -> LocalCard:
    name, memory = ctypes.create_string_buffer(_NAME_BYTES), _Memory()
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library.nvmlDeviceGetName(handle, name, ctypes.c_uint(_NAME_BYTES)))
    _check(library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)))
    _check(library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor)))
    return LocalCard(name.value.decode("utf-8", "replace"), memory.total, (major.value, minor.value))
