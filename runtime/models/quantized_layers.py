"""torchao's half of quantized weights: which layers have them, how they are made, kept in files, and read again."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, assert_never

import torch
from torch import nn

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.loss_settings import QuantizeAwareSettings
from ftc.spec.quantized_weights import TORCHAO, QuantizedWeights, is_quantized, quantized_weights

__all__ = [
    "flattened",
    "linear_layers",
    "quantized",
    "quiet_torchao",
    "round_in_training",
    "round_with_adapter",
    "torchao_config",
    "unpack_layers",
]

_TALKATIVE = ("torchao", "torch.utils._pytree")
"""Loggers that speak when torchao is imported."""


@contextmanager
def quiet_torchao() -> Iterator[None]:
    """A block in which torchao's modules are loaded without their news of kernels for other machines."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def linear_layers(model: nn.Module, group_size: int | None) -> dict[str, nn.Linear]:
    """Linear layers whose weights are quantized, by name."""
    found = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear)}
    return {name: one for name, one in found.items() if is_quantized(name, one.in_features, group_size)}


def round_in_training(model: nn.Module, asked: QuantizeAwareSettings) -> list[str]:
    """Has each pass round the weights of linear layers as they will be when they are quantized, by torchao.

    Names of weights stay, and so does what is saved; gradients pass the rounding as if it weren't there.

    Returns:
        The layers' names.

    Raises:
        Refusal: torchao isn't installed (FTC650).
    """
    if find_spec(TORCHAO) is None:
        summary, help = f"`quantize_aware` needs the package `{TORCHAO}`", f"`pip install 'ftc[{TORCHAO}]'` installs it"
        raise Refusal([diagnostic("FTC650", summary, help=help)])
    with quiet_torchao():
        from torchao.quantization import quantize_
        from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    layers, card = linear_layers(model, asked.group_size), quantized_weights(asked.weights)
    number, size = getattr(torch, f"int{card.bits}"), asked.group_size
    config = IntxFakeQuantizeConfig(number, "per_channel" if size is None else "per_group", group_size=size)
    with torch.random.fork_rng(devices=()):  # torchao draws weights for layers that take over the model's own
        quantize_(model, QATConfig(weight_config=config, step="prepare"), filter_fn=lambda _, name: name in layers)
    return [*layers]


def round_with_adapter(peft: Any) -> dict[type[nn.Module], type[nn.Module]]:
    """What peft puts in place of a layer that rounds its weights: one that rounds their sum with the adapter.

    That sum is what a merged model has, so that its rounding is what is exported. Where the adapter is off, or already
    added to the weights, the layer rounds these alone.
    """
    with quiet_torchao():
        from torchao.quantization.qat.linear import FakeQuantizedLinear

    class RoundedSum(peft.tuners.lora.Linear):  # type: ignore[misc]  # peft is loaded without its types
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            layer = self.get_base_layer()
            if self.disable_adapters or self.merged:
                return torch.as_tensor(layer(x))
            (adapter,) = self.active_adapters
            weight = layer.weight_fake_quantizer(layer.weight + self.get_delta_weight(adapter))
            return nn.functional.linear(x, weight, layer.bias)

    return {FakeQuantizedLinear: RoundedSum}


def torchao_config(card: QuantizedWeights, group_size: int | None) -> Any:
    """What torchao calls a kind of weights; of its settings none changes anything but these weights."""
    with quiet_torchao():
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, IntxWeightOnlyConfig, PerGroup

    match card.kind:
        case "int8":
            return Int8WeightOnlyConfig(set_inductor_config=False)
        case "float8":
            return Float8WeightOnlyConfig(set_inductor_config=False)
        case "int4":
            assert group_size is not None, "its card names one"
            number = getattr(torch, f"int{card.bits}")
            return IntxWeightOnlyConfig(weight_dtype=number, granularity=PerGroup(group_size))
        case _:
            assert_never(card.kind)


def quantized(weight: torch.Tensor, config: Any, dtype: torch.dtype) -> Any:
    """A weight as torchao's tensor.

    Args:
        weight: (out, in) numbers in float32, so that scales are exact.
        config: torchao's, from `torchao_config`.
        dtype: The type that the tensor says it has, in which others compute with it.
    """
    from torchao.quantization import quantize_

    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    holder = nn.Sequential(layer)
    quantize_(holder, config)
    return _said_to_be(holder[0].weight, dtype)


def _said_to_be(tensor: Any, dtype: torch.dtype) -> Any:
    """The same numbers and scales under another type, in which they are multiplied out."""
    names = ("tensor_data_names", "optional_tensor_data_names", "tensor_attribute_names")
    more = (*names, "optional_tensor_attribute_names")
    parts = {part: getattr(tensor, part) for name in more for part in getattr(tensor, name, ())}
    return type(tensor)(**{**parts, "dtype": dtype})


def flattened(name: str, tensor: Any) -> tuple[dict[str, torch.Tensor], str]:
    """The plain tensors of which a quantized weight consists, by their names in files, and its entry in their header.

    Args:
        name: The weight's name.
        tensor: torchao's tensor, or a plain one.
    """
    if type(tensor) is torch.Tensor:
        return {name: tensor}, json.dumps({"_type": "Tensor"})
    with quiet_torchao():
        from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    parts, metadata = flatten_tensor_state_dict({name: tensor})
    return parts, metadata[name]


def unpack_layers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Gives layers with quantized weights the numbers that these stand for, in float32.

    Returns:
        The scale of each number of such a weight, by the layer's name.
    """
    with quiet_torchao():
        from torchao.utils import TorchAOBaseTensor

    scales = {}
    for name, layer in model.named_modules():
        weight: Any = getattr(layer, "weight", None)
        if isinstance(weight, TorchAOBaseTensor):
            exact = _said_to_be(weight, torch.float32)
            scale = exact.scale.float()
            scales[name] = scale.repeat_interleave(weight.shape[1] // scale.shape[1], dim=1)
            layer.weight = nn.Parameter(exact.dequantize(), requires_grad=False)
    return scales
