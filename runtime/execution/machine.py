"""The machine as torch finds it: what bits depend on."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

from ftc.spec.documents.machine import ARITHMETIC_VARIABLES, MachineClass

__all__ = ["device_name", "machine_class"]

_VECTORS = re.compile(r"^(sse|ssse|avx|fma|f16c|amx|vnni|asimd|neon|sve|sme|bf16|fphp|i8mm|vsx)")


def machine_class(device: torch.device, num_processes: int) -> MachineClass:
    """The class of this machine, with the modes that are set now."""
    on_card = device.type == "cuda"
    return MachineClass(
        architecture=platform.machine().lower(),
        device=device_name(device),
        vector_flags=_vector_flags(),
        kernels=str(torch.backends.cpu.get_cpu_capability()),
        compute_capability=".".join(map(str, torch.cuda.get_device_capability(device))) if on_card else None,
        driver=_driver() if on_card else None,
        threads=torch.get_num_threads(),
        processes=num_processes,
        torch=f"{torch.__version__} {torch.version.git_version}",
        torch_build_sha256=hashlib.sha256(torch.__config__.show().encode()).hexdigest(),
        libraries=_libraries(),
        math=_math(),
        variables={name: os.environ[name] for name in ARITHMETIC_VARIABLES if name in os.environ},
    )


def device_name(device: torch.device) -> str:
    """The card's name, or the processor's."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    names = _cpu_info("model name")
    return names[0] if names else platform.processor() or platform.machine()


def _vector_flags() -> tuple[str, ...]:
    found = _cpu_info("flags") or _cpu_info("Features")
    return tuple(sorted(flag for flag in found[0].split() if _VECTORS.match(flag))) if found else ()


def _cpu_info(key: str) -> list[str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]


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


def _math() -> dict[str, str]:
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
    return {name: str(value).lower() for name, value in modes.items()}
