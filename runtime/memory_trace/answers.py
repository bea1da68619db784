"""Writing answers without memory: the pass over the prompts, and the last step, at which keys and values are most.

transformers' own loop asks after every token whether all answers have ended, which tensors without memory can't say. So
its two kinds of passes are called here, with the arguments that it would give them; between them keys and values become
as long as they are before the last token.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from ftc.runtime.evaluation.generate import cache_name
from ftc.runtime.memory_trace.sections import Groups, layers_name
from ftc.runtime.memory_trace.tracker import StorageTracker
from ftc.spec.architectures import Family
from ftc.spec.documents.memory_trace import BatchShape, TraceJob

__all__ = ["write_answers", "writes_answers"]


def writes_answers(job: TraceJob) -> bool:
    """Whether the run's evaluation has answers written, and the trace can follow.

    Virtual tokens go into keys and values by a way of peft's own; beside their training they need little.
    """
    asked = job.evaluation is not None and job.settings.eval.max_new_tokens is not None
    return asked and job.settings.strategy.traits.num_virtual == 0


def write_answers(
    job: TraceJob, model: Any, tracker: StorageTracker, groups: Sequence[Groups], device: torch.device
) -> None:
    """Logs the passes over one batch of the longest prompts."""
    assert job.evaluation is not None
    rows, length = job.settings.eval.batch_size, _prompt_length(job.evaluation, job.settings.model.family)
    more = job.settings.eval.max_new_tokens or 1
    tracker.purpose = "generation"
    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
    mask = torch.ones_like(ids)
    takes = _parameters(model)
    memory = cache_name(model)
    options: dict[str, Any] = {"use_cache": True, **({"logits_to_keep": 1} if "logits_to_keep" in takes else {})}
    if job.settings.model.family == "encoder_decoder":
        tracker.section(f"{tracker.purpose}: encoder embedding")
        read = model.get_encoder()(input_ids=ids, attention_mask=mask)
        start = ids[:, :1].clone()
        options |= {"encoder_outputs": read, "attention_mask": mask}
        cache = model(decoder_input_ids=start, **options).past_key_values
        _lengthen(tracker, groups[-1], cache.self_attention_cache, more - 2)
        model(decoder_input_ids=start, **{memory: cache}, **options)
        return
    cache = model(input_ids=ids, attention_mask=mask, **options).past_key_values
    _lengthen(tracker, groups[-1], cache, more - 2)
    token, longer = ids[:, :1].clone(), torch.ones(rows, length + more - 1, dtype=torch.long, device=device)
    model(input_ids=token, attention_mask=longer, **{memory: cache}, **options)


def _prompt_length(shape: BatchShape, family: Family) -> int:
    """Tokens of the longest prompt: of an encoder-decoder what the encoder reads, else at most the whole row."""
    return max(1, shape.length - shape.supervised) if family == "encoder_decoder" else shape.length


def _parameters(model: Any) -> frozenset[str]:
    """What the model's own call takes; names differ between versions of transformers."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return frozenset(inspect.signature(base.forward).parameters)


def _lengthen(tracker: StorageTracker, groups: Groups, cache: Any, tokens: int) -> None:
    """Makes room for what all steps but the last add; a layer that looks back only so far keeps no more."""
    if tokens <= 0:
        return
    for number, layer in enumerate(cache.layers):
        tracker.section(layers_name(tracker.purpose, groups), groups.of(number))
        window = getattr(layer, "sliding_window", None)
        length = layer.keys.shape[-2] + tokens
        length = min(length, max(window - 1, layer.keys.shape[-2])) if window else length
        layer.keys, layer.values = (
            part.new_empty(*part.shape[:-2], length, part.shape[-1]) for part in (layer.keys, layer.values)
        )
