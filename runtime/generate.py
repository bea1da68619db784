"""Answers that a model writes: greedy, in batches, each begun at the same place by padding on the left."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from ftc.runtime.collate import prompt_batch
from ftc.runtime.sharding import is_sharded
from ftc.runtime.signals import StopRequest
from ftc.spec.settings import Settings
from ftc.spec.strategy_settings import virtual_tokens
from ftc.spec.streams import TokenStream

__all__ = ["TextDecoder", "answers"]


class TextDecoder:
    """Ids back to text, without special tokens."""

    def __init__(self, model_folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))

    def __call__(self, ids: list[int]) -> str:
        """The text of some tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text.strip()

    def prompt(self, rows: TokenStream, number: int) -> str:
        """What the model is given of a row."""
        return self(rows.ids(number)[: rows.prompt_length(number)].tolist())

    def expected(self, rows: TokenStream, number: int) -> str:
        """A row's own answer: its supervised tokens behind the prompt."""
        start = rows.prompt_length(number)
        return self(rows.ids(number)[start:][rows.mask(number)[start:]].tolist())


def answers(
    model: Any,
    rows: TokenStream,
    order: list[list[int]],
    settings: Settings,
    decode: TextDecoder,
    stop: StopRequest,
    device: torch.device,
) -> Iterator[dict[int, str]]:
    """Answers to batches of rows, by the row's number.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    greedy = _greedy(settings)
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    holders = [model] if inner is model else [model, inner]  # some wrappers hand theirs on, and some don't
    before = [holder.generation_config for holder in holders]
    for holder in holders:  # a model's own defaults may sample or penalise
        holder.generation_config = greedy
    try:
        # peft numbers places itself where virtual tokens stand before a row, and takes padding for a part of it.
        is_even = virtual_tokens(settings.strategy) > 0
        for numbers in _of_one_length(order, rows) if is_even else order:
            stop.check()
            left = settings.model.family == "decoder"
            ids, attention = prompt_batch(rows, numbers, settings.model.pad_id, left=left)
            written = _write(model, ids.to(device), attention.to(device), settings)
            yield {number: decode(line) for number, line in zip(numbers, written, strict=True)}
    finally:
        for holder, kept in zip(holders, before, strict=True):
            holder.generation_config = kept


def _of_one_length(order: list[list[int]], rows: TokenStream) -> Iterator[list[int]]:
    """The batches, cut where the prompts' lengths change, so that none has padding."""
    for numbers in order:
        for _, alike in itertools.groupby(sorted(numbers, key=rows.prompt_length), key=rows.prompt_length):
            yield list(alike)


def _write(model: Any, ids: torch.Tensor, attention: torch.Tensor, settings: Settings) -> list[list[int]]:
    bfloat16 = settings.train.precision == "bfloat16"
    with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=bfloat16), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Position ids are not supported")
        output = model.generate(input_ids=ids, attention_mask=attention, synced_gpus=is_sharded(model))
    # Before an answer stands its prompt, or, where an encoder has read that, the decoder's start token.
    begin = ids.shape[1] if settings.model.family == "decoder" else 1
    return [_until_stop(line, settings.model.stop_ids) for line in output[:, begin:].tolist()]


def _until_stop(ids: list[int], stop_ids: tuple[int, ...]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in stop_ids), len(ids))
    return ids[:end]


def _greedy(settings: Settings) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=settings.eval.max_new_tokens,
        eos_token_id=list(settings.model.stop_ids),
        pad_token_id=settings.model.pad_id,
        decoder_start_token_id=settings.model.decoder_start_id,
        use_cache=True,
    )
