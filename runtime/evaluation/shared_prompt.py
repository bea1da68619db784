"""What all prompts begin with, computed once: its keys and values stand before the rest of every row.

A system prompt and a template's head are the same in each row, and are often half of it. Padding stands between what
is shared and the rest, so that every answer still begins at the same place; the mask hides it, and tokens' places are
counted without it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ftc.spec.architectures import architecture
from ftc.spec.batches import LEAST_SHARED
from ftc.spec.documents.streams import TokenStream

__all__ = ["SharedPrompt", "cache_name", "shared_length"]

_ATTENTION = ("eager", "sdpa")
"""Kinds of attention that take padding anywhere."""
_BY_LENGTH = ("dynamic", "longrope")
"""Kinds of positions that change for all tokens once a row is longer than the model was made for."""


class SharedPrompt:
    """Keys and values of the tokens that prompts share.

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
        takes_it = "logits_to_keep" in inspect.signature(base.forward).parameters
        length = shared_length(rows, numbers)
        if not length or not takes_it or getattr(base.config, "_attn_implementation", None) not in _ATTENTION:
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
    kinds = {one.get("rope_type", one.get("type")) for one in (places, *places.values()) if isinstance(one, dict)}
    known = getattr(config, "max_position_embeddings", None), places.get("original_max_position_embeddings")
    of_config = getattr(config, "original_max_position_embeddings", None)
    made_for = min((int(one) for one in (*known, of_config) if one), default=0)
    by_place = architecture(config.model_type).counts_padding is not False
    return by_place or (longest > made_for and not kinds.isdisjoint(_BY_LENGTH))


def cache_name(model: Any) -> str:
    """What the model's own call names keys and values; it differs between versions of transformers."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "cache" if "cache" in inspect.signature(base.forward).parameters else "past_key_values"
