"""Accelerators that ftc doesn't train on, for findings where somebody names or has one."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["ACCELERATORS", "Accelerator", "accelerator_named"]


class Accelerator(NamedTuple):
    """One kind of accelerator.

    Attributes:
        name: What PyTorch calls it.
        label: Name for people.
        words: Regular expression of what people write as the device.
        nodes: Pattern of files below `/`, each about one device, on Linux; empty where a file shows nothing.
        sign: Regular expression of what such a file says of the accelerator.
        machine: System and CPU that come with one, as `platform` names them; None where these tell nothing.
    """

    name: str
    label: str
    words: str
    nodes: str
    sign: str
    machine: tuple[str, str] | None


ACCELERATORS: tuple[Accelerator, ...] = (
    Accelerator(
        name="rocm",
        label="an AMD GPU (ROCm)",
        words=r"amd.*|rocm|hip|radeon.*|instinct.*|mi-?\d{2,3}[a-z]*|rx-?\d{4}.*",
        nodes="sys/class/kfd/kfd/topology/nodes/*/properties",  # the driver's list of processors, CPUs among them
        sign=r"^simd_count [1-9]",
        machine=None,
    ),
    Accelerator(
        name="xpu",
        label="an Intel GPU (XPU)",
        words=r"xpu|intel.*|(intel-)?arc-.*|data-center-gpu-.*|ponte-vecchio",
        nodes="",  # drivers list a laptop's graphics and a card alike
        sign="",
        machine=None,
    ),
    Accelerator(
        name="hpu",
        label="an Intel Gaudi (HPU)",
        words=r"hpu|gaudi.*",
        nodes="",
        sign="",
        machine=None,
    ),
    Accelerator(
        name="mps",
        label="an Apple GPU (MPS)",
        words=r"mps|metal|apple.*|m[1-9](-?(pro|max|ultra))?",
        nodes="",
        sign="",
        machine=("Darwin", "arm64"),
    ),
    Accelerator(name="xla", label="a TPU", words=r"xla|tpu.*|v[2-7][ep]?(-\d+)?", nodes="", sign="", machine=None),
)


def accelerator_named(word: str) -> Accelerator | None:
    """The accelerator that somebody means by a device's name; None for any other word."""
    plain = re.sub(r"[\s_]+", "-", word.strip().lower())
    return next((one for one in ACCELERATORS if re.fullmatch(one.words, plain)), None)
