"""How much of what a micro-batch holds: the quantities in which arithmetic and traffic of a model are linear.

A matrix product costs so much a token, attention so much a pair of tokens, the head so much a scored position, and
reading the weights so much a pass. So a whole run costs what the sum of its micro-batches' amounts does.

Pairs are those that the attention kernel really computes. The plain formula computes every pair and then hides some.
Fused kernels go through queries block by block and stop at the last key that a block of a causal model may see, but
only where torch is told that it is causal: with a mask, as padding and windows need it, they compute every pair as
well. Flash attention's own package takes rows out of their padding and knows windows.

Sources: torch's `FlashAttentionKernel.cpp` (CPU), the tile sizes of its memory-efficient and flash kernels for CUDA,
and transformers' `masking_utils`, which leaves a mask out where no padding is hidden and no window is shorter than the
row. Measured on torch 2.13, a CPU's kernel takes 0.75 of its time for 1,024 causal tokens and 0.63 for 2,048, forward
and backward, and all of it for 512.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from operator import add, attrgetter
from typing import Any, Literal, NamedTuple

from ftc.spec.batches import LEAVE_TOGETHER
from ftc.spec.context_parallel import chunk_tokens
from ftc.spec.devices import UNKNOWN_CAPABILITY, kernels
from ftc.spec.documents.facts import DeviceFacts, ModelFacts
from ftc.spec.precisions import precision_card

__all__ = [
    "ALL_PAIRS",
    "WHOLE_ROWS",
    "Amounts",
    "Attending",
    "Kernel",
    "Rates",
    "RowPart",
    "batch_amounts",
    "cost",
    "decode_amounts",
    "kernel_of",
    "leaving_amounts",
    "looks_back_alone",
    "prompt_amounts",
    "target_amounts",
    "window_of",
]

Kernel = Literal["formula", "processor", "efficient", "flash", "flash package"]
"""The plain formula, torch's fused kernel for CPUs, its two for CUDA, and the package flash-attn."""

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


ALL_PAIRS = Attending()
"""Attention that computes every pair."""


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
    if device.kind == "cpu":  # torch's kernel for CPUs drops nothing
        return "formula" if training and _drops(model) else "processor"
    card, capability = precision_card(precision), device.capability or UNKNOWN_CAPABILITY
    if capability < card.products.since:
        return "formula"
    is_flash = card.is_mixed and kernels(capability)["flash attention"] and model.head_dim <= _WIDEST_HEAD
    return "flash" if is_flash else "efficient"


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


@dataclass(frozen=True, slots=True)
class Amounts:
    """Quantities of one micro-batch, or sums over many.

    Attributes:
        passes: Micro-batches.
        rows: Sequences.
        tokens: Tokens with padding; of an encoder-decoder those of the encoder.
        pairs: Pairs of tokens that attention computes, with padding; see `Attending`.
        near_pairs: Those of a layer that looks back through a window alone.
        target_tokens: Tokens of the decoder of an encoder-decoder, with padding.
        target_pairs: Pairs of these that attention computes.
        cross_pairs: Pairs of a decoder's and an encoder's token.
        scored: Places for which the head is computed.
    """

    passes: float = 0
    rows: float = 0
    tokens: float = 0
    pairs: float = 0
    near_pairs: float = 0
    target_tokens: float = 0
    target_pairs: float = 0
    cross_pairs: float = 0
    scored: float = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*map(add, _ALL(self), _ALL(other)))

    def __mul__(self, factor: float) -> Amounts:
        return Amounts(*(one * factor for one in _ALL(self)))


_ALL: Callable[[Amounts], tuple[float, ...]] = attrgetter(*(one.name for one in fields(Amounts)))
"""An instance's quantities, in their order; a plan adds thousands."""


class RowPart(NamedTuple):
    """A device's part of rows that several devices share.

    Attributes:
        context: How many share each row.
        masks: Whether attention over shared rows gets a mask, and computes what that hides.
    """

    context: int = 1
    masks: bool = False

    def of(self, amounts: Amounts) -> Amounts:
        """What of a micro-batch one of them computes."""
        if self.context == 1 or not amounts.rows:
            return amounts
        rows, chunk = amounts.rows, chunk_tokens(round(amounts.tokens / amounts.rows), self.context)
        # A device has a chunk from the begin and one from the end: together they see one more than there are.
        pairs = rows * chunk**2 * (2 * self.context + self.masks)
        scored = amounts.scored / self.context
        return replace(amounts, tokens=rows * 2 * chunk, pairs=pairs, near_pairs=pairs, scored=scored)


WHOLE_ROWS = RowPart()
"""The part of a device with rows of its own."""

Rates = Amounts
"""What one unit of each quantity costs."""


def batch_amounts(
    rows: int,
    length: int,
    *,
    target_length: int = 0,
    scored: float = 0,
    attending: Attending = ALL_PAIRS,
    target_attending: Attending = ALL_PAIRS,
    padded: bool = False,
) -> Amounts:
    """One micro-batch of rows that are padded to a length.

    Args:
        rows: Sequences.
        length: Tokens of the longest; of an encoder-decoder those of the encoder.
        target_length: Tokens of the longest target of an encoder-decoder.
        scored: Places for which the head is computed.
        attending: How rows attend to themselves.
        target_attending: The same of targets.
        padded: Whether rows differ in length.
    """
    return Amounts(
        passes=1,
        rows=rows,
        tokens=rows * length,
        pairs=rows * attending.pairs(length, padded=padded),
        near_pairs=rows * attending.near_pairs(length, padded=padded),
        target_tokens=rows * target_length,
        target_pairs=rows * target_attending.pairs(target_length),
        cross_pairs=rows * length * target_length,
        scored=scored,
    )


def prompt_amounts(
    rows: int, length: int, *, attending: Attending = ALL_PAIRS, padded: bool = False, known: int = 0
) -> Amounts:
    """Prompts that a decoder reads at once before it writes; of each the last place is scored.

    Args:
        rows: Rows at once.
        length: Tokens of the longest prompt.
        attending: How a prompt attends to itself.
        padded: Whether prompts differ in length.
        known: Tokens at the begin of all prompts whose keys and values are known already.
    """
    if not known:
        return batch_amounts(rows, length, scored=rows, attending=attending, padded=padded)
    fresh = length - known
    pairs = rows * fresh * length  # what stands before a row's own tokens makes a mask necessary
    return Amounts(passes=1, rows=rows, tokens=rows * fresh, pairs=pairs, near_pairs=pairs, scored=rows)


def decode_amounts(rows: int, length: int, new_tokens: int, *, window: int | None = None) -> Amounts:
    """So many tokens, each a pass of its own, behind prompts of a length that a decoder has read.

    The prompt's pass gives the first one. The others look at everything before them, or at as much as a window holds.
    """
    more = max(0, new_tokens - 1)
    return Amounts(
        passes=more,
        tokens=rows * more,
        pairs=rows * _looked_back_at(length, more),
        near_pairs=rows * _looked_back_at(length, more, window),
        scored=rows * more,
    )


def leaving_amounts(ends: Sequence[int], length: int, *, window: int | None = None) -> Amounts:
    """Answers of these lengths behind prompts of a length, in a batch that rows leave as theirs end.

    A quarter of the rows leaves at once, as `ftc.runtime.evaluation.shrinking` has it.
    """
    found, rows, before = Amounts(), sorted(ends), 1  # the prompt's pass gives the first token
    while rows:
        end = rows[-(-len(rows) // LEAVE_TOGETHER) - 1]
        found += decode_amounts(len(rows), length + before - 1, end - before + 1, window=window)
        rows, before = [one for one in rows if one > end], end
    return found


def target_amounts(rows: int, length: int, new_tokens: int) -> Amounts:
    """So many tokens of the decoder of an encoder-decoder, each a pass of its own, for sources of a length."""
    return Amounts(
        passes=new_tokens,
        target_tokens=rows * new_tokens,
        target_pairs=rows * _looked_back_at(0, new_tokens),
        cross_pairs=rows * new_tokens * length,
        scored=rows * new_tokens,
    )


def _looked_back_at(length: int, tokens: int, window: int | None = None) -> int:
    """Pairs of so many tokens, one after the other behind a length, with themselves and those before them."""
    inside = tokens if window is None else min(tokens, max(0, window - length))
    return inside * length + inside * (inside + 1) // 2 + (tokens - inside) * (window or 0)


def cost(rates: Rates, amounts: Amounts) -> float:
    """What the amounts cost at so much a unit."""
    total: float = sum(getattr(rates, one.name) * getattr(amounts, one.name) for one in fields(Amounts))
    return total
