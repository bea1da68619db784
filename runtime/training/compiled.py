"""`torch.compile` of each layer for training: once for each kind of layer and of micro-batch, before the first step.

Generated code depends on the sizes that it is first made for, so it is made for the run's first micro-batches of each
kind wherever a run begins or goes on: a resumed run and a replay get the code of a run that never stopped. Only passes
that train take it; what is evaluated is computed as without.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.sharding import stacks_of
from ftc.runtime.tasks.text_groups import coupling_of
from ftc.runtime.training.loop import Job, rehearse
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["compile_layers"]

_FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError),
    ValueError,
)
"""How torch's compiler and the system's tell that they can't."""


_INDUCTOR: Mapping[str, Any] = {"backend": "inductor", "options": {"fallback_random": True}}
"""Dropout draws the numbers that it draws without compiling."""


def compile_layers(job: Job, notice: Callable[[Diagnostic], None], compiler: Mapping[str, Any] = _INDUCTOR) -> None:
    """Has the model's layers compiled, or tells why they aren't; then they run as they are.

    Args:
        job: The model is in evaluation mode, before its first step; its gradients are empty afterwards.
        notice: Called with the finding where layers stay uncompiled (FTC673).
        compiler: What makes code of a graph, as options of `torch.compile`.
    """
    if coupling_of(job.scorer) is not None:
        notice(_not_compiled("the loss of a row depends on the other rows of its step"))
        return
    try:
        layers = [layer for _, stack in stacks_of(job.model) for layer in stack]
    except LookupError as error:
        notice(_not_compiled(str(error)))
        return
    job.model.train()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what its own compiler imports and does
            for layer in layers:
                layer.forward = _while_training(layer, torch.compile(layer.forward, dynamic=True, **compiler))
            for step, rows in _kinds(job):
                rehearse(job, step, rows)
    except torch.OutOfMemoryError:
        raise  # the step itself is too large, compiled or not
    except _FAILURES as error:
        for layer in layers:
            vars(layer).pop("forward", None)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        told = next((line.strip() for line in lines if " error: " in line), lines[0])  # the compiler's own words
        notice(_not_compiled(f"torch says: {told[:300]}"))
    finally:
        job.optimizer.zero_grad(set_to_none=True)
        job.model.eval()


def _not_compiled(reason: str) -> Diagnostic:
    help = "leave `train.compile` out, or install a C++ compiler if it is missing"
    return diagnostic("FTC673", f"the layers are not compiled: {reason}", help=help, path="train.compile")


def _while_training(layer: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's way forward: compiled where gradients follow."""
    usual = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        trains = layer.training and torch.is_grad_enabled()
        return (compiled if trains else usual)(*args, **kwargs)

    return forward


def _kinds(job: Job) -> Iterator[tuple[int, list[int]]]:
    """The first micro-batch of each kind in the first epoch, with its step: of one row or several, padded or not."""
    seen = set[tuple[bool, bool]]()
    for step in range(min(job.train.num_steps, job.train.steps_per_epoch)):
        fed = job.source.at(step)
        for rows in fed.micro_batches(job.train.micro_batch, 0, 1):
            lengths = {int(fed.rows.lengths[row]) for row in rows}
            kind = len(rows) == 1, len(lengths) > 1 and not job.train.packing
            if rows and kind not in seen:
                seen.add(kind)
                yield step, rows
