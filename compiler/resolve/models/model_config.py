"""Reads a model's `config.json` through a closed list of keys.

Model types name the same size differently, so each size has a list of keys that are tried in order. Keys that are not
listed are never looked at, except those that would make a loader run or fetch code: they are refused by name, at any
depth, although ftc never asks a loader to trust them, because such switches have been bypassed before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ftc.compiler.resolve.models.model_form import form_of, installed_release, is_known
from ftc.compiler.resolve.models.quantized_files import loaded_method, quantized_findings
from ftc.compiler.resolve.models.vision_config import language_part, vision_facts
from ftc.spec.architectures import ARCHITECTURES, Family, architecture
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.experts import CHOSEN_EXPERTS, NUM_EXPERTS
from ftc.spec.language.safe_repr import quoted
from ftc.spec.quantized_files import QuantizedMethod
from ftc.spec.rotations import rotation_of
from ftc.spec.vision_card import LEAST_RELEASE
from ftc.spec.vision_models import vision_model

__all__ = ["ModelConfig", "code_keys", "read_config"]

_CODE_KEYS = frozenset(
    {"auto_map", "auto_mapping", "trust_remote_code", "custom_pipelines", "custom_generate", "use_kernels"}
    | {"kernel_config", "megatron_core"}
)
_PLAIN_IMPLEMENTATIONS = frozenset({"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"})

_FAMILY_BY_CLASS: tuple[tuple[str, Family], ...] = (
    ("ForCausalLM", "decoder"),
    ("LMHeadModel", "decoder"),
    ("ForMaskedLM", "encoder"),
    ("ForPreTraining", "encoder"),
)

# Classes that read images or sound beside text; their names also occur behind the model types of their text parts.
_OTHER_INPUT_CLASS = re.compile(
    r"VL(?![a-z])|VLM|Vision|Visual|Image|Video|Audio|Speech|Omni|Llava|Mllama|Idefics|Blip|Florence"
    r"|Fuyu|Kosmos|Pix2Struct|Pixtral|Whisper|Moshi|Aria(?=For)|Chameleon|Emu3|Ovis|Donut|Voxtral|Janus|Molmo|Git(?=For)"
)

_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
_DECODER_LAYERS = ("num_decoder_layers", "decoder_layers")
_HEADS = (
    *("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"),
    "attention_heads",
)
_KV_HEADS = ("num_key_value_heads", "num_kv_heads")
_INTERMEDIATE = ("intermediate_size", "n_inner", "d_ff", "hidden_dim", "ffn_dim", "encoder_ffn_dim", "ffn_hidden_size")
_HEAD_DIM = ("head_dim", "d_kv")
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
_OTHER_INPUTS = ("text_config", "vision_config", "audio_config", "thinker_config")

_LARGEST_SIZE = 10**8


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What ftc needs of `config.json`; field meanings as in `ModelFacts`.

    `tied` is None where the file doesn't say; `form` is `ModelFacts.config`.
    """

    architecture: str
    model_type: str
    family: Family
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_decoder_layers: int | None
    decoder_start_id: int | None
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_positions: int | None
    tied: bool | None
    form: dict[str, Any]
    vision: VisionFacts | None
    quantized: QuantizedMethod | None


def read_config(config: Mapping[str, Any], span: Span | None = None) -> ModelConfig:
    """The sizes and the kind of a model.

    Raises:
        Refusal: FTC308, FTC309, FTC310 or FTC313, all that apply.
    """
    found = code_keys(config, "config.json", span)
    if reason := _unsupported_kind(config):
        summary = f"the model's architecture isn't supported: {reason}"
        help = "choose a text model: a decoder (`...ForCausalLM`), an encoder (`...ForMaskedLM`), T5 or BART"
        found.append(diagnostic("FTC308", summary, span, help=help, path="model.base"))
    elif missing := _not_installed(config, span):
        found.append(missing)
    found.extend(quantized_findings(config, _has_experts(config), span))
    if found:
        raise Refusal(found)
    language = language_part(config)
    sizes = _Sizes(language)
    vision, vision_faults = vision_facts(config)
    result = replace(_model_config(language, sizes), vision=vision, quantized=loaded_method(config))
    faults, heads = [*sizes.faults, *vision_faults], result.num_heads
    if not faults:
        names_width = any(language.get(key) is not None for key in _HEAD_DIM)
        if architecture(result.model_type).widths_in_config and not names_width and result.hidden_size % heads:
            faults.append(f"a hidden size of {result.hidden_size} is not divisible by {heads} attention heads")
        if heads % result.num_kv_heads:
            faults.append(f"{heads} attention heads are not divisible by {result.num_kv_heads} key-value heads")
        faults.extend(_experts_faults(result.model_type, sizes))
        if result.num_layers > 10_000:
            faults.append(f"{result.num_layers} layers")
    if faults:
        help = "take config.json from the model's original folder"
        summary = "config.json of the model has no usable sizes"
        raise Refusal(
            [diagnostic("FTC309", f"{summary}: {fault}", span, help=help, path="model.base") for fault in faults]
        )
    return result


def _not_installed(config: Mapping[str, Any], span: Span | None) -> Diagnostic | None:
    """That the installed transformers doesn't have the model (FTC308); None where it does, or isn't there to tell."""
    kind = config["model_type"]
    if is_known(kind) is False:
        summary = f"the installed transformers has no model type {quoted(kind)}"
        help = "install a release of transformers that supports it, or choose another model"
        return diagnostic("FTC308", summary, span, help=help, path="model.base")
    installed = installed_release()
    if vision_model(kind) is None or installed is None or installed >= LEAST_RELEASE:
        return None
    least, here = (".".join(map(str, one)) for one in (LEAST_RELEASE, installed))
    summary = f"a `{kind}`, which reads images, needs transformers {least}, and {here} is installed"
    help = f"install a later release: `pip install 'transformers>={least}'`"
    return diagnostic("FTC308", summary, span, help=help, path="model.base")


def _experts_faults(model_type: str, sizes: _Sizes) -> Iterator[str]:
    """What is wrong with the numbers of experts, where layers are a mixture of them."""
    if (mixture := architecture(model_type).experts) is None:
        return
    count, chosen = sizes.needed(NUM_EXPERTS), sizes.needed(CHOSEN_EXPERTS)
    sizes.needed((mixture.inner,))
    yield from sizes.faults
    if chosen > count:
        yield f"each token goes to {chosen} of {count} experts"


def code_keys(value: Mapping[str, Any], file: str, span: Span | None) -> list[Diagnostic]:
    """Findings for each key, at any depth, that would make a loader run or fetch code."""
    return [
        diagnostic(
            "FTC310",
            f"`{file}` of the model asks to run code: `{key}`",
            span,
            notes="ftc runs no code that comes with a model, and has no option for it",
            help="choose a model whose architecture is part of transformers, or remove the key from a local copy",
            path="model.base",
        )
        for key in _code_keys(value)
    ]


def _code_keys(value: Any) -> Iterator[str]:
    pending: list[tuple[str, Any]] = [("", value)]  # a list, not recursion: depth is the stranger's choice
    while pending:
        prefix, item = pending.pop()
        if isinstance(item, Mapping):
            for key, inner in item.items():
                names_code = key in _CODE_KEYS or key.endswith("_internal")
                is_kernel = "_implementation" in f"_{key}" and isinstance(inner, str)
                if inner not in (None, False, "", {}, []) and (
                    names_code or (is_kernel and inner not in _PLAIN_IMPLEMENTATIONS)
                ):
                    yield f"{prefix}{key}"
                pending.append((f"{prefix}{key}.", inner))
        elif isinstance(item, list):
            pending.extend((prefix, inner) for inner in item)


def _unsupported_kind(config: Mapping[str, Any]) -> str | None:
    known = vision_model(str(config.get("model_type")))
    if known is not None:
        text_type = language_part(config).get("model_type")
        types = [known.text_as.get(one, one) for one in known.text_types]
        return None if text_type in types else f"a `{known.model_type}` with `{text_type}` inside"
    if inner := next((key for key in _OTHER_INPUTS if isinstance(config.get(key), Mapping)), None):
        return f"`{inner}` in config.json marks a multimodal model"
    if _OTHER_INPUT_CLASS.search(name := _architecture(config)):
        return f"class {quoted(name)} reads more than text"
    kind = config.get("model_type")
    if _has_experts(config) and not (isinstance(kind, str) and architecture(kind).experts):
        mixtures = ", ".join(sorted(one.model_type for one in ARCHITECTURES if one.experts))
        return f"a mixture of experts that ftc doesn't know (it knows {mixtures})"
    if not isinstance(kind, str):
        return "config.json has no `model_type`"
    if _family(config) is None:
        return f"class {quoted(name or 'none')} with model type {quoted(config['model_type'])} is unknown"
    return None


def _has_experts(config: Mapping[str, Any]) -> bool:
    """Whether layers are a mixture of experts, of a known model type or of another."""
    counts = (config.get(key) for key in (*NUM_EXPERTS, "moe_num_experts"))  # a number, or one for each layer
    listed = [one for value in counts for one in (value if isinstance(value, list) else [value])]
    return any(type(one) is int and one > 1 for one in listed)


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _family(config: Mapping[str, Any]) -> Family | None:
    if (known := architecture(config["model_type"]).family) is not None:
        return known
    name = _architecture(config)
    return next((family for end, family in _FAMILY_BY_CLASS if name.endswith(end)), None)


class _Sizes:
    """Looks sizes up and gathers what is wrong with them, so that all of it is reported at once."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.faults: list[str] = []

    def optional(self, keys: tuple[str, ...]) -> int | None:
        """The first of `keys` that is present and not null."""
        key = next((key for key in keys if self._config.get(key) is not None), None)
        if key is None:
            return None
        value = self._config[key]
        if type(value) is not int or not 0 < value <= _LARGEST_SIZE:
            shown = json.dumps(value, ensure_ascii=False)[:40]  # the quotes of a text are what is wrong with it
            self.faults.append(f"`{key}` is {shown}, not a whole number from 1 to {_LARGEST_SIZE}")
            return 1
        return value

    def needed(self, keys: tuple[str, ...], fallback: int | None = None) -> int:
        """The same; without it `fallback`, and without that a fault."""
        value = self.optional(keys)
        if value is None:
            value = fallback
        if value is None:
            self.faults.append(f"`{keys[0]}` is missing")
            return 1
        return value


def _model_config(config: Mapping[str, Any], sizes: _Sizes) -> ModelConfig:
    model_type, family = config["model_type"], _family(config)
    assert family is not None, "an unknown family was refused before"
    hidden_size, num_heads = sizes.needed(_HIDDEN), sizes.needed(_HEADS)
    tied, start, size = (config.get(key) for key in ("tie_word_embeddings", "decoder_start_token_id", "vocab_size"))
    is_start = type(start) is int and type(size) is int and 0 <= start < size
    ratio, is_pair = architecture(model_type).inner_ratio, family == "encoder_decoder"
    inner = hidden_size * (sizes.optional(("expansion_ratio",)) or ratio) if ratio else None
    return ModelConfig(
        architecture=_architecture(config),
        model_type=model_type,
        family=family,
        hidden_size=hidden_size,
        intermediate_size=sizes.needed(_INTERMEDIATE, inner),
        num_layers=sizes.needed(_LAYERS),
        num_decoder_layers=_num_decoder_layers(sizes) if family == "encoder_decoder" else None,
        decoder_start_id=start if is_pair and is_start else None,
        num_heads=num_heads,
        num_kv_heads=1 if config.get("multi_query") is True else sizes.needed(_KV_HEADS, num_heads),
        head_dim=_head_dim(sizes, hidden_size // num_heads),
        vocab_size=sizes.needed(("vocab_size",)),
        max_positions=_max_positions(config, sizes),
        tied=tied if isinstance(tied, bool) else None,
        form=form_of(config),
        vision=None,
        quantized=None,
    )


def _head_dim(sizes: _Sizes, usual: int) -> int:
    """Width of a head of queries; of DeepSeek's the two parts, of which one is rotated."""
    parts = [sizes.optional((key,)) for key in ("qk_nope_head_dim", "qk_rope_head_dim")]
    found = [one for one in parts if one is not None]
    return sum(found) if len(found) == len(parts) else sizes.needed(_HEAD_DIM, max(1, usual))


def _num_decoder_layers(sizes: _Sizes) -> int:
    return sizes.optional(_DECODER_LAYERS) or sizes.needed(_LAYERS)


def _max_positions(config: Mapping[str, Any], sizes: _Sizes) -> int | None:
    positions = architecture(config["model_type"]).positions
    if positions in ("alibi", "relative"):  # the configuration's figure is no limit
        return None
    limit = sizes.optional(_POSITIONS)
    if limit is None:
        return None
    if positions == "learned after padding":  # which costs that many rows of the table
        padding = config.get("pad_token_id", 1)
        return max(1, limit - (padding + 1 if type(padding) is int and 0 <= padding < limit else 0))
    scaling = rotation_of(config)
    original, factor = scaling.get("original_max_position_embeddings"), scaling.get("factor")
    if isinstance(original, int) and isinstance(factor, int | float):
        is_sound = 0 < original <= _LARGEST_SIZE and 1 <= factor <= 1024
        return max(limit, int(original * factor) if is_sound else 0)
    return limit
