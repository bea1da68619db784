"""The log of the whole model: from a few layers where they repeat, else from all, as where adapters differ by layer."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from ftc.runtime.memory_trace.kernels import KernelRules, fused, register
from ftc.runtime.memory_trace.log import TRACED_GROUPS, IrregularLayers, Log, stretched
from ftc.runtime.memory_trace.meta_model import (
    build_on_meta,
    depths_of,
    model_config,
    numbers_layers,
    period,
    repeats_after,
    require_stored_layers,
    teacher_on_meta,
)
from ftc.runtime.memory_trace.sections import Groups
from ftc.runtime.memory_trace.step import run_steps
from ftc.spec.documents.memory_trace import TraceJob
from ftc.spec.strategies.chosen import ChosenSettings

__all__ = ["log_of", "whole_groups", "whole_log"]


def whole_log(job: TraceJob) -> tuple[Log, int]:
    """The log at the model's real depth, and how many layers were traced for it.

    Raises:
        LookupError: transformers doesn't know this kind of model, it has no stack of layers, or it isn't the model
            whose weights are stored.
    """
    config = model_config(job.config)
    depths = depths_of(config)
    size = math.lcm(period(config), *map(repeats_after, job.layer_weights))
    sizes = [size] * len(depths)
    if job.settings.model.vision is not None:
        sizes[0] = depths[0] if numbers_layers(config) else 1
    few, groups = _few(depths, sizes)
    if (last := _last_trained(job, depths)) is not None:
        few, groups = _few_and_last(depths[0], last) if sizes == [1] else (depths, whole_groups(depths))
    require_stored_layers(job, few)
    if few != depths and not job.settings.strategy.traits.differs_by_layer:
        with contextlib.suppress(IrregularLayers):
            log = log_of(_trained_among(job, groups), few, groups)
            # The later ones first: they leave the numbers of earlier groups alone.
            for one in reversed([part for stack in groups for part in stack.repeating]):
                if one.of_model > one.count:
                    log = stretched(log, one.of_model, one.first)
            return log, sum(few)
    return log_of(job, depths, whole_groups(depths)), sum(depths)


def _last_trained(job: TraceJob, depths: Sequence[int]) -> int | None:
    """How many last layers alone are trained; None where layers of a stack are alike, but for the last one."""
    strategy = job.settings.strategy
    last = strategy.deepest_trained if isinstance(strategy, ChosenSettings) else None
    return last if last is not None and 1 < last < max(depths) else None


def _few_and_last(depth: int, last: int) -> tuple[tuple[int, ...], list[Groups]]:
    """The same for a stack whose last layers are trained: those before them repeat, and so do they."""
    before = depth - last
    frozen = Groups(1, min(before, TRACED_GROUPS), before)
    trained = Groups(1, min(last, TRACED_GROUPS), last, frozen.count)
    traced = frozen.count + trained.count
    return (traced,), [Groups(1, traced, depth, parts=(frozen, trained))]


def _trained_among(job: TraceJob, groups: Sequence[Groups]) -> TraceJob:
    """The job for the few layers, of which as many are trained as stand for those of the model."""
    strategy = job.settings.strategy
    if not groups[0].parts or not isinstance(strategy, ChosenSettings):
        return job
    strategy = strategy.with_deepest_trained(groups[0].parts[-1].count)
    return job.model_copy(update={"settings": job.settings.model_copy(update={"strategy": strategy})})


def _few(depths: tuple[int, ...], sizes: Sequence[int]) -> tuple[tuple[int, ...], list[Groups]]:
    """For each stack as many layers as are traced, in groups of so many, and these groups."""
    traced: list[int] = []
    groups: list[Groups] = []
    for layers, size in zip(depths, sizes, strict=True):
        first = groups[-1].first + groups[-1].count if groups else 0
        whole, rest = divmod(layers, size)
        if whole > TRACED_GROUPS:
            traced.append(TRACED_GROUPS * size + rest)
            groups.append(Groups(size, TRACED_GROUPS, whole, first))
        else:
            traced.append(layers)
            groups.append(Groups(1, layers, layers, first))
    return tuple(traced), groups


def whole_groups(depths: Sequence[int]) -> list[Groups]:
    """Groups where every layer is traced, each a group of its own."""
    return [Groups(1, layers, layers, sum(depths[:stack])) for stack, layers in enumerate(depths)]


def log_of(job: TraceJob, depths: Sequence[int], groups: Sequence[Groups]) -> Log:
    """The log of a model with so many layers in each stack."""
    rules = KernelRules(capability=job.device.capability)
    register(rules)
    with fused(rules):
        return run_steps(job, build_on_meta(job, depths), groups, teacher=teacher_on_meta(job))
