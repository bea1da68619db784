"""Whether answers are written with keys and values in a place of fixed size, so that a step can be compiled.

Where a card does a step of one token faster than Python launches its kernels, a step that is compiled into one graph
takes a fraction of the time. Compiling takes its own, about half a minute, and a processor gains nothing.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Any

import torch

from ftc.spec.documents.settings import Settings

__all__ = ["static_cache_pays"]

_LEAST_STEPS = 2000
"""Tokens written one after the other that win compiling back: each spares ten milliseconds or more of launches."""


def static_cache_pays(model: Any, settings: Settings, device: torch.device, batches: int) -> bool:
    """Whether a run's answers are long and many enough, and model and machine can be compiled for.

    Args:
        model: What writes.
        settings: Family, strategy, and the most tokens of an answer.
        device: Where it is.
        batches: Batches of rows that are written one after the other.
    """
    if device.type != "cuda" or settings.model.family != "decoder" or not _has_compiler():
        return False
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    traits = settings.strategy.traits
    is_plain = traits.num_virtual == 0 and traits.quantized is None
    steps = batches * (settings.eval.max_new_tokens or 0)
    return is_plain and bool(getattr(base, "_can_compile_fullgraph", False)) and steps >= _LEAST_STEPS


def _has_compiler() -> bool:
    """Triton builds what starts a kernel with the machine's C compiler."""
    return find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))
