"""Measured runs of other people, read from files: what each was, or why it can't be scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.support.foreign_step import ForeignJob
from ftc.runtime.memory_trace.kernels import KernelRules
from ftc.runtime.memory_trace.meta_model import model_config
from ftc.spec.devices import CARDS, Card

__all__ = ["CONFIGS", "Unscored", "card_of", "job_of", "read_points", "release_of"]

GIB = 2**30
_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_AUTOCAST = {None: None, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NEEDED = {
    "batch_size": int,
    "seq_len": int,
    "lora_rank": int,
    "grad_checkpoint": bool,
    "optimizer": str,
    "gpu": str,
    "torch": str,
}
"""What decides about memory, beside model, method and precision."""


class Unscored(Exception):
    """Why a point can't be scored, in a line."""


def _sizes(
    model_type: str,
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    kv_heads: int,
    vocab: int,
    tied: bool,
    **more: Any,
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        **more,
    }


CONFIGS = {
    "HuggingFaceTB/SmolLM2-135M": _sizes("llama", 576, 1536, 30, 9, 3, 49152, True),
    "HuggingFaceTB/SmolLM2-360M": _sizes("llama", 960, 2560, 32, 15, 5, 49152, True),
    "HuggingFaceTB/SmolLM2-1.7B": _sizes("llama", 2048, 8192, 24, 32, 32, 49152, True),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _sizes("llama", 2048, 5632, 22, 32, 4, 32000, False),
    "Qwen/Qwen2.5-0.5B-Instruct": _sizes("qwen2", 896, 4864, 24, 14, 2, 151936, True),
    "Qwen/Qwen2.5-1.5B-Instruct": _sizes("qwen2", 1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": _sizes("qwen2", 1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B-Instruct": _sizes("qwen2", 2048, 11008, 36, 16, 2, 151936, True),
    "Qwen/Qwen2.5-7B-Instruct": _sizes("qwen2", 3584, 18944, 28, 28, 4, 152064, False),
    "meta-llama/Llama-3.2-1B-Instruct": _sizes("llama", 2048, 8192, 16, 32, 8, 128256, True),
    "meta-llama/Llama-3.2-3B-Instruct": _sizes("llama", 3072, 8192, 28, 24, 8, 128256, True, head_dim=128),
    "mistralai/Mistral-7B-Instruct-v0.3": _sizes("mistral", 4096, 14336, 32, 32, 8, 32768, False, sliding_window=None),
    "deepseek-ai/deepseek-coder-1.3b-instruct": _sizes("llama", 2048, 5504, 24, 16, 16, 32256, False),
}
"""Sizes from the models' public `config.json`."""
_KINDS = ("llama", "qwen2", "qwen3")
"""Layouts that sizes without a `model_type` are tried with; the number of weights decides."""


def read_points(path: Path) -> list[dict[str, Any]]:
    """The points of a file, or of all `*.json` in a folder that have some.

    Raises:
        Unscored: The path or a file isn't what it should be.
    """
    if path.is_dir():
        found = [point for file in sorted(path.glob("*.json")) for point in _points(file) or ()]
        if not found:
            raise Unscored(f"{path}: no *.json file in this folder has a list `points`")
        return found
    points = _points(path)
    if not points:
        raise Unscored(f"{path}: a JSON object with a list `points` is needed")
    return points


def _points(path: Path) -> list[dict[str, Any]] | None:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unscored(f"{path}: can't be read as JSON: {error}") from None
    points = read.get("points") if isinstance(read, dict) else None
    return points if isinstance(points, list) and all(isinstance(point, dict) for point in points) else None


def job_of(point: dict[str, Any]) -> ForeignJob:
    """The run of a point.

    Raises:
        Unscored: Something that decides about memory isn't told or isn't known.
    """
    for name, kind in _NEEDED.items():
        if not isinstance(point.get(name), kind):
            raise Unscored(f"`{name}` is missing" if point.get(name) is None else f"`{name}` is {point[name]!r}")
    method, precision, autocast = point.get("method"), point.get("precision"), point.get("autocast")
    if method not in ("lora", "qlora"):
        raise Unscored(f"`method` is {method!r}, which isn't lora or qlora")
    if precision not in [*_DTYPES]:
        raise Unscored(f"`precision` is {precision!r}, which isn't {', '.join(_DTYPES)}")
    if autocast not in [*_AUTOCAST]:
        raise Unscored(f"`autocast` is {autocast!r}, which isn't null, bfloat16 or float16")
    if "adam" not in point["optimizer"].lower():
        raise Unscored(f"`optimizer` is {point['optimizer']!r}, which isn't AdamW")
    if not isinstance(point.get("measured_gib"), dict):
        raise Unscored("`measured_gib` is missing")
    config = _config(point)
    return ForeignJob(
        config=config,
        dtype=_DTYPES[precision],
        autocast=_AUTOCAST[autocast],
        quantised=method == "qlora",
        double_quantised=bool(point.get("double_quant")) or "double" in (point.get("quantization") or ""),
        rank=point["lora_rank"],
        targets=tuple(point.get("lora_targets") or _TARGETS),
        batch=point["batch_size"],
        length=point["seq_len"],
        checkpointing=point["grad_checkpoint"],
        eager=point.get("attn") == "eager",
        states_in_8_bits="8" in point["optimizer"],
        keeps_outputs=_keeps_outputs(point, config["vocab_size"]),
        rules=KernelRules(
            capability=card_of(point).capability,
            has_flash="Windows" not in point.get("os", ""),
            efficient_takes_groups=release_of(point["torch"]) >= (2, 10),
        ),
    )


def card_of(point: dict[str, Any]) -> Card:
    """The card of a point, by the name that its driver reports.

    Raises:
        Unscored: ftc's catalogue doesn't have it.
    """
    names = [name for name, card in CARDS.items() if card.label in point["gpu"]]
    if not names:
        raise Unscored(f"`gpu` is {point['gpu']!r}, which no card of ftc's catalogue is")
    return CARDS[max(names, key=lambda name: len(CARDS[name].label))]


def release_of(version: str | None) -> tuple[int, ...]:
    """Major and minor number of a release; empty where it isn't told."""
    return tuple(map(int, version.split("+")[0].split(".")[:2])) if version else ()


def _config(point: dict[str, Any]) -> dict[str, Any]:
    """The model's sizes, from the point where it has them, else from the table."""
    told = point.get("model_config")
    if isinstance(told, dict) and "model_type" in told:
        return told
    if point.get("model") in CONFIGS:
        return CONFIGS[point["model"]]
    if not isinstance(told, dict):
        raise Unscored(f"sizes of {point.get('model')!r} aren't known, and it has no `model_config`")
    for kind in _KINDS:
        config = _of_kind(kind, told)
        if _num_weights(config) == told.get("num_params"):
            return config
    raise Unscored(f"`model_config` has no `model_type`, and {', '.join(_KINDS)} don't have that many weights")


def _of_kind(kind: str, told: dict[str, Any]) -> dict[str, Any]:
    names = ("hidden_size", "intermediate_size", "num_layers", "num_attention_heads", "num_kv_heads", "vocab_size")
    if missing := [name for name in names if not isinstance(told.get(name), int)]:
        raise Unscored(f"`model_config` lacks {', '.join(missing)}")
    more = {"head_dim": told["head_dim"]} if told.get("head_dim") else {}
    hidden, inner, layers, heads, kv_heads, vocab = (told[name] for name in names)
    is_tied = bool(told.get("tie_word_embeddings"))
    return _sizes(kind, hidden, inner, layers, heads, kv_heads, vocab, is_tied, **more)


def _num_weights(config: dict[str, Any]) -> int:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config(config))
    return sum(parameter.numel() for parameter in model.parameters())


def _keeps_outputs(point: dict[str, Any], vocab_size: int) -> bool:
    """Whether a 16-bit tensor of all scores outlived the first step, by what was allocated after it.

    Published runs without such a snapshot are taken to let go of it, as a function that makes a step does.
    """
    allocated = {moment["stage"]: moment["allocated"] for moment in point.get("stage_snapshots_gib", ())}
    if "after_first_optimizer_step" not in allocated:
        return False
    left = (allocated["after_first_optimizer_step"] - allocated["after_optimizer_init"]) * GIB
    return bool(left > 2 * point["batch_size"] * point["seq_len"] * vocab_size)
