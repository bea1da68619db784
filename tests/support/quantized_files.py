"""Models whose files hold quantized weights, beside models with the very numbers that these stand for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

__all__ = ["QUANTIZERS", "Quantizer", "quantized_copies"]


class Quantizer(NamedTuple):
    """A way to write quantized files.

    Attributes:
        config: `quantization_config` in config.json.
        takes: Whether a weight is quantized, by its name and shape.
        stored: Tensors by the end of their names, and the numbers that they stand for.
    """

    config: dict[str, Any]
    takes: Callable[[str, tuple[int, ...]], bool]
    stored: Callable[[torch.Tensor], tuple[dict[str, torch.Tensor], torch.Tensor]]


def quantized_copies(source: Path, name: str) -> tuple[Path, Path]:
    """Two folders beside a model's: one with quantized files, one with the same numbers as float32.

    Args:
        source: A model's folder with one file of weights.
        name: A key of `QUANTIZERS`.
    """
    from safetensors.torch import load_file, save_file

    way = QUANTIZERS[name]
    packed_folder, whole_folder = (source.with_name(f"{source.name}_{end}") for end in (name, f"{name}_whole"))
    packed: dict[str, torch.Tensor] = {}
    whole: dict[str, torch.Tensor] = {}
    for key, tensor in load_file(source / "model.safetensors").items():
        whole[key] = tensor.float().contiguous()
        if not way.takes(key, tuple(tensor.shape)):
            packed[key] = whole[key]
            continue
        parts, numbers = way.stored(tensor.float())
        whole[key] = numbers.contiguous()
        packed |= {f"{key}{end}": part.contiguous() for end, part in parts.items()}
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    for folder, tensors, more in (
        (packed_folder, packed, {"quantization_config": way.config}),
        (whole_folder, whole, {}),
    ):
        shutil.copytree(source, folder)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps({**config, **more}), encoding="utf-8")
    return packed_folder, whole_folder


def _is_layer(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and name.endswith("proj.weight")


def _is_expert(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(("experts.gate_up_proj", "experts.down_proj"))


_BLOCK = 8
_GROUP = 8


def _in_blocks(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """FP8 with a scale for each block of 8 rows and columns."""
    import torch

    rows, columns = weight.shape
    blocks = weight.view(rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    scales = blocks.abs().amax((1, 3), keepdim=True) / 448
    eight = (blocks / scales).to(torch.float8_e4m3fn)
    numbers = (eight.float() * scales).view(rows, columns)
    return {"": eight.view(rows, columns), "_scale_inv": scales.view(rows // _BLOCK, columns // _BLOCK)}, numbers


_FOUR_BITS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def _in_four_bits(experts: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """MXFP4 of (experts, inputs, outputs): here 8 inputs share a power of two."""
    import torch

    turned = experts.mT
    blocks = turned.reshape(*turned.shape[:2], -1, _GROUP)
    exponents = torch.floor(torch.log2(blocks.abs().amax(-1).clamp(min=1e-9))) - 2
    levels = torch.tensor([*_FOUR_BITS, *(-one for one in _FOUR_BITS)])
    codes = (blocks / torch.exp2(exponents)[..., None])[..., None].sub(levels).abs().argmin(-1)
    numbers = (levels[codes] * torch.exp2(exponents)[..., None]).reshape(turned.shape).mT
    pairs = (codes[..., 0::2] | (codes[..., 1::2] << 4)).to(torch.uint8)
    return {"_blocks": pairs, "_scales": (exponents + 127).to(torch.uint8)}, numbers


def _in_rows(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """FP8 with a scale for each row."""
    import torch

    scales = weight.abs().amax(1, keepdim=True) / 448
    eight = (weight / scales).to(torch.float8_e4m3fn)
    return {"": eight, "_scale": scales}, eight.float() * scales


def _in_words(weight: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Whole numbers of 4 bits, eight to a word, with a scale for 8 of a row."""
    import torch
    from compressed_tensors.compressors.pack_quantized import helpers

    rows, columns = weight.shape
    groups = weight.view(rows, columns // _GROUP, _GROUP)
    scales = groups.abs().amax(2, keepdim=True) / 7
    four = torch.round(groups / scales).clamp(-8, 7)
    parts = {
        "_packed": helpers.pack_to_int32(four.view(rows, columns).to(torch.int8), 4),
        "_scale": scales.view(rows, columns // _GROUP),
        "_shape": torch.tensor([rows, columns]),
    }
    return parts, (four * scales).view(rows, columns)


def _scheme(form: str, **weights: Any) -> dict[str, Any]:
    said = {"symmetric": True, "dynamic": False, **weights}
    groups = {"group_0": {"targets": ["Linear"], "weights": said, "format": form}}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": groups,
        "ignore": ["lm_head"],
        "quantization_status": "compressed",
    }


QUANTIZERS = {
    "fp8": Quantizer(
        config={"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [_BLOCK, _BLOCK]},
        takes=_is_layer,
        stored=_in_blocks,
    ),
    "mxfp4": Quantizer(
        config={"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]},
        takes=_is_expert,
        stored=_in_four_bits,
    ),
    "compressed_fp8": Quantizer(
        config=_scheme("float-quantized", num_bits=8, type="float", strategy="channel"),
        takes=_is_layer,
        stored=_in_rows,
    ),
    "compressed_int4": Quantizer(
        config=_scheme("pack-quantized", num_bits=4, type="int", strategy="group", group_size=_GROUP),
        takes=_is_layer,
        stored=_in_words,
    ),
}
