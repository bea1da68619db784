"""GPTQ's and AWQ's files, whose weights stay as they are in memory: what layers they hold, and whether all parts fit.

A layer has its whole numbers in words of 32 bits (`qweight`), a zero point (`qzeros`) and a scale (`scales`) for each
output of each group of inputs, and in GPTQ's files the group of each input (`g_idx`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ftc.spec.documents.facts import TensorFacts
from ftc.spec.documents.packed_weights import Layout, PackedWeights, behind_number
from ftc.spec.language.safe_repr import quoted

__all__ = ["Packing", "Unreadable", "packed_layers", "packing_of"]

_LAYOUTS: Mapping[str, Mapping[str, Layout]] = {
    "gptq": {"gptq": "gptq", "gptq_v2": "gptq_v2"},
    "awq": {"gemm": "awq"},
}
"""Layouts by what config.json calls them."""
_BITS: Mapping[str, tuple[int, ...]] = {"gptq": (4, 8), "awq": (4,)}
_WORD = 32
_PARTS = (".qweight", ".qzeros", ".scales", ".g_idx")
_HALF = "F16"
"""Type of weights that are multiplied out."""


class Unreadable(ValueError):
    """Stored tensors that are not what config.json says of them; the message says why."""


class Packing(NamedTuple):
    """How config.json says that layers are packed."""

    layout: Layout
    bits: Literal[4, 8]
    group_size: int | None


def packing_of(said: Mapping[str, Any], method: str) -> Packing:
    """How a model's layers are packed, by `quantization_config`.

    Raises:
        Unreadable: In a way that ftc doesn't load.
    """
    named = (said.get(key) for key in ("version", "checkpoint_format", "format"))
    name = str(next((one for one in named if one is not None), next(iter(_LAYOUTS[method])))).lower()
    layout = _LAYOUTS[method].get(name)
    if layout is None or said.get("is_marlin_format") or said.get("backend") == "llm-awq":
        known = " or ".join(f"`{one}`" for one in _LAYOUTS[method])
        raise Unreadable(f"the layout is {quoted(name)}, or one of another kernel; ftc loads {known}")
    bits, size = (next((said[key] for key in keys if key in said), None) for keys in _SIZES)
    if type(bits) is not int or bits not in _BITS[method]:
        raise Unreadable(
            f"its weights have {quoted(str(bits))} bits; ftc loads {' and '.join(map(str, _BITS[method]))}"
        )
    if type(size) is not int or not (size == -1 or size > 0):
        raise Unreadable(f"`group_size` is {quoted(str(size))}, neither -1 nor a number of inputs")
    if method == "awq" and said.get("zero_point", True) is not True:
        raise Unreadable("it has no zero points")
    if others := [key for key in ("dynamic", "rotation") if said.get(key)]:
        raise Unreadable(f"`{others[0]}` has layers that differ from what config.json says of all")
    return Packing(layout, 8 if bits == 8 else 4, None if size == -1 else size)


_SIZES = (("bits", "w_bit"), ("group_size", "q_group_size"))


def packed_layers(tensors: Mapping[str, TensorFacts], packing: Packing) -> tuple[dict[str, TensorFacts], PackedWeights]:
    """Weights as if they were whole, and which of them are packed.

    Args:
        tensors: Every stored tensor by its name.
        packing: How layers are packed.

    Raises:
        Unreadable: A layer lacks a part, parts contradict each other, or layers differ.
    """
    whole = {name: one for name, one in tensors.items() if not name.endswith(_PARTS)}
    modules = set[str]()
    for name in tensors:
        layer, _, part = name.rpartition(".")
        if part == "qweight":
            inputs, outputs = _sizes(layer, tensors, packing)
            if not (end := behind_number(layer)):
                raise Unreadable(f"`{layer}` is packed, and no layer of a block; transformers packs those alone")
            whole[f"{layer}.weight"] = TensorFacts(dtype=_HALF, shape=(outputs, inputs))
            modules.add(end)
        elif f".{part}" in _PARTS and f"{layer}.qweight" not in tensors:
            raise Unreadable(f"`{name}` belongs to no `qweight`")
    if not modules:
        raise Unreadable("config.json says that layers are packed, but no tensor is stored so")
    held = PackedWeights(
        layout=packing.layout, bits=packing.bits, group_size=packing.group_size, modules=tuple(sorted(modules))
    )
    plain = (name.removesuffix(".weight") for name in tensors if name.endswith(".weight"))
    if (other := next((name for name in plain if held.holds(name)), None)) is not None:
        raise Unreadable(f"`{other}` isn't packed, though it is in other blocks")
    return whole, held


def _sizes(layer: str, tensors: Mapping[str, TensorFacts], packing: Packing) -> tuple[int, int]:
    """(inputs, outputs) of a layer all of whose parts fit."""
    words = tensors[f"{layer}.qweight"]
    each = _WORD // packing.bits
    if len(words.shape) != 2 or words.dtype != "I32" or 0 in words.shape:
        raise Unreadable(f"`{layer}.qweight` is no matrix of words of 32 bits")
    rows, columns = words.shape
    inputs, outputs = (rows, columns * each) if packing.layout == "awq" else (rows * each, columns)
    size = packing.group_size or inputs
    groups = -(-inputs // size)
    wanted: dict[str, tuple[int, ...]] = {"qzeros": (groups, -(-outputs // each)), "scales": (groups, outputs)}
    if packing.layout != "awq":
        wanted["g_idx"] = (inputs,)
    elif inputs % size:
        raise Unreadable(f"the {inputs} inputs of `{layer}` aren't cut evenly into groups of {size}")
    if outputs % each:
        raise Unreadable(f"the {outputs} outputs of `{layer}` don't fill words of {each} numbers")
    for part, shape in wanted.items():
        if (found := tensors.get(f"{layer}.{part}")) is None:
            raise Unreadable(f"`{layer}` has no `{part}`")
        if found.shape != shape:
            was, should = (" x ".join(map(str, one)) for one in (found.shape, shape))
            raise Unreadable(f"`{layer}.{part}` is {was}, and its `qweight` calls for {should}")
        kinds = ("F16", "BF16", "F32") if part == "scales" else ("I32",)
        if found.dtype not in kinds:
            raise Unreadable(f"`{layer}.{part}` is stored as {found.dtype} instead of {kinds[0]}")
    return inputs, outputs
