"""The run's model, and its teacher, without memory: the same builder, on shapes alone, compared with what is stored.

A configuration may say of its layers what ftc passes on to nobody, and then transformers builds others in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ftc.runtime.memory_trace.kernels import IMPLEMENTATION, UNPADDED
from ftc.runtime.memory_trace.rows import taught_stand_ins
from ftc.runtime.memory_trace.sections import Marked
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.base_model import LOADING, auto_class
from ftc.runtime.models.build_model import build_model
from ftc.runtime.models.packed_layers import pack_layers
from ftc.runtime.models.sharding import stacks_of
from ftc.runtime.tasks.scorer import Arithmetic
from ftc.runtime.training.distillation import Teacher, build_teacher, make_teacher
from ftc.spec.documents.memory_trace import TraceJob
from ftc.spec.vision_models import vision_model

__all__ = [
    "MetaBase",
    "build_on_meta",
    "configure",
    "depths_of",
    "model_config",
    "numbers_layers",
    "period",
    "quantize",
    "repeats_after",
    "require_stored_layers",
    "teacher_on_meta",
    "watched_teacher",
]

_NOT_SIZES = frozenset({"auto_map", "attn_implementation", "dtype", "quantization_config", "torch_dtype"})
"""Keys that name code or types; the plan's settings stand."""
_ENCODER_DEPTH = ("encoder_layers", "num_encoder_layers", "num_layers")
_FROM_THE_END = (-1, -2)
"""Layers of a tower, by their numbers, that are the same however many layers there are."""
_DECODER_DEPTH = ("decoder_layers", "num_decoder_layers")
_META = torch.device("meta")


def model_config(raw: dict[str, Any], depths: Sequence[int] | None = None) -> Any:
    """transformers' configuration of a model, with as many layers in each stack as asked for, else with all.

    Raises:
        LookupError: transformers doesn't know this kind of model.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if raw.get("model_type") not in CONFIG_MAPPING:
        raise LookupError(f"transformers does not know the model type `{raw.get('model_type')}`")
    kind = CONFIG_MAPPING[raw["model_type"]]
    plain = {key: value for key, value in raw.items() if not key.startswith("_") and key not in _NOT_SIZES}
    config = kind.from_dict(plain)
    if depths is None:
        return config
    if (vision := vision_model(config.model_type)) is not None:
        plain["vision_config"] = {**plain["vision_config"], vision.layers_key: depths[0]}
        plain["text_config"] = _shortened(config.get_text_config(), plain["text_config"], depths[1:])
    else:
        plain = _shortened(config, plain, depths)
    return kind.from_dict(plain)


def _shortened(config: Any, plain: Mapping[str, Any], depths: Sequence[int]) -> dict[str, Any]:
    """What a file says of a configuration, with other depths."""
    found = {key: value for key, value in plain.items() if key != "num_hidden_layers"}  # for some another word for one
    found |= dict(zip(_depth_keys(config), depths, strict=True))
    if isinstance(found.get("layer_types"), list):
        found["layer_types"] = found["layer_types"][: depths[0]]
    if "attention_types" in found:  # GPT-Neo's way to say the same
        found["attention_types"] = [[config.attention_layers[: depths[0]], 1]]
    return found


def depths_of(config: Any) -> tuple[int, ...]:
    """Layers of each stack of a model: of its one stack, of encoder and decoder, or of a tower and what is behind it.

    Raises:
        LookupError: The configuration doesn't tell.
    """
    if (vision := vision_model(config.model_type)) is not None:
        return int(getattr(config.vision_config, vision.layers_key)), *depths_of(config.get_text_config())
    return tuple(int(getattr(config, key)) for key in _depth_keys(config))


def _depth_keys(config: Any) -> tuple[str, ...]:
    if not config.is_encoder_decoder:
        return (config.attribute_map.get("num_hidden_layers", "num_hidden_layers"),)
    keys = tuple(next((key for key in kind if hasattr(config, key)), "") for kind in (_ENCODER_DEPTH, _DECODER_DEPTH))
    if not all(keys):
        raise LookupError(
            f"the configuration of `{config.model_type}` doesn't give the number of encoder and decoder layers"
        )
    return keys


def numbers_layers(config: Any) -> bool:
    """Whether a configuration names layers of a vision tower by number, so that none stands for others."""
    vision = vision_model(config.model_type)
    for key in vision.numbered_layers if vision else ():
        named = getattr(config, key, getattr(config.vision_config, key, None))
        if any(one is not None and one not in _FROM_THE_END for one in (named if isinstance(named, list) else [named])):
            return True
    return False


def period(config: Any) -> int:
    """Layers after which kinds of layers repeat; 1 where all are alike."""
    config = config.get_text_config() if vision_model(config.model_type) else config
    kinds = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None)
    if not kinds:
        return 1
    alike = (size for size in range(1, len(kinds) + 1) if all(kind == kinds[i % size] for i, kind in enumerate(kinds)))
    return next(alike)


class MetaBase:
    """A base of shapes alone, with as many layers as its configuration says."""

    is_whole = False

    def __init__(self, config: Any) -> None:
        self._config = config

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """The model without weights; its options mean what they mean where weights are loaded."""
        attention, quantization = options["attn_implementation"], options.get("quantization_config")
        configure(self._config, options)
        implementation = {"eager": "eager", "flash_attention_2": UNPADDED, "sdpa": IMPLEMENTATION}[attention]
        try:
            model = kind.from_config(self._config, dtype=options["dtype"], attn_implementation=implementation)
        except KeyError:  # it knows three names of its own, and calls torch's attention itself
            model = kind.from_config(self._config, dtype=options["dtype"], attn_implementation=attention)
        if quantization:
            quantize(model, quantization)
        if "packed" in options:
            pack_layers(model, options["packed"])
        return model


def configure(config: Any, options: Mapping[str, Any]) -> None:
    """Takes over what options of loading say about the configuration's values, as transformers does."""
    for key, value in options.items():
        if key not in (*LOADING, "rope", "packed"):  # scaled positions take no other memory
            setattr(config, key, value)


def build_on_meta(job: TraceJob, depths: Sequence[int]) -> nn.Module:
    """The model as `runtime.build_model` makes it, with this many layers in each stack and without weights.

    Raises:
        LookupError: transformers doesn't know this kind of model.
    """
    with _META:
        return build_model(job.settings, MetaBase(model_config(job.config, depths)), _META)


def quantize(model: Any, quantization: Any) -> None:
    """Replaces linear layers by quantized ones, as transformers does while it loads."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import HfQuantizer

    skipped, in_full = quantization.llm_int8_skip_modules, model._keep_in_fp32_modules
    kept = HfQuantizer.get_modules_to_not_convert(model, skipped, in_full)
    replace_with_bnb_linear(model, kept, quantization)
    for module in model.modules():
        if type(module).__name__ == "Linear8bitLt":
            _pack_in_8_bits(module)
        elif type(module).__name__ == "Linear4bit":
            _pack(module, nested=quantization.bnb_4bit_use_double_quant, dtype=quantization.bnb_4bit_compute_dtype)
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = quantization.load_in_4bit, quantization.load_in_8bit


def _pack_in_8_bits(module: Any) -> None:
    """8-bit weights with a scale for each row. Outliers, which only numbers could tell, are left in."""
    from bitsandbytes.nn import modules

    make: Any = modules.Int8Params  # its `__new__` takes what its `__init__` doesn't know

    shape = (module.out_features, module.in_features)
    packed, scales = torch.empty(shape, dtype=torch.int8), torch.empty(shape[0])
    module.weight = make(packed, requires_grad=False, has_fp16_weights=False, CB=packed, SCB=scales)
    module.state.CB, module.state.SCB, module.state.threshold = packed, scales, 0.0


def _pack(module: Any, *, nested: bool, dtype: torch.dtype) -> None:
    """4-bit weights with the state that bitsandbytes keeps beside them: shapes as its quantizer gives them."""
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


def repeats_after(weights: Sequence[int]) -> int:
    """Layers after which what is stored of layers repeats, the first and the last group of so many left out."""
    for size in range(1, len(weights)):
        inner = range(size, len(weights) // size * size - 2 * size)
        if all(weights[layer] == weights[layer + size] for layer in inner):
            return size
    return max(1, len(weights))


def require_stored_layers(job: TraceJob, depths: Sequence[int]) -> None:
    """Compares the layers of a model that is so deep with those that are stored; its last one may be another.

    Raises:
        LookupError: They differ in the number of weights in their matrices.
    """
    if not job.layer_weights:
        return
    with torch.device("meta"):
        model = auto_class(job.settings).from_config(model_config(job.config, depths))
    stacks = stacks_of(model)[-len(job.layer_weights) :]  # what is stored of a vision tower isn't known
    for (name, layers), stored in zip(stacks, job.layer_weights, strict=True):
        for number, layer in enumerate(layers[: -1 if len(layers) < len(stored) else len(layers)]):
            # A layer holds all experts in one tensor of three dimensions, whatever its file does.
            sizes = [(inner, one.dim(), one.numel()) for inner, one in layer.named_parameters()]
            built = sum(size for inner, dim, size in sizes if dim == 3 or (inner.endswith("weight") and dim == 2))
            if built != stored[number]:
                words = f"transformers builds `{name}.{number}` with {built} weights in matrices"
                raise LookupError(f"{words}, but the file has {stored[number]}")


def teacher_on_meta(job: TraceJob) -> nn.Module | None:
    """The job's teacher with all its layers and without weights; None where it has none.

    Raises:
        LookupError: transformers doesn't know this kind of model.
    """
    if job.teacher is None:
        return None
    with _META:
        return build_teacher(job.settings, MetaBase(model_config(job.teacher)), _META)


def watched_teacher(
    job: TraceJob, model: nn.Module | None, arithmetic: Arithmetic | None, tracker: StorageTracker
) -> Teacher | None:
    """The teacher as the loop asks it, with a mark where it is asked."""
    if model is None:
        return None
    train = job.settings.train
    rows = taught_stand_ins(job, train.micro_batch * (2 if job.accumulates else 1)) if job.taught else None
    teacher = make_teacher(job.settings, model, arithmetic, rows)
    return replace(teacher, scorer=Marked(teacher.scorer, tracker, before="teacher"))
