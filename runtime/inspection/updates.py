"""How far each weight moved, one after the other: exactly from an adapter's factors, else from both tensors.

An adapter's change is a product B A of thin matrices. Its singular values are those of the small product of both
triangular parts, so the large matrix is never built. Whatever an adapter began with (PiSSA, OLoRA) is subtracted in the
same way, as more columns of both factors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftc.runtime.artifacts.merged_weights import Unpack, unpacked
from ftc.runtime.models.base_model import FolderBase, load_base
from ftc.runtime.models.file_names import in_files
from ftc.runtime.models.packed_layers import PackedLinear
from ftc.runtime.strategies.ln_tuning import replaces_layer
from ftc.spec.documents.inspected import ModuleChange
from ftc.spec.documents.plan import Plan
from ftc.spec.module_names import embedding_part

__all__ = [
    "Factors",
    "Table",
    "adapter_changes",
    "base_weights",
    "first_factors",
    "stored_weights",
    "whole_changes",
]

_LARGEST_GRAM = 2048
"""Smaller side of a tensor up to which all singular values are computed: 3 seconds on one core, and 64 MiB."""
_POWER_STEPS = 50
_LAYER = re.compile(r"\.(\d+)\.")
_ADAPTER = "default"

Factors = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""Factors A (r, in) and B (out, r) by the name of their layer."""


@dataclass(frozen=True, slots=True)
class Table:
    """Token embeddings, one row a token.

    Attributes:
        distances: (V,) how far each moved.
        sizes: (V,) how long each was before.
    """

    distances: torch.Tensor
    sizes: torch.Tensor

    @classmethod
    def of(cls, moved: torch.Tensor, old: torch.Tensor) -> Table:
        """Of the change, or of one whose rows are as long, and the table before."""
        return cls(moved.norm(dim=1), old.float().norm(dim=1))


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What is said of a change, as of `ModuleChange`."""

    update_norm: float | None
    spectral_norm: float | None = None
    stable_rank: float | None = None
    effective_rank: float | None = None
    rank_limit: int | None = None


def first_factors(model: nn.Module) -> Factors:
    """An adapter's factors before the first step, where their product isn't zero; of LoRA's usual start it is."""
    found = {name: _factors(layer) for name, layer in _low_rank(model)}
    return {name: (a.clone(), b.clone()) for name, (a, b) in found.items() if bool(a.any()) and bool(b.any())}


def adapter_changes(model: Any, before: Factors) -> Iterator[tuple[ModuleChange, Table | None]]:
    """Each change of a model with its adapter, and of token embeddings how far each token moved.

    Args:
        model: peft's model with what was trained.
        before: What the factors were, by `first_factors`.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import ModulesToSaveWrapper

    packed = unpacked(model)
    for name, layer in model.named_modules():
        plain = name.removeprefix("base_model.model.")
        if isinstance(layer, ModulesToSaveWrapper):
            trained = dict(layer.modules_to_save[_ADAPTER].named_parameters())
            for part, old in layer.original_module.named_parameters():
                moved = trained[part].detach().float() - old.detach().float()
                yield _dense(plain, part, moved, old), _table(layer.original_module, part, moved, old)
        elif not isinstance(layer, BaseTunerLayer) or not hasattr(layer, "base_layer"):
            continue
        elif replaces_layer(layer):
            for part, old in layer.get_base_layer().named_parameters():
                norms: Any = layer
                new = getattr(norms.ln_tuning_layers[_ADAPTER], part)
                yield _dense(plain, part, new.detach().float() - old.detach().float(), old), None
        elif (parameter := getattr(layer, "parameter_name", None)) is not None:  # experts, one adapter within another
            of_experts: Any = layer
            moved, old = _moved_experts(of_experts, before.get(name)), of_experts.get_param().detach()
            yield _dense(plain.replace(".base_layer", ""), parameter, moved, old), None
        elif _is_low_rank(layer) and not _has_magnitudes(layer):
            yield _of_factors(plain, layer, before.get(name), packed)
        else:
            weight = _weight(plain, layer, packed)
            moved = _moved(layer, weight, before.get(name))
            yield _dense(plain, "weight", moved, weight), _table(layer.get_base_layer(), "weight", moved, weight)


def stored_weights(base: Path, files: list[str]) -> dict[str, Callable[[], torch.Tensor]]:
    """What reads each of a model's weights, by their names in its files."""
    from safetensors import safe_open

    def read(file: str, name: str) -> torch.Tensor:
        with safe_open(base / file, framework="pt") as source:
            return torch.as_tensor(source.get_tensor(name))

    places: dict[str, Callable[[], torch.Tensor]] = {}
    for file in files:
        with safe_open(base / file, framework="pt") as opened:
            places |= {name: partial(read, file, name) for name in opened.keys()}  # noqa: SIM118 - it is no dictionary
    return places


def base_weights(plan: Plan, base: Path) -> dict[str, Callable[[], torch.Tensor]]:
    """The same of a plan's base model; files that hold quantized weights are loaded as the run loaded them."""
    if plan.settings.model.quantized_files is None:
        return stored_weights(base, sorted(name for name in plan.lock.model.files if name.endswith(".safetensors")))
    model = load_base(plan.settings, FolderBase(base), dtype=torch.float32)
    return {name: partial(torch.as_tensor, one) for name, one in in_files(model, model.state_dict()).items()}


def whole_changes(
    places: Mapping[str, Callable[[], torch.Tensor]], tuned: Path
) -> Iterator[tuple[ModuleChange, Table | None]]:
    """Each change of a model that was written whole, by the names of its weights in files.

    Args:
        places: What reads each of the base model's weights.
        tuned: The file of the tuned model's.
    """
    from safetensors import safe_open

    prefixes = sorted({name.partition(".")[0] for name in places})
    with safe_open(tuned, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118 - it is no dictionary
            new = opened.get_tensor(name)
            if not new.is_floating_point():
                continue
            module, _, part = name.rpartition(".")
            # A base without a head may have no prefix before its names, or one that this model has not.
            known = (name, name.partition(".")[2], *(f"{prefix}.{name}" for prefix in prefixes))
            key = next((one for one in known if one in places), None)
            old = places[key]() if key is not None else None
            if old is None or old.shape != new.shape:
                yield _new(module, part, new), None
                continue
            moved = new.float() - old.float()
            is_table = embedding_part(name) is not None and moved.ndim == 2
            yield _dense(module, part, moved, old), Table.of(moved, old) if is_table else None


def _low_rank(model: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, layer) for name, layer in model.named_modules() if _is_low_rank(layer))


def _is_low_rank(layer: Any) -> bool:
    return _ADAPTER in getattr(layer, "lora_A", {}) or _ADAPTER in getattr(layer, "lora_embedding_A", {})


def _has_magnitudes(layer: Any) -> bool:
    return _ADAPTER in getattr(layer, "lora_magnitude_vector", {})


def _factors(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B in float64; of embeddings, which peft keeps as tables, likewise."""
    if _ADAPTER in layer.lora_A:
        a, b = layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight
    else:
        a, b = layer.lora_embedding_A[_ADAPTER], layer.lora_embedding_B[_ADAPTER]
    return a.detach().double(), b.detach().double()


def _weight(name: str, layer: Any, packed: Mapping[str, Unpack]) -> torch.Tensor:
    """A layer's own weight, unpacked where it is kept in few bits."""
    if isinstance(layer.get_base_layer(), PackedLinear):
        whole: torch.Tensor = layer.get_base_layer().numbers(torch.float32).T
        return whole
    make = packed.get(f"{name}.weight")
    return layer.get_base_layer().weight.detach() if make is None else make().detach()


def _of_factors(
    name: str, layer: Any, before: tuple[torch.Tensor, torch.Tensor] | None, packed: Mapping[str, Unpack]
) -> tuple[ModuleChange, Table | None]:
    """The change of a layer with LoRA, without building it; of an embedding the distances of its tokens as well."""
    a, b = _factors(layer)
    limit = a.shape[0]
    if before is not None:  # s (B A - B0 A0) is one product of twice the rank
        a, b = torch.cat([a, before[0]]), torch.cat([b, -before[1]], dim=1)
    right = torch.linalg.qr(a.T).R
    left = torch.linalg.qr(b).R
    values = torch.linalg.svdvals(left @ right.T) * abs(layer.scaling[_ADAPTER])
    weight = _weight(name, layer, packed)
    change = _change(name, "weight", "factors", weight, _by_values(values, limit if before is None else len(a)))
    # Rows of A's transposed times the triangular part are as long as those of the product.
    return change, _table(layer.get_base_layer(), "weight", (a.T @ left.T).float() * layer.scaling[_ADAPTER], weight)


def _moved(layer: Any, weight: torch.Tensor, before: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
    """The change of one layer as a whole tensor, where it is no plain product."""
    if _has_magnitudes(layer):
        a, b = _factors(layer)
        is_turned = weight.shape != (len(b), a.shape[1])  # of embeddings, and of layers that keep it so
        start, scale = (weight.T if is_turned else weight).float(), layer.scaling[_ADAPTER]
        summed = start + (b @ a).float() * scale
        whole = summed * (layer.lora_magnitude_vector[_ADAPTER].weight.detach().float() / summed.norm(dim=1))[:, None]
        moved: torch.Tensor = whole - (start if before is None else start + (before[1] @ before[0]).float() * scale)
        return moved.T if is_turned else moved
    base: Any = layer.get_base_layer()
    kept = base.weight.data
    base.weight.data = weight.clone()
    try:
        layer.merge(safe_merge=True)  # refuses weights that aren't finite
        change: torch.Tensor = base.weight.data.float() - weight.float()
    finally:
        layer.merged_adapters.clear()
        base.weight.data = kept
    return change


def _moved_experts(layer: Any, before: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
    """The change of all experts of a layer in one tensor, in the order of which peft alone knows."""
    moved: torch.Tensor = layer.get_delta_weight(_ADAPTER).detach().float()
    if before is None:
        return moved
    halves = layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight
    trained = [one.data for one in halves]
    try:
        for half, first in zip(halves, before, strict=True):
            half.data = first.to(half.dtype)
        return moved.sub_(layer.get_delta_weight(_ADAPTER).detach().float())
    finally:
        for half, data in zip(halves, trained, strict=True):
            half.data = data


def _table(layer: nn.Module, part: str, moved: torch.Tensor, old: torch.Tensor) -> Table | None:
    return Table.of(moved, old) if isinstance(layer, nn.Embedding) and part == "weight" and moved.ndim == 2 else None


def _new(module: str, part: str, tensor: torch.Tensor) -> ModuleChange:
    return _change(module, part, "new", tensor, _Numbers(None))


def _dense(module: str, part: str, moved: torch.Tensor, old: torch.Tensor) -> ModuleChange:
    """The change of a whole tensor. Of more than two sides all but the first count as one."""
    if moved.ndim < 2 or min(moved.shape) < 2:
        return _change(module, part, "dense", old, _Numbers(float(moved.norm())))
    matrix = moved.flatten(1)
    if len(matrix) > matrix.shape[1]:
        matrix = matrix.T
    limit = len(matrix)
    if limit <= _LARGEST_GRAM:
        gram = matrix.double() @ matrix.double().T
        values = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
        return _change(module, part, "dense", old, _by_values(values, limit))
    norm, largest = float(matrix.norm()), _largest(matrix)
    stable = (norm / largest) ** 2 if largest else None
    return _change(module, part, "dense", old, _Numbers(norm, largest, stable, None, limit))


def _largest(matrix: torch.Tensor) -> float:
    """The largest singular value, by power iteration from a fixed start."""
    vector = torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(0), dtype=matrix.dtype)
    value = 0.0
    for _ in range(_POWER_STEPS):
        image = matrix @ (vector / vector.norm())
        value = float(image.norm())
        if not value:
            return 0.0
        vector = matrix.T @ image
    return value


def _by_values(values: torch.Tensor, limit: int) -> _Numbers:
    total, largest = float(values.sum()), float(values.max())
    norm = float(values.norm())
    if not total:
        return _Numbers(0.0, 0.0, None, None, limit)
    shares = values / total
    entropy = -float((shares * shares.clamp_min(1e-300).log()).sum())
    return _Numbers(norm, largest, (norm / largest) ** 2, math.exp(entropy), limit)


def _change(module: str, part: str, kind: Any, weight: torch.Tensor, numbers: _Numbers) -> ModuleChange:
    found = _LAYER.search(f".{module}.")
    return ModuleChange(
        name=module if part == "weight" else f"{module}.{part}",
        layer=int(found[1]) if found else None,
        module=module.rpartition(".")[2] + ("" if part == "weight" else f".{part}"),
        kind=kind,
        parameters=weight.numel(),
        update_norm=numbers.update_norm,
        base_norm=None if kind == "new" else float(weight.float().norm()),
        spectral_norm=numbers.spectral_norm,
        stable_rank=numbers.stable_rank,
        effective_rank=numbers.effective_rank,
        rank_limit=numbers.rank_limit,
    )
