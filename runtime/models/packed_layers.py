"""Linear layers that keep the weights of GPTQ's and AWQ's files as these hold them: frozen, beside an adapter.

A weight is multiplied out for each product and freed again, in the backward pass too, so that memory never holds
more than one. The arithmetic is that of the loaders which these files are made for: a number less its zero point, times
its scale, rounded to float16, and then in the type of the product.
"""

# pyright: reportIncompatibleMethodOverride=false
# transformers' quantizer declares no result for what its subclasses answer with.
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftc.spec.documents.packed_weights import PackedWeights

__all__ = ["PackedLinear", "exchange_no_packed", "load_packed", "operand", "pack_layers", "packed_buffers"]

_METHOD = "ftc-packed"
_OF_LOADING = ("attn_implementation", "dtype", "local_files_only", "use_safetensors")
"""Options of loading; all others are values of the model's configuration."""


class PackedLinear(nn.Linear):
    """A frozen linear layer with packed weights."""

    qweight: torch.Tensor
    qzeros: torch.Tensor
    scales: torch.Tensor
    g_idx: torch.Tensor

    def __init__(self, packed: PackedWeights, inputs: int, outputs: int, bias: nn.Parameter | None) -> None:
        nn.Module.__init__(self)  # a weight in full is what this layer avoids
        self.in_features, self.out_features = inputs, outputs
        self.register_parameter("weight", None)
        self.register_parameter("bias", bias)
        self._layout, self._bits = packed.layout, packed.bits
        self._size = packed.group_size or inputs
        self._along_inputs = packed.layout != "awq"
        each, groups = 32 // packed.bits, packed.groups(inputs)
        words = (inputs // each, outputs) if self._along_inputs else (inputs, outputs // each)
        self.register_buffer("qweight", torch.zeros(words, dtype=torch.int32))
        self.register_buffer("qzeros", torch.zeros(groups, outputs // each, dtype=torch.int32))
        self.register_buffer("scales", torch.zeros(groups, outputs, dtype=torch.float16))
        if self._along_inputs:
            self.register_buffer("g_idx", torch.zeros(inputs, dtype=torch.int32))
        self.compute_dtype = torch.float16  # in which peft draws an adapter beside it, as beside others' layers
        self._is_hf_initialized = True  # so that transformers draws nothing here

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        product: torch.Tensor = _Product.apply(operand(given), self)  # type: ignore[no-untyped-call]
        return product

    def numbers(self, dtype: torch.dtype) -> torch.Tensor:
        """(inputs, outputs) of the weight, multiplied out."""
        levels = self._unpacked(self.qweight, along_rows=self._along_inputs)
        zeros = self._unpacked(self.qzeros, along_rows=False)
        if self._layout == "gptq":
            zeros = (zeros + 1).bitwise_and_(2**self._bits - 1)
        if self._along_inputs:
            group = self.g_idx.long()
        else:
            group = torch.arange(self.in_features, device=levels.device) // self._size
        levels -= zeros[group]
        scaled = self.scales[group]
        scaled *= levels
        del levels
        return scaled.to(dtype)

    def _unpacked(self, words: torch.Tensor, *, along_rows: bool) -> torch.Tensor:
        """The whole numbers in words of 32 bits."""
        places = torch.arange(32 // self._bits, device=words.device, dtype=torch.int32)
        if self._layout == "awq":  # 0, 4, 1, 5, ...: where the numbers of eight outputs lie
            places = places // 2 + places % 2 * 4
        shifts = places * self._bits
        if along_rows:
            wide = words.unsqueeze(1) >> shifts[None, :, None]
            wide = wide.flatten(0, 1)
        else:
            wide = (words.unsqueeze(-1) >> shifts).flatten(-2)
        wide &= 2**self._bits - 1
        return wide.to(torch.int8 if self._bits == 4 else torch.int16)


def operand(given: torch.Tensor) -> torch.Tensor:
    """What autocast makes of a product's operand; nothing of meta tensors, where the trace puts its own in place."""
    kind = given.device.type
    if given.is_meta or not torch.is_autocast_enabled(kind):
        return given
    return given.to(torch.get_autocast_dtype(kind))


class _Product(torch.autograd.Function):
    """A product with a packed weight, which the backward pass multiplies out once more."""

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, layer: PackedLinear) -> torch.Tensor:
        """The layer's output."""
        ctx.layer = layer
        output = given @ layer.numbers(given.dtype)
        if layer.bias is not None:
            output += layer.bias.to(output.dtype)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, None]:
        """The gradient of the input; a frozen layer has no other."""
        (grad,) = grads
        return grad @ ctx.layer.numbers(grad.dtype).T, None


def pack_layers(model: nn.Module, packed: PackedWeights) -> None:
    """Replaces the linear layers that a model's files hold packed, by layers without values yet."""
    found = [(n, one) for n, one in model.named_modules() if type(one) is nn.Linear and packed.holds(n)]
    for name, layer in found:
        with layer.weight.device:
            new = PackedLinear(packed, layer.in_features, layer.out_features, layer.bias)
        model.set_submodule(name, new)


def packed_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """What packed layers hold, by full name."""
    layers = [(name, one) for name, one in model.named_modules() if isinstance(one, PackedLinear)]
    return {f"{name}.{part}": held for name, layer in layers for part, held in layer.named_buffers()}


def exchange_no_packed(model: nn.Module) -> None:
    """Has torch's DistributedDataParallel leave packed layers alone; it would send all that they hold before each step.

    Each process has read them from files with the plan's digests. Buffers of other layers are exchanged as ever: there
    is no option for that which both torch 2.10 and 2.13 take without a warning.
    """
    if names := [*packed_buffers(model)]:
        nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)


def load_packed(kind: Any, folder: Path, options: dict[str, Any], packed: PackedWeights) -> Any:
    """A model whose layers keep what its safetensors files hold.

    Args:
        kind: One of transformers' Auto classes.
        folder: Where the files lie.
        options: Of `from_pretrained`.
        packed: Which layers, and how.
    """
    from transformers import AutoConfig

    _register()
    if (config := options.pop("config", None)) is None:
        values = {key: options.pop(key) for key in [*options] if key not in _OF_LOADING}
        config = AutoConfig.from_pretrained(folder, local_files_only=True, **values)
    config.quantization_config = {"quant_method": _METHOD, "packed": packed}
    return kind.from_pretrained(folder, config=config, **options)


def _register() -> None:
    """Makes a quantizer of ftc's known to transformers: that of these methods would import others' kernels."""
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING, register_quantization_config, register_quantizer
    from transformers.quantizers.base import HfQuantizer
    from transformers.utils.quantization_config import QuantizationConfigMixin

    if _METHOD in AUTO_QUANTIZER_MAPPING:
        return

    @register_quantization_config(_METHOD)
    class Config(QuantizationConfigMixin):
        """Which layers are packed."""

        def __init__(self, packed: PackedWeights, **_more: Any) -> None:
            self.quant_method: Any = _METHOD
            self.packed = packed

    @register_quantizer(_METHOD)
    class Quantizer(HfQuantizer):
        """Puts packed layers in place of plain ones, before their values are read."""

        @property
        def is_trainable(self) -> bool:
            """Adapters train beside the packed layers."""
            return True

        def is_serializable(self) -> bool:
            """The base is never written."""
            return False

        def _process_model_before_weight_loading(self, model: Any, **_more: Any) -> Any:
            config: Any = self.quantization_config
            pack_layers(model, config.packed)
            return model

        def _process_model_after_weight_loading(self, model: Any, **_more: Any) -> Any:
            quantizer: Any = self
            quantizer.remove_quantization_config(model)
            return model
