"""The log of the whole model: from a few layers where they repeat, else from all."""

from __future__ import annotations

import contextlib

from ftc.runtime.trace.extrapolate import TRACED_GROUPS, IrregularLayers, stretched
from ftc.runtime.trace.kernels import KernelRules, register
from ftc.runtime.trace.log import Log
from ftc.runtime.trace.meta_model import build_on_meta, model_config, num_layers, period
from ftc.runtime.trace.sections import Groups
from ftc.runtime.trace.step import run_steps
from ftc.spec.trace import TraceJob

__all__ = ["log_of", "whole_log"]


def whole_log(job: TraceJob) -> tuple[Log, int]:
    """The log at the model's real depth, and how many layers were traced for it.

    Raises:
        LookupError: transformers doesn't know this kind of model, or it has no single stack of layers.
    """
    config = model_config(job.config)
    layers, size = num_layers(config), period(config)
    groups, rest = divmod(layers, size)
    if groups > TRACED_GROUPS:
        traced = TRACED_GROUPS * size + rest
        with contextlib.suppress(IrregularLayers):
            return stretched(log_of(job, traced, Groups(size, TRACED_GROUPS, groups)), groups), traced
    return log_of(job, layers, Groups(1, layers, layers)), layers


def log_of(job: TraceJob, layers: int, groups: Groups) -> Log:
    """The log of a model with this many layers."""
    register(KernelRules(capability=job.device.capability))
    return run_steps(job, build_on_meta(job, layers), groups)
