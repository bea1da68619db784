"""Fused kernels of layers' parts, by the package liger-kernel: what each computes, and which model types have which.

The torch half is `ftc.runtime.models.fused_layers`. The output layer and its loss have a kernel there as well, which
isn't used: ftc's own loss in chunks (`train.loss_chunk_size`) holds as few scores, computes them for target tokens
alone, and takes weights, smoothing, teachers and losses of packages.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, NamedTuple

__all__ = [
    "EXTRA",
    "FUSED_KERNELS",
    "FUSED_TYPES",
    "LIGER",
    "AskedKernels",
    "FusedKernel",
    "FusedPart",
    "fused_kernel",
    "liger_parts",
]

AskedKernels = Literal["auto", "torch", "liger"]
"""What a recipe may ask for."""
FusedPart = Literal["norm", "rotation", "gate"]
"""A part of a layer that one kernel can compute."""

LIGER = "liger-kernel"
"""The package's name."""
EXTRA = "kernels"
"""Extra of ftc that brings it."""


class FusedKernel(NamedTuple):
    """A part of a layer, computed by one kernel in place of several of torch's.

    Attributes:
        part: Its name in plans.
        label: What a plan calls it.
        switches: Its names among the options of liger-kernel.
        changes_products: Whether it writes over what a linear layer gave.
        moves: Numbers that it reads and writes where torch's kernels move those of `ftc.compiler.time.operator_costs`:
            for both norms of a layer in widths of the model, for a rotation in widths of queries and keys, for a gate
            in widths of one of its two inputs.
        fewer_operations: Kernels that a layer launches less, forward and backward, of 42 and 73 in a Llama whose own
            weights are trained: counted at torch's dispatcher, with one for each that is fused.
    """

    part: FusedPart
    label: str
    switches: tuple[str, ...]
    changes_products: bool
    moves: float
    fewer_operations: tuple[int, int]


FUSED_KERNELS: tuple[FusedKernel, ...] = (
    FusedKernel(
        part="norm",
        label="norms",
        switches=("rms_norm",),
        changes_products=False,
        moves=8,
        fewer_operations=(14, 26),
    ),
    FusedKernel(
        part="rotation",
        label="rotations",
        switches=("rope",),
        changes_products=True,
        moves=2,
        fewer_operations=(9, 15),
    ),
    FusedKernel(
        part="gate",
        label="gated activations",
        switches=("swiglu", "geglu"),
        changes_products=False,
        moves=1.5,
        fewer_operations=(1, 2),
    ),
)
"""All of them."""

_ALL: tuple[FusedPart, ...] = ("norm", "rotation", "gate")
FUSED_TYPES: MappingProxyType[str, tuple[FusedPart, ...]] = MappingProxyType(
    {
        # Experts' own kernel isn't used: grouped products of torch compute them.
        **dict.fromkeys(("gpt_oss", "mixtral", "qwen3_moe"), ("norm", "rotation")),
        **dict.fromkeys(("deepseek_v2", "deepseek_v3"), ("norm",)),  # their rotation is interleaved
        "glm4": ("norm", "gate"),
        **dict.fromkeys(("exaone4", "gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral"), _ALL),
        **dict.fromkeys(("olmo2", "olmo3", "phi3", "qwen2", "qwen3", "smollm3"), _ALL),
    }
)
"""Parts of each model type's layers for which liger-kernel has kernels that ftc uses."""
_GATES = ("silu", "swish", "gelu_pytorch_tanh")
"""Activations that the kernels of gates compute."""


def fused_kernel(part: FusedPart) -> FusedKernel:
    """The card of a part."""
    return next(one for one in FUSED_KERNELS if one.part == part)


def liger_parts(model_type: str, activation: str | None) -> tuple[FusedPart, ...]:
    """Parts of a model type's layers for which liger-kernel has a kernel; empty for types that it doesn't know.

    Args:
        model_type: As config.json calls it.
        activation: Of the feed-forward part; None where it isn't known.
    """
    found = FUSED_TYPES.get(model_type, ())
    return tuple(part for part in found if part != "gate" or activation in _GATES)
