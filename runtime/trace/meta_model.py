"""The run's model without memory: the same builder, on shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from ftc.runtime import build_model as builder
from ftc.runtime.trace.kernels import IMPLEMENTATION
from ftc.spec.settings import Settings
from ftc.spec.trace import TraceJob

__all__ = ["build_on_meta", "model_config", "num_layers", "period", "quantise"]

_NOT_SIZES = frozenset({"auto_map", "attn_implementation", "dtype", "quantization_config", "torch_dtype"})
"""Keys that name code or types; the plan's settings stand."""
_META = torch.device("meta")


def model_config(raw: dict[str, Any], layers: int | None = None) -> Any:
    """transformers' configuration of a model, with as many layers as asked for, else with all.

    Raises:
        LookupError: transformers doesn't know this kind of model.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if raw.get("model_type") not in CONFIG_MAPPING:
        raise LookupError(f"transformers knows no model type `{raw.get('model_type')}`")
    kind = CONFIG_MAPPING[raw["model_type"]]
    plain = {key: value for key, value in raw.items() if not key.startswith("_") and key not in _NOT_SIZES}
    if layers is not None:
        plain[kind.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = layers
        if isinstance(plain.get("layer_types"), list):
            plain["layer_types"] = plain["layer_types"][:layers]
    return kind.from_dict(plain)


def num_layers(config: Any) -> int:
    """Layers of a model."""
    return int(config.num_hidden_layers)


def period(config: Any) -> int:
    """Layers after which kinds of layers repeat; 1 where all are alike."""
    kinds = getattr(config, "layer_types", None)
    if not kinds:
        return 1
    alike = (size for size in range(1, len(kinds) + 1) if all(kind == kinds[i % size] for i, kind in enumerate(kinds)))
    return next(alike)


def build_on_meta(job: TraceJob, layers: int) -> nn.Module:
    """The model as `runtime.build_model` makes it, with this many layers and without weights.

    Raises:
        LookupError: transformers doesn't know this kind of model.
    """
    config = model_config(job.config, layers)

    def load(settings: Settings, _folder: Path, **options: Any) -> Any:
        return _load(config, settings, options)

    with _replaced(load), _META:
        return builder.build_model(job.settings, Path("/nonexistent"), _META)


@contextmanager
def _replaced(load: Callable[..., Any]) -> Iterator[None]:
    """Puts shapes in the place of files, and leaves out the count of adapters, which the plan gives for all layers."""
    with mock.patch.multiple(builder, _load_base=load, _require_count=lambda *_: None):
        yield


def _load(config: Any, settings: Settings, options: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    loader: Any = AutoModelForCausalLM
    if settings.model.head == "classification":
        config.num_labels = len(settings.text.labels)
        loader = AutoModelForSequenceClassification
    config.pad_token_id = settings.model.pad_id
    implementation = "eager" if settings.model.attention == "eager" else IMPLEMENTATION
    model = loader.from_config(config, dtype=options["dtype"], attn_implementation=implementation)
    if quantization := options.get("quantization_config"):
        quantise(model, quantization)
    return model


def quantise(model: Any, quantization: Any) -> None:
    """Replaces linear layers by 4-bit ones, as transformers does while it loads."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear

    kept = [name for name, module in model.named_modules() if module is model.get_output_embeddings()]
    replace_with_bnb_linear(model, [*kept, *(quantization.llm_int8_skip_modules or ())], quantization)
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            _pack(module, nested=quantization.bnb_4bit_use_double_quant, dtype=quantization.bnb_4bit_compute_dtype)
    model.is_loaded_in_4bit = True


def _pack(module: Any, *, nested: bool, dtype: torch.dtype) -> None:
    """4-bit weights with the state that bitsandbytes keeps beside them: shapes as its quantiser gives them."""
    from bitsandbytes.functional import QuantState
    from bitsandbytes.nn.modules import Params4bit

    shape = torch.Size((module.out_features, module.in_features))
    blocks = -(-shape.numel() // 64)
    state = QuantState(
        absmax=torch.empty(blocks, dtype=torch.uint8 if nested else torch.float32),
        shape=shape,
        code=torch.empty(16),
        blocksize=64,
        quant_type=module.weight.quant_type,
        dtype=dtype,
        offset=torch.empty(()) if nested else None,
        state2=_second_state(blocks) if nested else None,
    )
    packed = torch.empty(-(-shape.numel() // 2), 1, dtype=torch.uint8)
    new_weight: Any = Params4bit  # its arguments are those of __new__, which checkers don't see
    module.weight = new_weight(packed, quant_state=state, quant_type=state.quant_type, bnb_quantized=True)
    module.quant_state = state


def _second_state(blocks: int) -> Any:
    from bitsandbytes.functional import QuantState

    absmax, code = torch.empty(-(-blocks // 256)), torch.empty(256)
    return QuantState(absmax=absmax, code=code, blocksize=256, dtype=torch.float32)
