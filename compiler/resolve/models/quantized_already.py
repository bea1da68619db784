"""What is said of a base model whose files are quantized already (FTC313)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.language.safe_repr import quoted

__all__ = ["quantized_already"]

_METHODS = {
    "gptq": "whole numbers of 2 to 8 bits",
    "awq": "whole numbers of 4 bits",
    "bitsandbytes": "packed numbers of 4 or 8 bits",
    "fp8": "FP8, floats of 8 bits with a scale for each block of a matrix",
    "compressed-tensors": "FP8, or whole numbers of 4 or 8 bits",
    "mxfp4": "MXFP4, floats of 4 bits of which 32 share a scale",
}
"""What `quant_method` calls the usual ones, and what the files hold then."""
_LOADED_WHOLE = {"fp8": "FineGrainedFP8Config", "mxfp4": "Mxfp4Config"}
"""Methods that original weights are published in, and the class of transformers that loads them as bfloat16."""


def quantized_already(config: Mapping[str, Any], has_experts: bool, span: Span | None) -> Diagnostic | None:
    """The finding, with what works instead; None where config.json names no quantization.

    Args:
        config: config.json.
        has_experts: Whether layers are a mixture of experts, which `qlora` can't quantize (FTC268).
        span: Where the recipe names the model.
    """
    if not (said := config.get("quantization_config")):
        return None
    name = _method(said)
    holds = f": {_METHODS[name]}" if name in _METHODS else ""
    notes = [f"`quantization_config` in config.json names the method {quoted(name)}{holds}"]
    help = ["choose the unquantized model; `strategy: {kind: qlora}` quantizes it on loading"]
    if has_experts:
        help = ["choose the model's bfloat16 weights, and `strategy: {kind: lora}` or `{kind: full}`"]
        notes.append("`qlora` can't quantize experts (FTC268)")
    if name in _LOADED_WHOLE:
        how = f"`quantization_config={_LOADED_WHOLE[name]}(dequantize=True)`"
        help.append(f"if no bfloat16 weights are published, load these with transformers and {how}, and save the model")
    summary = "the model's weights are quantized already"
    return diagnostic("FTC313", summary, span, notes=notes, help=help, path="model.base")


def _method(said: Any) -> str:
    """What the file calls the method; `unknown` where it doesn't say."""
    if not isinstance(said, Mapping):
        return "unknown"
    if (name := said.get("quant_method")) is not None:
        return str(name)
    # Older files name no method where bitsandbytes packed the weights.
    return "bitsandbytes" if said.get("load_in_4bit") or said.get("load_in_8bit") else "unknown"
