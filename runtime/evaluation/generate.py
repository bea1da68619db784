"""Answers that a model writes: greedy, in batches, each begun at the same place by padding on the left."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ftc.runtime.evaluation.shared_prompt import SharedPrompt
from ftc.runtime.evaluation.static_cache import static_cache_pays
from ftc.runtime.models.sharding import is_sharded
from ftc.runtime.training.collate import prompt_batch
from ftc.runtime.training.signals import StopRequest
from ftc.spec.architectures import architecture
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["answers"]


def answers(
    model: Any,
    rows: TokenStream,
    order: list[list[int]],
    settings: Settings,
    decode: Callable[[list[int]], str],
    stop: StopRequest,
    device: torch.device,
) -> Iterator[dict[int, str]]:
    """Answers to batches of rows, by the row's number.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    is_static = static_cache_pays(model, settings, device, len(order))
    with _configured(model, _greedy(settings, _longest(rows, order) if is_static else None)):
        shared = None if is_static else _shared(model, rows, order, settings, device)
        # peft numbers places itself where virtual tokens stand before a row, and takes padding for a part of it.
        # A model in parts is called equally often everywhere, so that its batches stay as they are.
        reads_padding = architecture(model.config.model_type).reads_padding and not is_sharded(model)
        is_even = reads_padding or settings.strategy.traits.num_virtual > 0
        for numbers in _of_one_length(order, rows) if is_even else order:
            stop.check()
            # What is compiled is for so many rows, so the last batch is filled up with one of its own.
            filled = [*numbers, *[numbers[-1]] * (len(order[0]) - len(numbers))] if is_static else numbers
            written = _written(model, rows, filled, settings, device, shared)
            yield {number: decode(line) for number, line in zip(numbers, written, strict=False)}


@contextmanager
def _configured(model: Any, greedy: Any) -> Iterator[None]:
    """A block in which nothing of a model's own defaults holds, which may sample or penalize."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    holders = [model] if inner is model else [model, inner]  # some wrappers hand theirs on, and some don't
    before = [holder.generation_config for holder in holders]
    for holder in holders:
        holder.generation_config = greedy
    try:
        yield
    finally:
        for holder, kept in zip(holders, before, strict=True):
            holder.generation_config = kept


def _longest(rows: TokenStream, order: list[list[int]]) -> int:
    return max((rows.prompt_length(number) for numbers in order for number in numbers), default=0)


def _shared(
    model: Any, rows: TokenStream, order: list[list[int]], settings: Settings, device: torch.device
) -> SharedPrompt | None:
    """What all prompts begin with, where it can be computed by itself: an encoder looks at all of a prompt at once."""
    if settings.model.family != "decoder" or settings.strategy.traits.num_virtual or is_sharded(model):
        return None
    with _arithmetic(settings, device):
        return SharedPrompt.of(model, rows, [number for numbers in order for number in numbers], device)


def _of_one_length(order: list[list[int]], rows: TokenStream) -> Iterator[list[int]]:
    """The batches, cut where the prompts' lengths change, so that none has padding."""
    for numbers in order:
        for _, alike in itertools.groupby(sorted(numbers, key=rows.prompt_length), key=rows.prompt_length):
            yield list(alike)


def _written(
    model: Any,
    rows: TokenStream,
    numbers: list[int],
    settings: Settings,
    device: torch.device,
    shared: SharedPrompt | None,
) -> list[list[int]]:
    """The tokens of each row's answer."""
    left, length = settings.model.family == "decoder", shared.length if shared else 0
    ids, attention = prompt_batch(rows, numbers, settings.model.pad_id, left=left, shared=length)
    known = shared.for_rows(len(numbers)) if shared else {}
    with _arithmetic(settings, device), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Position ids are not supported")
        output = model.generate(
            input_ids=ids.to(device), attention_mask=attention.to(device), synced_gpus=is_sharded(model), **known
        )
    # Before an answer stands its prompt, or, where an encoder has read that, the decoder's start token.
    begin = ids.shape[1] if settings.model.family == "decoder" else 1
    return [_until_stop(line, settings.model.stop_ids) for line in output[:, begin:].tolist()]


def _arithmetic(settings: Settings, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.train.precision == "bfloat16")


def _until_stop(ids: list[int], stop_ids: tuple[int, ...]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in stop_ids), len(ids))
    return ids[:end]


def _greedy(settings: Settings, static_prompt: int | None) -> Any:
    """How answers are written.

    Args:
        settings: Limits, and the tokens that end an answer.
        static_prompt: Tokens of the longest prompt, where keys and values have a place of fixed size.
    """
    from transformers import GenerationConfig

    most, fixed = settings.eval.max_new_tokens, {}
    if static_prompt is not None:
        fixed = {"cache_implementation": "static", "max_cache_len": static_prompt + (most or 0)}
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=most,
        eos_token_id=list(settings.model.stop_ids),
        pad_token_id=settings.model.pad_id,
        decoder_start_token_id=settings.model.decoder_start_id,
        use_cache=True,
        **fixed,
    )
