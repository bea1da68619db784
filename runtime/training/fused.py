"""Fused kernels in a run: tried on its first rows before its first step, and left out where they fail."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ftc.runtime.models.fused_layers import fuse_layers
from ftc.runtime.tasks.text_groups import coupling_of
from ftc.runtime.training.loop import Job, rehearse
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["use_kernels"]


def use_kernels(job: Job, model: nn.Module, notice: Callable[[Diagnostic], None]) -> None:
    """Has the plan's parts of layers computed by fused kernels, or tells why they aren't.

    Kernels are compiled when they are first called, so a micro-batch goes forward and back here: whatever fails, fails
    before the first step. A run that goes on tries the same rows.

    Args:
        job: Before its first step, in evaluation mode; its gradients are empty afterwards.
        model: Not wrapped.
        notice: Called with the finding where torch's own kernels remain (FTC674).
    """
    try:
        undo = fuse_layers(model, job.train)
    except (ImportError, LookupError, AttributeError, TypeError) as error:
        notice(_not_used(error))
        return
    job.model.train()
    try:
        fed = job.source.at(0)
        pieces = fed.micro_batches(job.train.micro_batch, job.accelerator.process_index, job.accelerator.num_processes)
        if (rows := next(filter(None, pieces), None)) is not None and coupling_of(job.scorer) is None:
            rehearse(job, 0, rows)
    except torch.OutOfMemoryError:
        raise  # the step itself is too large
    except Exception as error:  # noqa: BLE001 - a compiler's own errors have no class in common
        undo()
        notice(_not_used(error))
    finally:
        job.optimizer.zero_grad(set_to_none=True)
        job.model.eval()


def _not_used(error: Exception) -> Diagnostic:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return diagnostic(
        "FTC674",
        f"fused kernels are not used: {lines[0][:300]}",
        notes="steps take more memory than planned, up to what the plan says without them",
        help="write `kernels: torch`, and plan again",
        path="train.kernels",
    )
