"""Pairs of tokens that attention really computes, by the kernel that torch takes: some skip what a mask would hide.

The plain formula computes every pair and then hides some. Fused kernels go through queries block by block and stop at
the last key that a block of a causal model may see, but only where torch is told that it is causal: with a mask of
ones and zeros, as padding and windows need it, they compute every pair as well. Flash attention's own package takes
rows out of their padding and knows windows.

Sources: torch's `FlashAttentionKernel.cpp` (processor), the tile sizes of its memory-efficient and flash kernels for
CUDA, and transformers' `masking_utils`, which leaves a mask out where no padding is hidden and no window is shorter
than the row. Measured on torch 2.13, a processor's kernel takes 0.75 of its time for 1,024 causal tokens and 0.63 for
2,048, there and back, and all of it for 512.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from ftc.spec.documents.facts import DeviceFacts, ModelFacts

__all__ = ["Attending", "Kernel", "kernel_of", "looks_back_alone", "window_of"]

Kernel = Literal["formula", "processor", "efficient", "flash", "flash package"]
"""The plain formula, torch's fused kernel for processors, its two for CUDA, and the package flash-attn."""

_WIDEST_HEAD = 256
_KEYS_OF_PROCESSOR = 512
_QUERIES = {"efficient": 64, "flash": 128, "flash package": 128}
_DROPOUTS = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")


@dataclass(frozen=True, slots=True)
class Attending:
    """How rows attend to themselves.

    Attributes:
        kernel: What computes it.
        causal: Whether a token looks back alone.
        hides: Whether padding is hidden by a mask; behind a causal row it needs none.
        window: Tokens that layers with a window look back; None where there is none.
    """

    kernel: Kernel = "formula"
    causal: bool = False
    hides: bool = True
    window: int | None = None

    def pairs(self, length: int, *, padded: bool = False) -> float:
        """Pairs of a row of so many tokens in a layer that looks at everything.

        Args:
            length: Tokens, padding included.
            padded: Whether its batch has padding.
        """
        if not self.causal or self.kernel == "formula" or (padded and self.hides):
            return float(length**2)
        return float(_causal(self.kernel, length))

    def near_pairs(self, length: int, *, padded: bool = False) -> float:
        """The same in a layer with a window: torch's kernels get a mask for it, and compute every pair."""
        if self.window is None or length <= self.window:
            return self.pairs(length, padded=padded)
        if self.kernel != "flash package":
            return float(length**2)
        return float(_banded(length, self.window, ahead=0 if self.causal else self.window))


@lru_cache(maxsize=4096)
def _causal(kernel: Kernel, length: int) -> int:
    """Pairs of queries with all keys up to the last one that their block may see."""
    if kernel == "processor":
        queries, keys = (256 if length >= 768 else 64 if length >= 192 else 32), _KEYS_OF_PROCESSOR
    else:
        queries, keys = _QUERIES[kernel], 1
    blocks = ((start, min(start + queries, length)) for start in range(0, length, queries))
    return sum((end - start) * min(length, -(-end // keys) * keys) for start, end in blocks)


@lru_cache(maxsize=4096)
def _banded(length: int, window: int, ahead: int) -> int:
    """Pairs of queries with the keys of the window of any of their block."""
    queries = _QUERIES["flash package"]
    blocks = ((start, min(start + queries, length)) for start in range(0, length, queries))
    return sum((end - start) * (min(length, end + ahead) - max(0, start - window)) for start, end in blocks)


def kernel_of(model: ModelFacts, device: DeviceFacts, attention: str, precision: str, *, training: bool) -> Kernel:
    """The kernel that computes a model's attention.

    Args:
        model: The model.
        device: Where it runs.
        attention: The plan's attention.
        precision: Of the arithmetic.
        training: Whether scores are dropped, where the model does that.
    """
    if attention == "eager":
        return "formula"
    if attention == "flash_attention_2":
        return "flash package"
    if device.kind == "cpu":  # torch's kernel for processors drops nothing
        return "formula" if training and _drops(model) else "processor"
    is_half, is_new = precision == "bfloat16", (device.capability or (8, 0)) >= (8, 0)
    if is_half and not is_new:
        return "formula"
    return "flash" if is_half and model.head_dim <= _WIDEST_HEAD else "efficient"


def _drops(model: ModelFacts) -> bool:
    """Whether attention drops scores in training; not, where that isn't known."""
    names = ("dropout_rate",) if model.kind.positions == "relative" else _DROPOUTS
    said = [model.config[name] for name in names if name in model.config]
    return any(said) if said else bool(model.kind.attention_dropout)


def looks_back_alone(model: ModelFacts) -> bool:
    """Whether torch is told that the model, or the decoder of one with an encoder, is causal.

    Distances that are learned come as a mask.
    """
    return model.family != "encoder" and model.kind.positions != "relative"


def window_of(model: ModelFacts) -> tuple[int | None, frozenset[int]]:
    """Tokens that layers with a window look back, and the numbers of these layers; None and none without."""
    config, layers = model.config, range(model.num_layers)
    if (around := config.get("local_attention")) and (every := config.get("global_attn_every_n_layers")):
        return int(around) // 2, frozenset(one for one in layers if one % int(every))
    size = config.get("sliding_window")
    if not size or config.get("use_sliding_window") is False:
        return None, frozenset()
    return int(size), frozenset(one for one in layers if _is_near(model, config, one))


def _is_near(model: ModelFacts, config: dict[str, Any], layer: int) -> bool:
    kinds = config.get("layer_types")
    if isinstance(kinds, list | tuple) and layer < len(kinds):
        return "sliding" in str(kinds[layer])
    if config.get("use_sliding_window"):  # Qwen's first layers look at everything
        return layer >= int(config.get("max_window_layers") or 0)
    turns = config.get("sliding_window_pattern") or model.kind.window_every
    return (layer + 1) % int(turns) != 0 if turns else True
