"""Loads a plan's teacher, with all its weights and beside nothing else: no adapter, no dropout, no gradient."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.build_model import Base, keep_differentiable, load_base
from ftc.runtime.tasks.objectives import make_scorer
from ftc.runtime.tasks.scorer import Arithmetic
from ftc.runtime.training.distillation import Teacher
from ftc.spec.documents.settings import DistillationSettings, Settings

__all__ = ["build_teacher", "make_teacher", "seen_by_teacher"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_SUPPORTS = {"sdpa": "_supports_sdpa", "flash_attention_2": "_supports_flash_attn"}
"""Where a class of transformers says which kernels it has beside the plain formula."""
_HEADS = ["classifier", "classification_head", "lm_head", "pre_classifier", "qa_outputs", "score"]
"""Layers that are never packed: they are small, or a probability each of whose bits is wanted."""


def seen_by_teacher(settings: Settings) -> Settings:
    """A run's settings with the teacher in place of the model: the same head over the same rows."""
    lesson = settings.train.distillation
    assert lesson is not None, "the plan has a teacher"
    teacher = lesson.teacher
    changes = {"base": teacher.base, "commit": teacher.commit, "architecture": teacher.architecture}
    changes["attention"] = _kernel(teacher.architecture, settings.model.attention)
    model = settings.model.model_copy(update={**changes, "family": teacher.family})
    return settings.model_copy(update={"model": model})


def _kernel(architecture: str, wanted: str) -> str:
    """The run's kernel of attention, or the plain formula where the teacher's class lacks that."""
    import transformers

    kind, flag = getattr(transformers, architecture, None), _SUPPORTS.get(wanted, "")
    return wanted if getattr(kind, flag, True) else "eager"


def build_teacher(settings: Settings, base: Base, device: torch.device) -> nn.Module:
    """The teacher on its device, in evaluation mode and frozen.

    Raises:
        Refusal: It can't be loaded (FTC635).
    """
    lesson = settings.train.distillation
    assert lesson is not None, "the plan has a teacher"
    dtype = _DTYPES[lesson.precision]
    options: dict[str, Any] = {"dtype": dtype, **_packing(lesson, dtype)}
    model = load_base(seen_by_teacher(settings), base, is_new=False, **options)
    keep_differentiable(model)  # no gradient is wanted, but the same kernel whatever the processor
    placed: nn.Module = model.requires_grad_(False).to(device).eval()
    return placed


def make_teacher(settings: Settings, model: nn.Module, arithmetic: Arithmetic | None = None) -> Teacher:
    """A teacher that can be asked; its scorer hooks itself into the model for good."""
    assert settings.train.distillation is not None, "the plan has a teacher"
    scorer = make_scorer(model, seen_by_teacher(settings), arithmetic)
    return Teacher(model, scorer, settings.train.distillation, settings.model.head)


def _packing(lesson: DistillationSettings, dtype: torch.dtype) -> dict[str, Any]:
    if lesson.quantization is None:
        return {}
    from transformers import BitsAndBytesConfig

    if lesson.quantization == "int8":
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a line for every product
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=_HEADS)}
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=_HEADS,
    )
    return {"quantization_config": nf4}
