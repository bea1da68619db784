"""A plan's teacher in a trace: the whole model without memory, counted once and asked as the run asks it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ftc.runtime.memory_trace.marking_scorer import Marked
from ftc.runtime.memory_trace.meta_model import MetaBase, model_config
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.tasks.scorer import Arithmetic
from ftc.runtime.training.distillation import Teacher, build_teacher, make_teacher
from ftc.spec.documents.memory_trace import TraceJob

__all__ = ["teacher_on_meta", "watched_teacher"]

_META = torch.device("meta")


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
    teacher = make_teacher(job.settings, model, arithmetic)
    return replace(teacher, scorer=Marked(teacher.scorer, tracker, before="teacher"))
