"""Answers that a model writes: greedy, in batches, each begun at the same place by padding on the left.

What all prompts begin with is computed once: a system prompt and a template's head are the same in each row, and are
often half of it. Padding goes between what is shared and the rest, so that every answer still begins at the same place;
the mask hides it, and positions are counted without it.

Where a GPU does a step of one token faster than Python launches its kernels, a step that is compiled into one graph,
with a KV cache of fixed size, takes a fraction of the time. Compiling takes about half a minute, and a CPU gains
nothing.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from ftc.runtime.evaluation.shrinking import Draws, written_by_shrinking
from ftc.runtime.models.number_types import mixed_precision
from ftc.runtime.models.pixels import image_inputs
from ftc.runtime.models.sharding import is_sharded
from ftc.runtime.tasks.scorer import pixels_of, prompt_batch
from ftc.runtime.training.signals import StopRequest
from ftc.spec.architectures import architecture
from ftc.spec.batches import LEAST_COMPILED_STEPS, LEAST_SHARED, cut
from ftc.spec.documents.sampling import GREEDY, Sampling
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from ftc.spec.rotations import BY_LENGTH, rotation_kinds

__all__ = [
    "SharedPrompt",
    "answers",
    "batches_to_write",
    "cache_name",
    "configured",
    "generated",
    "one_answer",
    "rows_may_leave",
    "shared_length",
    "static_cache_pays",
]

_ATTENTION = ("eager", "sdpa")
"""Kinds of attention that take padding anywhere."""


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
    prompts = (rows.prompt_length(number) for numbers in order for number in numbers)
    longest = max(prompts, default=0) if is_static else None
    with configured(model, _way_of_writing(settings, GREEDY, longest)):
        shared = None if is_static else _shared(model, rows, order, settings, device)
        may_leave = not is_static and rows_may_leave(model, settings, device)
        for numbers in _of_one_length(order, rows) if _takes_one_length(model, settings) else order:
            stop.check()
            # What is compiled is for so many rows, so the last batch is filled up with one of its own.
            filled = [*numbers, *[numbers[-1]] * (len(order[0]) - len(numbers))] if is_static else numbers
            written = _written(model, rows, filled, settings, device, shared, may_leave=may_leave)
            yield {number: decode(line) for number, line in zip(numbers, written, strict=False)}


def one_answer(
    model: Any, rows: TokenStream, settings: Settings, sampling: Sampling, streamer: Any, device: torch.device
) -> None:
    """Writes the answer to the first row, and gives each of its tokens to a streamer of transformers."""
    with configured(model, _way_of_writing(settings, sampling)):
        generated(model, rows, [0], settings, device, streamer=streamer)


@contextmanager
def configured(model: Any, greedy: Any) -> Iterator[None]:
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


def _shared(
    model: Any, rows: TokenStream, order: list[list[int]], settings: Settings, device: torch.device
) -> SharedPrompt | None:
    """What all prompts begin with, where it can be computed by itself: an encoder reads a prompt as a whole."""
    if not _writes_by_row(model, settings):
        return None
    with mixed_precision(settings.train.precision, device):
        return SharedPrompt.of(model, rows, [number for numbers in order for number in numbers], device)


def _writes_by_row(model: Any, settings: Settings) -> bool:
    """Whether keys and values are a row's own; those of an encoder, virtual tokens, parts or images are not."""
    is_alone = not settings.strategy.traits.num_virtual and not is_sharded(model)
    return settings.model.family == "decoder" and is_alone and settings.model.vision is None


def rows_may_leave(model: Any, settings: Settings, device: torch.device) -> bool:
    """Whether answers end, and a batch can go on without some of its rows: the model keeps all keys and values."""
    stops, base = settings.model.stop_ids, model.get_base_model() if hasattr(model, "get_base_model") else model
    if not stops or not _writes_by_row(model, settings) or not _takes_known(model) or _rotates_by_length(base.config):
        return False
    with mixed_precision(settings.train.precision, device), torch.no_grad():
        one = torch.full((1, 1), stops[0], device=device)
        return SharedPrompt(model, one).can_be_repeated


def _takes_one_length(model: Any, settings: Settings) -> bool:
    """Whether prompts of several lengths must not stand in one batch.

    peft numbers places itself where virtual tokens stand before a row, and takes padding for a part of it. A model in
    parts is called equally often everywhere, so that its batches stay as they are.
    """
    reads_padding = architecture(model.config.model_type).reads_padding and not is_sharded(model)
    return reads_padding or settings.strategy.traits.num_virtual > 0


def batches_to_write(model: Any, lengths: Sequence[int], settings: Settings) -> Iterator[list[int]]:
    """Prompts of these lengths in batches that are answered at once, by their places, the longest first."""
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    is_even = _takes_one_length(model, settings)
    for _, alike in itertools.groupby(order, key=lambda place: lengths[place] if is_even else 0):
        yield from cut(list(alike), settings.eval.batch_size)


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
    *,
    may_leave: bool,
) -> list[list[int]]:
    """The tokens of each row's answer."""
    known = shared.for_rows(len(numbers)) if shared else {}
    length = shared.length if shared else 0
    lines = generated(model, rows, numbers, settings, device, shared=length, may_leave=may_leave, **known)
    stops = settings.model.stop_ids
    return [list(itertools.takewhile(lambda token: token not in stops, line)) for line in lines]


def generated(
    model: Any,
    rows: TokenStream,
    numbers: list[int],
    settings: Settings,
    device: torch.device,
    *,
    shared: int = 0,
    may_leave: bool = False,
    draw: Draws | None = None,
    **known: Any,
) -> list[list[int]]:
    """What `generate` writes behind each row's prompt, in the plan's precision, within a block of `configured`.

    Args:
        model: The model.
        rows: Holds the prompts.
        numbers: Which of them, as one batch.
        settings: The plan's.
        device: Where the model is.
        shared: Tokens that all prompts begin with and whose KV cache is in `known`.
        may_leave: Whether a row leaves the batch once its answer has ended.
        draw: Picks the tokens; None for the likeliest.
        known: What `generate` takes beside ids and attention.
    """
    left = settings.model.family == "decoder"
    ids, attention = prompt_batch(rows, numbers, settings.model.pad_id, left=left, shared=shared)
    seen = image_inputs(settings.model.vision, ids, pixels_of(rows, numbers), torch.zeros_like(ids))
    known |= {name: one.to(device) for name, one in seen.items()}
    with mixed_precision(settings.train.precision, device), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Position ids are not supported")
        ids, attention = ids.to(device), attention.to(device)
        if may_leave and len(numbers) > 1:
            name, stops = cache_name(model), settings.model.stop_ids
            return written_by_shrinking(model, ids, attention, stops=stops, cache=(name, known.get(name)), draw=draw)
        if draw is not None:
            known["logits_processor"] = [draw]
        output = model.generate(input_ids=ids, attention_mask=attention, synced_gpus=is_sharded(model), **known)
    # Before an answer stands its prompt, or, where an encoder has read that, the decoder's start token.
    written: list[list[int]] = output[:, ids.shape[1] if left else 1 :].tolist()
    return written


def _way_of_writing(settings: Settings, sampling: Sampling, static_prompt: int | None = None) -> Any:
    """How answers are written; where the KV cache has a fixed size, `static_prompt` is the longest prompt in tokens."""
    from transformers import GenerationConfig

    most, options = settings.eval.max_new_tokens, dict[str, Any]()
    if static_prompt is not None:
        options = {"cache_implementation": "static", "max_cache_len": static_prompt + (most or 0)}
    if not sampling.is_greedy:  # 0 is transformers' word for all
        options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k or 0}
    return GenerationConfig(
        do_sample=not sampling.is_greedy,
        num_beams=1,
        max_new_tokens=most,
        eos_token_id=list(settings.model.stop_ids),
        pad_token_id=settings.model.pad_id,
        decoder_start_token_id=settings.model.decoder_start_id,
        use_cache=True,
        **options,
    )


class SharedPrompt:
    """The KV cache of the tokens that prompts share.

    Args:
        model: A decoder, as it is to write, without gradients.
        ids: (1, T) the shared tokens.

    Attributes:
        length: T.
    """

    def __init__(self, model: Any, ids: torch.Tensor) -> None:
        self.length = ids.shape[1]
        self._name = cache_name(model)
        self._cache = model(input_ids=ids, use_cache=True, logits_to_keep=1).get(self._name)  # some keep a state alone

    @property
    def can_be_repeated(self) -> bool:
        """Whether every layer keeps all keys and values: one that forgets, or keeps a state, would need more care."""
        from transformers.cache_utils import DynamicCache, DynamicLayer

        is_plain = type(self._cache) is DynamicCache
        return is_plain and all(type(layer) is DynamicLayer for layer in self._cache.layers)

    def for_rows(self, count: int) -> dict[str, Any]:
        """What `generate` takes for a batch of so many rows; it fills what it is given."""
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(count)
        return {self._name: cache}

    @classmethod
    def of(cls, model: Any, rows: TokenStream, numbers: Sequence[int], device: torch.device) -> SharedPrompt | None:
        """That of some rows; None where they share too little, or the model can't be asked for it."""
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        length = shared_length(rows, numbers)
        if not length or not _takes_known(model):
            return None
        if _counts_padding(base.config, max(rows.prompt_length(number) for number in numbers)):
            return None
        ids = torch.from_numpy(rows.ids(numbers[0])[:length].astype(np.int64))[None]
        found = cls(model, ids.to(device))
        return found if found.can_be_repeated else None


def shared_length(rows: TokenStream, numbers: Sequence[int]) -> int:
    """Tokens with which all prompts begin, of each of which at least one is left; 0 where that isn't worth a pass."""
    if len(numbers) < 2:
        return 0
    shortest = min(rows.prompt_length(number) for number in numbers) - 1
    first = rows.ids(numbers[0])[: max(0, shortest)]
    alike = np.ones(len(first), dtype=bool)
    for number in numbers[1:]:
        alike &= rows.ids(number)[: len(first)] == first
    length = len(first) if alike.all() else int(alike.argmin())
    return length if length >= LEAST_SHARED else 0


def _counts_padding(config: Any, longest: int) -> bool:
    """Whether what is shared says something else behind other tokens, or before padding, of so long prompts."""
    places = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    known = getattr(config, "max_position_embeddings", None), places.get("original_max_position_embeddings")
    of_config = getattr(config, "original_max_position_embeddings", None)
    made_for = min((int(one) for one in (*known, of_config) if one), default=0)
    by_place = architecture(config.model_type).counts_padding is not False
    return by_place or (longest > made_for and _rotates_by_length(config))


def _rotates_by_length(config: Any) -> bool:
    """Whether rotations follow from the longest row of a batch, so that they change when it leaves."""
    places = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return not rotation_kinds(places).isdisjoint(BY_LENGTH)


def _takes_known(model: Any) -> bool:
    """Whether the model can be asked for keys and values, and goes on behind those of rows with padding."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes_it = "logits_to_keep" in inspect.signature(base.forward).parameters
    return takes_it and getattr(base.config, "_attn_implementation", None) in _ATTENTION


def cache_name(model: Any) -> str:
    """What the model's own call names keys and values; it differs between versions of transformers."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"


def static_cache_pays(model: Any, settings: Settings, device: torch.device, batches: int) -> bool:
    """Whether a KV cache of fixed size pays: a run's answers are many and long enough, and model and machine suit."""
    if device.type != "cuda" or settings.model.family != "decoder" or not _has_compiler():
        return False
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    traits = settings.strategy.traits
    is_plain = traits.num_virtual == 0 and traits.quantized is None and settings.model.packed is None
    steps = batches * (settings.eval.max_new_tokens or 0)
    return is_plain and bool(getattr(base, "_can_compile_fullgraph", False)) and steps >= LEAST_COMPILED_STEPS


def _has_compiler() -> bool:
    """Triton builds what starts a kernel with the machine's C compiler."""
    return find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))
