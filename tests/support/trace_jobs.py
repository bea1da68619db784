"""Small trace jobs: a model's sizes and the settings of a run."""

from __future__ import annotations

from typing import Any

from ftc.spec.architectures import architecture
from ftc.spec.documents.memory_trace import BatchShape, TraceDevice, TraceJob
from ftc.spec.documents.settings import Settings
from ftc.spec.optimizer_choice import usual_optimizer
from tests.support import documents

__all__ = ["CARD", "LLAMA", "PROCESSOR", "trace_job"]

LLAMA = {
    "model_type": "llama",
    "vocab_size": 1024,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
CARD = TraceDevice(kind="cuda", capability=(8, 0), expandable_segments=False)
PROCESSOR = TraceDevice(kind="cpu", capability=None, expandable_segments=False)
_TARGETS = {"bert": ("query", "value"), "gpt2": ("c_attn",), "t5": ("q", "v")}
_EXPERTS = ("experts.down_proj", "experts.gate_up_proj")
_LABELS = ("cold", "hot", "mild")


def trace_job(
    config: dict[str, Any] = LLAMA,
    strategy: str = "lora",
    *,
    device: TraceDevice = CARD,
    shape: BatchShape | None = None,
    rank: int = 8,
    num_modules: int = 1,
    num_parameters: int = 4,
    targets: tuple[str, ...] = (),
    token_ids: tuple[int, ...] = (),
    **changes: Any,
) -> TraceJob:
    """A job of two micro-batches of 2 rows; `changes` are settings by dotted path with `__` for the dot."""
    kind = config["model_type"]
    family = architecture(kind).family or "decoder"
    is_encoder = family == "encoder"
    adapter = {
        "rank": rank,
        "alpha": 16,
        "dropout": 0.1,
        "targets": targets or _TARGETS.get(kind, ("q_proj", "v_proj")),
        "num_modules": num_modules,
        "trained_modules": ("classifier",) if is_encoder else (),
        "token_ids": token_ids,
    }
    of_experts = {"dropout": 0.0, "target_parameters": _EXPERTS, "num_parameters": num_parameters}
    strategies: dict[str, dict[str, Any]] = {
        "full": {"kind": "full"},
        "lora": {"kind": "lora", "adapter": adapter},
        "experts": {"kind": "lora", "adapter": adapter | of_experts},
        "qlora": {"kind": "qlora", "adapter": adapter, "quantization": "nf4", "double_quantization": True},
        "int8": {"kind": "qlora", "adapter": adapter, "quantization": "int8", "double_quantization": False},
        "dora": {"kind": "lora", "adapter": {**adapter, "dora": True}},
        "partial": {"kind": "partial", "layers": 1, "embeddings": False},
        "chosen": {"kind": "partial", "layers": "all", "embeddings": True, "parameters": ("layers.1.mlp", "norm")},
        "bitfit": {"kind": "bitfit"},
    }
    others: dict[str, dict[str, Any]] = {
        "ln_tuning": {"num_modules": num_modules},
        "ia3": {"num_modules": num_modules},
        "bottleneck": {"num_modules": num_modules, "placement": "houlsby", "size": 8, "activation": "gelu"},
        "prompt_tuning": {"virtual_tokens": 5, "init": "random"},
        "p_tuning": {"virtual_tokens": 5, "encoder_size": 16},
        "prefix_tuning": {"virtual_tokens": 5, "num_layers": 2},
    }
    others["lstm"] = {"kind": "p_tuning", **others["p_tuning"], "encoder": "lstm"}
    others["projected"] = {"kind": "prefix_tuning", **others["prefix_tuning"], "projection_size": 12}
    for name, more in others.items():
        strategies[name] = {"kind": name, "trained_modules": adapter["trained_modules"], **more}
    settings = documents.plan().settings.model_dump()
    settings["strategy"] = strategies[strategy]
    settings["model"] |= {"family": family, "head": "classification" if is_encoder else "lm", "attention": "sdpa"}
    settings["model"]["decoder_start_id"] = 0 if family == "encoder_decoder" else None
    settings["text"] |= {"labels": _LABELS if is_encoder else ()}
    settings["train"] |= {"batch_size": 4, "micro_batch": 2, "precision": "float32", "fused": True}
    settings["train"] |= {"activation_checkpointing": False, "world_size": 1}
    settings["eval"] |= {"batch_size": 3}
    for path, value in changes.items():
        section, _, name = path.partition("__")
        settings[section][name] = value
    if (usual := usual_optimizer(settings["train"]["precision"])) is not None:
        settings["train"] |= {"optimizer": {**settings["train"]["optimizer"], "kind": usual}, "fused": False}
    shape = shape or BatchShape(length=48, supervised=20, padded=False)
    return TraceJob(
        config=config, settings=Settings.model_validate(settings), train=shape, evaluation=shape, device=device
    )
