"""Base models whose files hold quantized weights: which are loaded, and what weights they are once dequantized."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from ftc.compiler.resolve.models.model_form import installed_release
from ftc.compiler.resolve.models.packed_files import Unreadable, packing_of
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.language.safe_repr import quoted
from ftc.spec.quantized_files import (
    LEAST_RELEASE,
    QuantizedFiles,
    QuantizedMethod,
    files_card,
    method_of,
    quantized_files,
)

__all__ = ["Unreadable", "dequantized", "loaded_method", "quantized_findings"]

_PATH = "model.base"
_CONFIG = "quantization_config"
_PACKED_FORMATS = frozenset({"float-quantized", "int-quantized", "naive-quantized", "pack-quantized"})
"""Formats of compressed-tensors with one scale for each tensor, row or group."""


def loaded_method(config: Mapping[str, Any]) -> QuantizedMethod | None:
    """The method by which files hold weights that ftc loads; None where they hold them whole."""
    method = method_of(config)
    return next((one for one in get_args(QuantizedMethod) if one == method), None)


def quantized_findings(config: Mapping[str, Any], has_experts: bool, span: Span | None) -> Iterator[Diagnostic]:
    """Why quantized files can't be loaded, with what works instead; nothing where they can, or hold whole weights.

    Args:
        config: config.json.
        has_experts: Whether layers are a mixture of experts, which `qlora` can't quantize (FTC268).
        span: Where the recipe names the model.
    """
    inside = next((key for key, part in config.items() if isinstance(part, Mapping) and part.get(_CONFIG)), None)
    # transformers reads it there, and ftc would take packed tensors for whole ones.
    if inside is not None and method_of(config) is None:
        summary = f"the model's weights are quantized in a way that ftc doesn't load: `{_CONFIG}` is inside `{inside}`"
        yield diagnostic("FTC313", summary, span, help="choose the unquantized model", path=_PATH)
        return
    if (name := method_of(config)) is None:
        return
    said = config[_CONFIG]
    if loaded_method(config) is None:
        card = files_card(name)
        holds = f": {card.holds}" if card else ""
        notes = [f"`quantization_config` in config.json names the method {quoted(name)}{holds}"]
        help = ["choose the unquantized model; `strategy: {kind: qlora}` quantizes it on loading"]
        if has_experts:
            help = ["choose the model's bfloat16 weights, and `strategy: {kind: lora}` or `{kind: full}`"]
            notes.append("`qlora` can't quantize experts (FTC268)")
        summary = "the model's weights are quantized in a way that ftc doesn't load"
        yield diagnostic("FTC313", summary, span, notes=notes, help=help, path=_PATH)
        return
    if name == "compressed-tensors" and (reason := _odd_format(said, has_experts)):
        summary = f"the model's files hold a form of compressed-tensors that ftc doesn't load: {reason}"
        yield diagnostic("FTC313", summary, span, help="choose the unquantized model", path=_PATH)
        return
    card = files_card(name)
    if card is not None and card.keeps:
        yield from _unpackable(card, said, has_experts, span)
    elif card is not None:
        yield from _missing(card, span)


def _unpackable(
    card: QuantizedFiles, said: Mapping[str, Any], has_experts: bool, span: Span | None
) -> Iterator[Diagnostic]:
    """Why layers can't be kept as files hold them."""
    reason = "transformers holds all experts of a layer in one tensor, which can't be packed" if has_experts else None
    try:
        packing_of(said, card.method)
    except Unreadable as error:
        reason = str(error)
    if reason is not None:
        summary = f"the model's files hold a form of {card.label} that ftc doesn't load: {reason}"
        yield diagnostic("FTC313", summary, span, help="choose the unquantized model", path=_PATH)


def _missing(card: QuantizedFiles, span: Span | None) -> Iterator[Diagnostic]:
    """What isn't installed and dequantizing needs."""
    installed = installed_release()
    if installed is not None and installed < LEAST_RELEASE:
        least, here = (".".join(map(str, one)) for one in (LEAST_RELEASE, installed))
        summary = f"quantized files are loaded by transformers {least} and later, and {here} is installed"
        help = f"install a later release: `pip install 'transformers>={least}'`"
        yield diagnostic("FTC308", summary, span, help=help, path=_PATH)
    needed = card.dequantizer.package if card.dequantizer else None
    # Without transformers the plan is made for another machine, of whose packages nothing is known.
    if needed is None or installed is None:
        return
    release = installed_release(needed.name)
    if release is None or release < needed.least:
        found, since = (".".join(map(str, one)) for one in (release or (), needed.least))
        summary = (
            f"`{card.method}` weights need the package `{needed.name}` {since}, and {found or 'none'} is installed"
        )
        help = f"`pip install 'ftc[{needed.name}]'` installs it"
        yield diagnostic("FTC313", summary, span, help=help, path=_PATH)


def _odd_format(said: Mapping[str, Any], has_experts: bool) -> str | None:
    """Why files of compressed-tensors can't be read, or None.

    Experts of a layer are put together by transformers' own code, which knows two of the forms.
    """
    groups = said.get("config_groups")
    if not isinstance(groups, Mapping) or len(groups) != 1:
        return "config.json must give all layers one scheme under `config_groups`"
    (scheme,) = groups.values()
    weights = scheme.get("weights") if isinstance(scheme, Mapping) else None
    if not isinstance(weights, Mapping) or weights.get("num_bits") not in (4, 8):
        return "its weights have neither 4 nor 8 bits"
    form = scheme.get("format") or said.get("format")
    if form not in _PACKED_FORMATS:
        return f"the format is {quoted(str(form))}"
    is_known = (form == "pack-quantized" and weights.get("symmetric") is True) or (
        form == "float-quantized" and weights.get("strategy") in ("channel", "tensor")
    )
    if has_experts and not is_known:
        return "transformers dequantizes experts of symmetric whole numbers, or of FP8 with scales for rows or tensors"
    sparse = said.get("sparsity_config")
    if isinstance(sparse, Mapping) and sparse.get("format") not in (None, "dense"):
        return "its weights are sparse, too"
    return None


def dequantized(
    tensors: Mapping[str, TensorFacts], config: Mapping[str, Any], method: QuantizedMethod
) -> dict[str, TensorFacts]:
    """Weights by the names that they have once they are dequantized; what isn't quantized stays as it is.

    Args:
        tensors: Every stored tensor by its name.
        config: config.json.
        method: How weights are stored.

    Raises:
        Unreadable: A tensor has no scale, or another shape than its scale says.
    """
    found = _WHOLE[method](tensors, config[_CONFIG])
    if len(found) == len(tensors) and all(found[name].dtype == one.dtype for name, one in tensors.items()):
        card = quantized_files(method)
        raise Unreadable(f"config.json says {card.label}, but no tensor is stored so")
    return found


_HALF = "BF16"
"""Type of dequantized weights, before the plan's precision decides."""


def _of_fp8(tensors: Mapping[str, TensorFacts], said: Mapping[str, Any]) -> dict[str, TensorFacts]:
    """A matrix with one scale for each block; scales of inputs are for inference and dropped."""
    edges = said.get("weight_block_size")
    found: dict[str, TensorFacts] = {}
    for name, one in tensors.items():
        if name.endswith((".weight_scale_inv", ".activation_scale")):
            continue
        if one.dtype not in ("F8_E4M3", "F8_E5M2"):
            found[name] = one
            continue
        scale = tensors.get(f"{name}_scale_inv")
        if scale is None or not name.endswith(".weight"):
            raise Unreadable(f"`{name}` is stored as FP8, and is no `weight` with a scale `weight_scale_inv`")
        if scale.num_elements > 1 and not _in_whole_blocks(one.shape, scale.shape, edges):
            shape, grid = (" x ".join(map(str, sizes)) for sizes in (one.shape, scale.shape))
            reason = f"`{name}` of {shape} with {grid} scales isn't cut into whole blocks of `weight_block_size`"
            raise Unreadable(f"{reason} ({edges}); transformers dequantizes equal blocks alone")
        found[name] = TensorFacts(dtype=_HALF, shape=one.shape)
    return found


def _in_whole_blocks(shape: tuple[int, ...], scales: tuple[int, ...], edges: Any) -> bool:
    """Whether blocks of the size that config.json gives fill a matrix; one block may be smaller than that, alone.

    transformers takes equal blocks, as many as there are scales: where the last one is smaller, it would scale wrong.
    """
    if not (isinstance(edges, list) and len(edges) == len(shape) == len(scales) == 2):
        return False
    return all(count == 1 or size == count * edge for size, count, edge in zip(shape, scales, edges, strict=True))


def _of_mxfp4(tensors: Mapping[str, TensorFacts], _said: Mapping[str, Any]) -> dict[str, TensorFacts]:
    """Experts as (experts, outputs, blocks, bytes of two numbers each), in memory (experts, inputs, outputs)."""
    found: dict[str, TensorFacts] = {}
    for name, one in tensors.items():
        if name.endswith("_scales"):
            continue
        if not name.endswith("_blocks"):
            found[name] = one
            continue
        whole = name.removesuffix("_blocks")
        scales = tensors.get(f"{whole}_scales")
        if scales is None or len(one.shape) != 4 or scales.shape != one.shape[:3]:
            raise Unreadable(
                f"`{name}` has no `{whole.rpartition('.')[2]}_scales` with one scale for each of its blocks"
            )
        experts, outputs, blocks, size = one.shape
        found[whole] = TensorFacts(dtype=_HALF, shape=(experts, blocks * size * 2, outputs))
    return found


_PARTS = ("_scale", "_zero_point", "_shape", "_g_idx", "_global_scale")
"""What compressed-tensors keeps beside a weight, behind the word `weight`."""
_OF_INPUTS = (".input_scale", ".input_zero_point", ".output_scale", ".k_scale", ".v_scale", ".q_scale")
_BITS_OF_WORD = {"I32": 32, "U8": 8}


def _of_compressed_tensors(tensors: Mapping[str, TensorFacts], said: Mapping[str, Any]) -> dict[str, TensorFacts]:
    """A matrix of 8 bits with its scales, or one packed along its rows into words of 32 bits."""
    (scheme,) = said["config_groups"].values()
    bits = int(scheme["weights"]["num_bits"])
    found: dict[str, TensorFacts] = {}
    for name, one in tensors.items():
        if name.endswith((*(f".weight{part}" for part in _PARTS), *_OF_INPUTS)):
            continue
        is_packed = name.endswith(".weight_packed")
        if not is_packed and one.dtype not in ("F8_E4M3", "I8"):
            found[name] = one
            continue
        whole = name.removesuffix("_packed")
        if f"{whole}_scale" not in tensors:
            raise Unreadable(f"`{name}` has no scale `{whole.rpartition('.')[2]}_scale`")
        shape = one.shape
        if is_packed:
            if len(shape) != 2 or one.dtype not in _BITS_OF_WORD:
                raise Unreadable(f"`{name}` is no matrix of packed words")
            shape = (shape[0], shape[1] * _BITS_OF_WORD[one.dtype] // bits)
        found[whole] = TensorFacts(dtype=_HALF, shape=shape)
    return found


_WHOLE: Mapping[str, Callable[[Mapping[str, TensorFacts], Mapping[str, Any]], dict[str, TensorFacts]]] = {
    "fp8": _of_fp8,
    "mxfp4": _of_mxfp4,
    "compressed-tensors": _of_compressed_tensors,
}
