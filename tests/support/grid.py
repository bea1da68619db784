"""Public architectures by the sizes in their published `config.json`, as facts that a plan would hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ftc.compiler.memory.evaluation_formula import EvaluationInputs, TeacherInputs, held_bytes
from ftc.compiler.memory.memory import by_closed_form, question
from ftc.compiler.memory.memory_formula import MemoryInputs, estimate, quantized_bytes
from ftc.compiler.memory.sharded_formula import on_one_of
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.model_form import linear_modules
from ftc.runtime.memory_trace.child import trace
from ftc.runtime.memory_trace.meta_model import model_config
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.expected import phase_groups
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.documents.loss_settings import DistillationSettings
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from ftc.spec.sections.distillation import TeacherQuantization
from ftc.spec.shardings import Offload, Sharding, sharding_card
from ftc.spec.strategies.common import low_rank
from tests.support.drafts import CARD, decided, draft_of, model_facts, split_report
from tests.support.lessons import lesson_of
from tests.support.trace_jobs import trace_job

__all__ = [
    "GRID",
    "by_both",
    "by_form",
    "by_trace",
    "grid_facts",
    "grid_job",
    "measuring_by_form",
    "measuring_by_trace",
    "shared_by_form",
    "shared_by_trace",
]

_ROWS, _SUPERVISED, _RANK, _MEASURED = 2, 256, 16, 16
_LENGTHS = {"encoder": 512}
_LENGTH = 1024
Packed = TeacherQuantization | None
_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
_LABELS = ("a", "b", "c")


def _decoder(kind: str, hidden: int, inner: int, layers: int, heads: int, keys: int, vocab: int, **more: Any) -> Any:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "vocab_size": vocab,
        "tie_word_embeddings": False,
        **more,
    }


def _encoder(kind: str, vocab: int, positions: int, **more: Any) -> Any:
    return {
        "model_type": kind,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        **more,
    }


GRID: dict[str, dict[str, Any]] = {
    "Llama-3.1-8B": _decoder("llama", 4096, 14336, 32, 32, 8, 128256),
    "Mistral-7B-v0.3": _decoder("mistral", 4096, 14336, 32, 32, 8, 32768, sliding_window=None),
    "Qwen2.5-1.5B": _decoder("qwen2", 1536, 8960, 28, 12, 2, 151936, tie_word_embeddings=True),
    "Qwen3-1.7B": _decoder("qwen3", 2048, 6144, 28, 16, 8, 151936, tie_word_embeddings=True, head_dim=128),
    "Gemma-2-2B": _decoder(
        "gemma2",
        2304,
        9216,
        26,
        8,
        4,
        256000,
        tie_word_embeddings=True,
        head_dim=256,
        query_pre_attn_scalar=256,
        final_logit_softcapping=30.0,
        attn_logit_softcapping=50.0,
    ),
    "Phi-3-mini": _decoder("phi3", 3072, 8192, 32, 32, 32, 32064, pad_token_id=32000),
    "Phi-2": _decoder("phi", 2560, 10240, 32, 32, 32, 51200, partial_rotary_factor=0.4),
    "OLMo-2-1B": _decoder("olmo2", 2048, 8192, 16, 16, 16, 100352),
    "OLMo-3-7B": _decoder("olmo3", 4096, 11008, 32, 32, 32, 100278, sliding_window=4096),
    "Ministral-3-3B": _decoder("ministral3", 3072, 9216, 26, 32, 8, 131072, head_dim=128),
    "StableLM-2-1.6B": _decoder("stablelm", 2048, 5632, 24, 32, 32, 100352, partial_rotary_factor=0.25),
    "Gemma-3-1B": _decoder(
        "gemma3_text",
        1152,
        6912,
        26,
        4,
        1,
        262144,
        head_dim=256,
        tie_word_embeddings=True,
        query_pre_attn_scalar=256,
        sliding_window=512,
    ),
    "XLM-R-base": _encoder("xlm-roberta", 250002, 514, type_vocab_size=1),
    "SmolLM2-360M": _decoder("llama", 960, 2560, 32, 15, 5, 49152, tie_word_embeddings=True),
    "GPT-2": {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_positions": 1024,
        "vocab_size": 50257,
    },
    "Pythia-1.4B": {
        "model_type": "gpt_neox",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "vocab_size": 50304,
        "max_position_embeddings": 2048,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
    },
    "BERT-base": _encoder("bert", 30522, 512),
    "RoBERTa-base": _encoder("roberta", 50265, 514, type_vocab_size=1),
    "EuroBERT-210M": _encoder("eurobert", 128256, 8192, num_key_value_heads=12),
    "DeBERTa-v3-base": _encoder(
        "deberta-v2",
        128100,
        512,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        max_relative_positions=-1,
        position_biased_input=False,
    ),
    "T5-base": {
        "model_type": "t5",
        "d_model": 768,
        "d_kv": 64,
        "d_ff": 3072,
        "num_layers": 12,
        "num_decoder_layers": 12,
        "num_heads": 12,
        "vocab_size": 32128,
        "decoder_start_token_id": 0,
        "is_encoder_decoder": True,
    },
}
_TARGETS = {
    "gpt2": ("c_attn",),
    "gpt_neox": ("query_key_value",),
    "phi3": ("qkv_proj",),
    "bert": ("query", "value"),
    "roberta": ("query", "value"),
    "xlm-roberta": ("query", "value"),
    "deberta-v2": ("query_proj", "value_proj"),
    "t5": ("q", "v"),
}
"""Layers of attention that get an adapter; `q_proj` and `v_proj` of the others."""


def grid_facts(config: dict[str, Any]) -> ModelFacts:
    """What a plan would know of a model with this configuration."""
    import transformers as t

    read = read_config({**config, "architectures": ["GridForCausalLM"]})
    kinds = {"decoder": t.AutoModelForCausalLM, "encoder": t.AutoModel, "encoder_decoder": t.AutoModelForSeq2SeqLM}
    with torch.device("meta"):
        model = kinds[read.family].from_config(model_config(config))
    tensors = {name: TensorFacts(dtype="F32", shape=tuple(one.shape)) for name, one in model.named_parameters()}
    return model_facts(
        config=config,
        model_type=read.model_type,
        family=read.family,
        hidden_size=read.hidden_size,
        intermediate_size=read.intermediate_size,
        num_layers=read.num_layers,
        num_decoder_layers=read.num_decoder_layers,
        decoder_start_id=read.decoder_start_id,
        num_heads=read.num_heads,
        num_kv_heads=read.num_kv_heads,
        head_dim=read.head_dim,
        vocab_size=read.vocab_size,
        tied_embeddings=bool(model.config.tie_word_embeddings),
        tensors=tensors,
        linear_modules=linear_modules(tensors, read.model_type),
    )


def by_form(
    facts: ModelFacts, strategy: str, recomputing: Recomputing, teacher: ModelFacts | None = None, packed: Packed = None
) -> PhasePeak:
    """The largest moment of training by the closed form."""
    job = _form_job(facts, strategy, recomputing)
    if teacher is not None:
        width = job.head_width if teacher.family == "encoder" else teacher.vocab_size
        taught = TeacherInputs(held_bytes(teacher, "bfloat16", packed), job.head_rows * width)
        job = replace(job, taught=taught)
    return max(estimate(job), key=lambda phase: phase.peak_bytes)


def shared_by_form(
    facts: ModelFacts, strategy: str, recomputing: Recomputing, devices: int, sharding: Sharding, offload: Offload
) -> PhasePeak:
    """The largest moment on one of several devices by the closed form."""
    card = sharding_card(sharding)
    job = replace(_form_job(facts, strategy, recomputing), in_parts=card.is_divided)
    phases = on_one_of(estimate(job), job, card, card.parts(devices, 1), offload)
    return max(phases, key=lambda phase: phase.peak_bytes)


def shared_by_trace(
    facts: ModelFacts, strategy: str, recomputing: Recomputing, devices: int, sharding: Sharding, offload: Offload
) -> PhasePeak:
    """The same by the trace."""
    job = grid_job(facts, strategy, recomputing)
    train = job.settings.train
    shared = {"sharding": sharding, "offload": offload, "world_size": devices}
    train = train.model_copy(update={**shared, "batch_size": train.batch_size * devices})
    settings = job.settings.model_copy(update={"train": train})
    return trace(job.model_copy(update={"settings": settings, "evaluation": None})).peak


def by_both(facts: ModelFacts, strategy: dict[str, Any], **train: Any) -> tuple[int, int]:
    """The largest moment of a planned job with padded rows, by the closed form and by the trace.

    Args:
        facts: The model.
        strategy: The recipe's section.
        train: What else the recipe says under `train`.
    """
    task = {"encoder": "classification", "decoder": "chat", "encoder_decoder": "summarization"}[facts.family]
    length = _LENGTHS.get(facts.family, _LENGTH) - 32  # virtual tokens need places too
    settled = {"activation_checkpointing": False, "precision": "bfloat16", "packing": False, "micro_batch": 8}
    card = CARD.model_copy(update={"capability": (9, 0), "memory_bytes": 2**42})
    draft = draft_of(
        facts=facts, device=card, task={"kind": task}, strategy=strategy, train={"batch_size": 16, **settled, **train}
    )
    report = split_report(100, length_max=length, supervised_max=_SUPERVISED)
    draft = replace(draft, splits=dict.fromkeys(draft.splits, report), packages=dict.fromkeys(("bitsandbytes",)))
    draft = decided(replace(draft, labels=_LABELS if task == "classification" else ()))
    point = draft.candidate
    return by_closed_form(draft.at(point)).allocated_bytes, trace(question(draft.at(point))).allocated_bytes


def measuring_by_form(facts: ModelFacts, strategy: str) -> dict[str, int]:
    """Peaks while rows are scored, and while answers are written where the model can, by the closed form."""
    is_encoder = facts.family == "encoder"
    measuring = EvaluationInputs(
        rows=_MEASURED,
        length=_LENGTHS.get(facts.family, _LENGTH),
        target_length=_SUPERVISED if facts.family == "encoder_decoder" else 0,
        scored=1 if is_encoder else _SUPERVISED,
        new_tokens=0 if is_encoder else _SUPERVISED,
        masked=facts.family != "decoder",
    )
    return _measuring(estimate(replace(_form_job(facts, strategy, True), measuring=measuring)))


def measuring_by_trace(facts: ModelFacts, strategy: str) -> dict[str, int]:
    """The same by the trace."""
    is_encoder, job = facts.family == "encoder", grid_job(facts, strategy, True)
    changes = {"batch_size": _MEASURED, "max_new_tokens": None if is_encoder else _SUPERVISED}
    settings = job.settings.model_copy(update={"eval": job.settings.eval.model_copy(update=changes)})
    shape = BatchShape(length=_LENGTHS.get(facts.family, _LENGTH), supervised=_SUPERVISED, padded=True)
    return _measuring(trace(job.model_copy(update={"evaluation": shape, "settings": settings})).phases)


def _measuring(phases: Sequence[PhasePeak]) -> dict[str, int]:
    groups = phase_groups(phases)
    return {name: groups[name].peak_bytes for name in ("evaluation", "generation") if name in groups}


def _form_job(facts: ModelFacts, strategy: str, recomputing: Recomputing) -> MemoryInputs:
    targets = {name: size for name, size in facts.linear_modules.items() if name.endswith(_targets(facts))}
    full, is_encoder = strategy == "full", facts.family == "encoder"
    length = _LENGTHS.get(facts.family, _LENGTH)
    head = facts.hidden_size * len(_LABELS) + len(_LABELS) if is_encoder else 0
    head += (
        facts.hidden_size * (facts.hidden_size + 1) if facts.model_type in ("roberta", "xlm-roberta") else 0
    )  # its head has two layers
    trained = facts.num_parameters if full else sum(_RANK * (i + o) for i, o in targets.values())
    return MemoryInputs(
        model=facts,
        beside={} if full else {name: low_rank(_RANK, *size) for name, size in targets.items()},
        is_adapter=not full,
        num_trainable=trained + head,
        trained_bytes=4,
        state_bytes=8 * (trained + head),
        step_bytes=0,
        head_width=len(_LABELS) if is_encoder else facts.vocab_size,
        head_rows=_ROWS if is_encoder else _ROWS * _SUPERVISED,
        tokens=_ROWS * length,
        length=length,
        weight_bytes={"full": 4.0, "lora": 2.0, "qlora": quantized_bytes(facts, _NF4)}[strategy],
        activation_bytes=2,
        checkpointing=recomputing,
        accumulates=True,
        quantized=strategy == "qlora",
        target_length=_SUPERVISED if facts.family == "encoder_decoder" else 0,
    )


def by_trace(
    facts: ModelFacts, strategy: str, recomputing: Recomputing, teacher: ModelFacts | None = None, packed: Packed = None
) -> PhasePeak:
    """The largest moment of training by the trace."""
    job = grid_job(facts, strategy, recomputing)
    if teacher is not None:
        outputs = tuple(range(len(_LABELS))) if teacher.family == "encoder" else ()
        held = {"precision": "bfloat16", "quantization": packed}
        lesson = lesson_of("Grid", teacher.family, **held, teacher={"outputs": outputs})
        train = job.settings.train.model_copy(update={"distillation": DistillationSettings.model_validate(lesson)})
        settings = job.settings.model_copy(update={"train": train})
        job = job.model_copy(update={"settings": settings, "teacher": teacher.config})
    return trace(job.model_copy(update={"evaluation": None})).peak


def grid_job(facts: ModelFacts, strategy: str, recomputing: Recomputing) -> TraceJob:
    """The step as a job for the trace."""
    is_encoder = facts.family == "encoder"
    changes: dict[str, Any] = {"text__labels": _LABELS} if is_encoder else {}
    return trace_job(
        facts.config,
        strategy,
        shape=BatchShape(length=_LENGTHS.get(facts.family, _LENGTH), supervised=_SUPERVISED, padded=False),
        rank=_RANK,
        targets=_targets(facts),
        num_modules=sum(name.endswith(_targets(facts)) for name in facts.linear_modules),
        model__family=facts.family,
        model__head="classification" if is_encoder else "lm",
        train__activation_checkpointing=recomputing,
        train__precision="bfloat16",
        train__micro_batch=_ROWS,
        **changes,
    )


def _targets(facts: ModelFacts) -> tuple[str, ...]:
    return _TARGETS.get(facts.model_type, ("q_proj", "v_proj"))
