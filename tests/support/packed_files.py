"""Models in GPTQ's and AWQ's files, beside models with the numbers that these stand for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["GROUP", "packed_copies"]

GROUP = 16
"""Inputs that share a scale."""
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight outputs a word of AWQ's holds, from its lowest bits on."""


def packed_copies(source: Path, layout: str, bits: int = 4, *, mixed: bool = False) -> tuple[Path, Path]:
    """Two folders beside a model's: one with packed layers, one with the same numbers in float32.

    Args:
        source: A model's folder with one file of weights.
        layout: `gptq`, `gptq_v2` or `awq`.
        bits: Of a number.
        mixed: Whether groups are made of inputs far from each other, as `desc_act` makes them.
    """
    import torch
    from safetensors.torch import load_file, save_file

    stored: dict[str, torch.Tensor] = {}
    whole: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        whole[name] = tensor.float().contiguous()
        if not name.endswith("proj.weight"):
            stored[name] = whole[name]
            continue
        count = tensor.shape[1]
        group = torch.arange(count) // GROUP
        if mixed:
            group = group[torch.randperm(count, generator=torch.Generator().manual_seed(count))]
        levels, zeros, scales = _rounded(whole[name].T, group, bits)
        whole[name] = (scales[group] * (levels - zeros[group])).float().T.contiguous()
        layer = name.removesuffix(".weight")
        parts = _parts(levels, zeros, layout, bits) | {"scales": scales}
        parts |= {} if layout == "awq" else {"g_idx": group.to(torch.int32)}
        stored |= {f"{layer}.{part}": one.contiguous() for part, one in parts.items()}
    said: dict[str, Any] = {"bits": bits, "group_size": GROUP, "quant_method": layout.partition("_")[0]}
    said |= {"version": "gemm", "zero_point": True} if layout == "awq" else {"checkpoint_format": layout, "sym": False}
    said |= {"desc_act": mixed}
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    folders = source.with_name(f"{source.name}_{layout}"), source.with_name(f"{source.name}_{layout}_whole")
    for folder, tensors, more in zip(folders, (stored, whole), ({"quantization_config": said}, {}), strict=True):
        shutil.copytree(source, folder)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps({**config, **more}), encoding="utf-8")
    return folders


def _rounded(weight: torch.Tensor, group: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(inputs, outputs) of whole numbers, with a zero point, from 1 on, and a scale for each group and output."""
    import torch

    most, rows = 2**bits - 1, []
    for number in range(int(group.max()) + 1):
        part = weight[group == number]
        low, high = part.amin(0).clamp(max=-1e-4), part.amax(0).clamp(min=1e-4)
        scale = ((high - low) / most).half()
        rows.append((scale, torch.round(-low / scale.float()).clamp(1, most).to(torch.int32)))
    scales, zeros = (torch.stack(one) for one in zip(*rows, strict=True))
    levels = torch.round(weight / scales.float()[group] + zeros[group]).clamp(0, most).to(torch.int32)
    return levels, zeros, scales


def _parts(levels: torch.Tensor, zeros: torch.Tensor, layout: str, bits: int) -> dict[str, torch.Tensor]:
    """Words of whole numbers and of zero points."""
    if layout == "awq":
        return {"qweight": _words(levels, bits, _AWQ_ORDER), "qzeros": _words(zeros, bits, _AWQ_ORDER)}
    order = tuple(range(32 // bits))
    return {"qweight": _words(levels.T, bits, order).T, "qzeros": _words(zeros - int(layout == "gptq"), bits, order)}


def _words(numbers: torch.Tensor, bits: int, order: tuple[int, ...]) -> torch.Tensor:
    """(rows, columns) in words of 32 bits along the columns, in this order from the lowest bits on."""
    import torch

    cut = numbers.long().reshape(len(numbers), -1, len(order))
    words = torch.stack([cut[..., column] << (bits * place) for place, column in enumerate(order)]).sum(0)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
