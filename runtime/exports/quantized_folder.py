"""Weights of linear layers in 8 bits and fewer, as a folder of safetensors that transformers and torchao read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ftc.runtime.artifacts.merged_weights import MergedWeights, NotFinite
from ftc.runtime.artifacts.model_files import write_model_files
from ftc.runtime.artifacts.shards import write_shards
from ftc.runtime.models.file_names import names_in_files
from ftc.runtime.models.quantized_layers import (
    flattened,
    linear_layers,
    quantized,
    quiet_torchao,
    torchao_config,
    unpack_layers,
)
from ftc.spec.diagnostics import Refusal, diagnostic

if TYPE_CHECKING:
    from pathlib import Path

    from ftc.runtime.execution.session import Session
    from ftc.spec.quantized_weights import QuantizedWeights

__all__ = ["require_rounded", "write_quantized"]

_OTHERS = torch.bfloat16
"""The type of all other weights, and in which quantized ones are multiplied out."""
_SLACK = 1.001
"""What a CPU's own rounding of float32 adds to a rounding error."""


def write_quantized(
    session: Session, model: Any, card: QuantizedWeights, group_size: int | None, shard_bytes: int, folder: Path
) -> str:
    """Writes weights, configuration and tokenizer.

    Args:
        session: The run's.
        model: The whole model in float32; weights of layers that are quantized stay in it.
        card: Kind of the weights.
        group_size: Weights that share a scale; None where all of a row do.
        shard_bytes: Most bytes of weights in one file.
        folder: Where.

    Returns:
        What became of the layers, in words.

    Raises:
        NotFinite: A weight is no number.
        Refusal: No layer can be quantized (FTC666), or a key of the base's configuration can't be kept (FTC665).
    """
    layers = linear_layers(model, group_size)
    if not layers:
        rows = f" with rows of a multiple of {group_size} weights" if group_size else ""
        note = f"torchao quantizes the linear layers inside a model's layers, and this one has none{rows}"
        help = "export it with `--type bf16`"
        summary = f"run `{session.state.record.id}` can't be exported in {card.kind}"
        raise Refusal([diagnostic("FTC666", summary, notes=note, help=help)])
    config, names = torchao_config(card, group_size), names_in_files(model)
    own = {names.get(f"{name}.weight", f"{name}.weight"): layer.weight for name, layer in layers.items()}
    plain = MergedWeights.whole(model, _OTHERS)
    parts, entries = dict[str, torch.Tensor](), dict[str, str]()
    for name in plain.forms:
        session.stop.check()
        if name in own and not own[name].isfinite().all():
            raise NotFinite(name)
        made = quantized(own[name], config, _OTHERS) if name in own else plain(name)
        tensors, entries[name] = flattened(name, made)
        parts |= tensors
    forms = {name: (tensor.dtype, tensor.shape) for name, tensor in parts.items()}
    header = {**entries, "tensor_names": json.dumps([*entries])}  # in each file: readers see the last one's alone
    write_shards(session, forms, parts.__getitem__, header, shard_bytes, folder)
    linear = [name for name, one in model.named_modules() if isinstance(one, nn.Linear)]
    with quiet_torchao():
        from transformers import TorchAoConfig

        left = sorted(name for name in linear if name not in layers)
        model.config.quantization_config = TorchAoConfig(config, modules_to_not_convert=left)
    model.config.dtype = _OTHERS
    write_model_files(session, model, folder)
    return _words(card, group_size, len(layers), len(linear))


def _words(card: QuantizedWeights, group_size: int | None, count: int, all_linear: int) -> str:
    scale = f"each {group_size} weights share a scale" if group_size else "each row has a scale"
    words = f"{count} of {all_linear} linear layers have weights in {card.kind}, and {scale}; all else is in bfloat16"
    if card.stored_bits == card.bits:
        return words
    packed = f"torchao packs {card.bits} bits for kernels of GPUs alone"
    return f"{words}. {packed}, so that a weight takes {card.stored_bits} bits in the file"


def require_rounded(model: nn.Module, whole: nn.Module, card: QuantizedWeights) -> None:
    """Lets pass a model whose quantized weights, as read from its file, are the others but for rounding.

    It is given the numbers that they stand for.

    Args:
        model: The model of the file.
        whole: The same with the weights from which they were made.
        card: Kind of the weights, which says how far rounding reaches.

    Raises:
        Refusal: One is further away (FTC669).
    """
    for name, scales in unpack_layers(model).items():
        wanted, found = whole.get_parameter(f"{name}.weight"), model.get_parameter(f"{name}.weight")
        allowed = card.worst * scales
        if card.rounds == "by the number":
            allowed = torch.maximum(card.worst * wanted.abs(), card.smallest * scales)
        if not ((wanted - found).abs() <= _SLACK * allowed).all():
            summary = f"`{name}.weight` of the exported folder is further from the tuned one than rounding explains"
            help = "use the model with transformers: `ftc run merge` writes its folder"
            raise Refusal([diagnostic("FTC669", summary, notes="nothing was kept", help=help)])
