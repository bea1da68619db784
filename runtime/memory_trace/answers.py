"""Answers that a model writes, in the passes that decide about memory: over the prompts, and the last step's."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ftc.runtime.evaluation.generate import cache_name
from ftc.runtime.memory_trace.images import with_stand_in_images
from ftc.runtime.memory_trace.rows import stand_in_rows
from ftc.runtime.memory_trace.sections import Groups, layers_name
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.runtime.models.pixels import image_inputs
from ftc.runtime.tasks.scorer import pixels_of
from ftc.spec.documents.memory_trace import BatchShape, TraceJob

__all__ = ["can_write", "write_answers", "writes_answers"]


def writes_answers(job: TraceJob) -> bool:
    """Whether the run's evaluation has answers written, and the trace can follow."""
    return job.settings.eval.max_new_tokens is not None and can_write(job)


def can_write(job: TraceJob) -> bool:
    """Whether the trace can follow answers that are written, to prompts of a known shape.

    Virtual tokens go into keys and values by a way of peft's own; beside their training they need little.
    """
    return job.evaluation is not None and job.settings.strategy.traits.num_virtual == 0


def write_answers(
    job: TraceJob, model: Any, tracker: StorageTracker, groups: Sequence[Groups], device: torch.device, more: int
) -> None:
    """Logs the passes over one batch of the longest prompts, with answers of so many tokens; a teacher has no group."""
    assert job.evaluation is not None
    rows, length = job.settings.eval.batch_size, job.evaluation.length
    if job.settings.model.family == "encoder_decoder":
        length = max(1, length - job.evaluation.supervised)
    ids, seen = torch.zeros(rows, length, dtype=torch.long, device=device), dict[str, torch.Tensor]()
    if job.evaluation.images:
        ids, seen = _prompts_with_images(job, job.evaluation, model, device)
    mask = torch.ones_like(ids)
    # Names of arguments differ between releases of transformers.
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes = frozenset(inspect.signature(base.forward).parameters)
    memory = cache_name(model)
    options: dict[str, Any] = {"use_cache": True, **({"logits_to_keep": 1} if "logits_to_keep" in takes else {})}
    if job.settings.model.family == "encoder_decoder":
        tracker.section(f"{tracker.purpose}: encoder embedding")
        read = model.get_encoder()(input_ids=ids, attention_mask=mask)
        start = ids[:, :1].clone()
        options |= {"encoder_outputs": read, "attention_mask": mask}
        cache = model(decoder_input_ids=start, **options).past_key_values
        _lengthen(tracker, groups[-1:], cache.self_attention_cache, more - 2, is_decoder=True)
        model(decoder_input_ids=start, **{memory: cache}, **options)
        return
    cache = model(input_ids=ids, attention_mask=mask, **seen, **options).past_key_values
    _lengthen(tracker, groups[-1:], cache, more - 2)
    token, longer = ids[:, :1].clone(), torch.ones(rows, length + more - 1, dtype=torch.long, device=device)
    # A model whose places go in two directions would count those of all tokens; `generate` gives it the last one's.
    options |= {"position_ids": longer[:, -1:]} if seen else {}
    model(input_ids=token, attention_mask=longer, **{memory: cache}, **options)


def _prompts_with_images(
    job: TraceJob, shape: BatchShape, model: Any, device: torch.device
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Ids of the prompts, and what the model takes for their images; both stay until the last answer is written."""
    rows, settings = stand_in_rows(job.settings, shape, job.settings.eval.batch_size), job.settings.model
    rows = with_stand_in_images(job, shape, rows, model.config, device)
    ids = torch.from_numpy(rows.all_ids.reshape(len(rows), -1).astype(np.int64)).to(device)
    pixels = pixels_of(rows, list(range(len(rows))))
    moved = {name: one.to(device) for name, one in pixels.items()} if pixels else None
    return ids, image_inputs(settings.vision, ids, moved, torch.zeros_like(ids))


def _lengthen(
    tracker: StorageTracker, stack: Sequence[Groups], cache: Any, tokens: int, *, is_decoder: bool = False
) -> None:
    """Makes room for what all steps but the last add; a layer that looks back only so far keeps no more."""
    name = layers_name(tracker.purpose, is_decoder=is_decoder)
    for number, layer in enumerate[Any](cache.layers if tokens > 0 else ()):
        for groups in stack:
            tracker.section(name, groups.of(number))
        window = getattr(layer, "sliding_window", None)
        length = layer.keys.shape[-2] + tokens
        if hasattr(layer, "cumulative_length"):  # by which a mask knows how far behind its keys the answer is
            layer.cumulative_length += tokens
        length = min(length, max(window - 1, layer.keys.shape[-2])) if window else length
        layer.keys, layer.values = (
            part.new_empty(*part.shape[:-2], length, part.shape[-1]) for part in (layer.keys, layer.values)
        )
