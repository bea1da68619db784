"""What a layer holds on the way through it where nothing is kept for a backward pass, from the shapes of its tensors.

Rows are measured, and prompts are read, in that way. Moments are those of transformers' modules: queries and keys are
rotated, attention computes, and the feed-forward part has both of its halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ftc.compiler.memory import expert_formula as experts
from ftc.compiler.memory.layer_formula import ALIGNED, Stack
from ftc.compiler.memory.layer_inputs import FP32, Numbers, Trained
from ftc.compiler.time.network import rotates

__all__ = ["Through", "going_through", "passing_norm"]


class Through(NamedTuple):
    """Bytes that are there at once in a layer, at each of its moments."""

    attending: int
    """As queries and keys are rotated or as attention computes, with keys and values as a cache would have them."""
    feeding: int
    """At the feed-forward part."""

    @property
    def largest(self) -> int:
        """At the largest moment."""
        return max(self)

    def beside_cache(self, own: int) -> int:
        """At the largest moment of a layer whose keys and values, of so many bytes, are counted among all others."""
        return max(self.attending - own, self.feeding)


def going_through(stack: Stack, numbers: Numbers, trained: Trained) -> Through:
    """What is there at once in a layer of which nothing is kept.

    Args:
        stack: Of the layer.
        numbers: Bytes of elements.
        trained: What is trained in the layers.
    """
    h, inner = stack.model.hidden_size, stack.inner
    if stack.has_relative_bias and not stack.eager and numbers.residual > numbers.operand:  # in float32 throughout
        scores = _scores(stack, numbers) + numbers.residual * stack.length  # and the mask of each row's padding
        size = stack.tokens * (scores + inner * _wide_bytes(stack, numbers) + 4 * numbers.residual * h)
        return Through(size, size)
    adapted = stack.adapted(trained).values()
    attending = max(_turning(stack, numbers), _attending(stack, numbers)) + 2 * numbers.residual * h
    # What a norm gave stands until attention is done; where none comes before it, what products read in its place does.
    attending += h * (numbers.residual if rotates(stack.model) else numbers.linear)
    attending += max((FP32 * one.sums * one.outputs for one in adapted if one.outputs != inner), default=0)
    seen = stack.length if stack.masks else 0  # truth values for all layers
    feeding = _feeding(stack, numbers, trained)
    return Through(stack.tokens * (attending + seen), stack.tokens * (feeding + seen))


def passing_norm(stack: Stack, numbers: Numbers) -> int:
    """What is there at the norm behind all layers: its input and theirs, and in float32 what it computes and gives."""
    seen = stack.length if stack.masks else 0
    return stack.tokens * (2 * (numbers.residual + FP32) * stack.model.hidden_size + seen)


def _turning(stack: Stack, numbers: Numbers) -> int:
    """Of a token as queries or keys are rotated: themselves, two products with cosines and sines, and their sum."""
    if not rotates(stack.model):
        return 0
    before, after = _widths(stack, numbers)
    share, wide = _turned(stack), max(before, numbers.residual)
    # Those that rotate in part are put together again behind it.
    made = before + (3 * wide if share == 1 else max(round(3 * share * wide), round(share * wide) + after))
    of_queries = stack.queries * made + stack.keys * before
    of_keys = stack.queries * (before + after) + stack.keys * made
    return max(of_queries, of_keys) + numbers.linear * stack.keys


def _turned(stack: Stack) -> float:
    """How much of a head is rotated."""
    config, keys = stack.model.config, ("partial_rotary_factor", "rotary_pct")
    places = (config, config.get("rope_parameters"), config.get("rope_scaling"))
    found = (one[key] for one in places if isinstance(one, Mapping) for key in keys if key in one)
    return next((float(one) for one in found if isinstance(one, int | float) and 0 < one <= 1), 1.0)


def _attending(stack: Stack, numbers: Numbers) -> int:
    """Of a token as attention computes: queries, keys, values, their casts to operands, scores, and what it gives."""
    after = _widths(stack, numbers)[1] if rotates(stack.model) else numbers.linear
    e, queries, keys = numbers.operand, stack.queries, stack.keys
    casts = [e if each > e else 0 for each in (after, after, numbers.linear)]
    size = after * (queries + keys) + numbers.linear * keys + e * queries
    read = keys
    if queries > keys and (stack.masks or stack.holds_scores):  # kernels that take as many keys and values as queries
        size, read = size + (after + numbers.linear) * queries, queries
    return size + casts[0] * queries + (casts[1] + casts[2]) * read + _scores(stack, numbers)


def _widths(stack: Stack, numbers: Numbers) -> tuple[int, int]:
    """Bytes of an element of queries and keys that are rotated: before, and as the rotation gives them.

    Norms of heads with weights in float32 widen them, but for those that give the type of their input; and so do
    cosines in float32, unless the model casts what they gave.
    """
    kind = stack.model.kind
    before = numbers.residual if stack.head_norms and kind.norm != "composed twice" else numbers.linear
    return before, before if kind.widens_keys is False else max(before, numbers.residual)


def _feeding(stack: Stack, numbers: Numbers, trained: Trained) -> int:
    """Of a token at the feed-forward part."""
    h, inner, adapted = stack.model.hidden_size, stack.inner, stack.adapted(trained).values()
    is_packed = numbers.casts and numbers.linear == FP32
    is_cast = not (is_packed and stack.model.family == "encoder")  # nor is a norm's result there before it is read
    feeding = inner * _wide_bytes(stack, numbers) + (3 + is_cast) * numbers.residual * h
    feeding += experts.routed_bytes(stack.model, numbers.linear, trained=trained.all_weights)
    if numbers.casts and stack.adapts_wide(trained):  # its input as it came, as the adapter and as a product has it
        cast = FP32 if numbers.linear < FP32 else 0
        read = inner * (numbers.linear + cast + numbers.operand)
        feeding = max(feeding, read + 3 * numbers.residual * h + numbers.linear * h)
    if numbers.casts and inner in (one.inputs for one in stack.scaled(trained).values()):
        scaled = inner * (numbers.linear + 2 * FP32 + numbers.operand)  # as it came, wide, scaled, cast
        feeding = max(feeding, scaled + 3 * numbers.residual * h)
    if inner in (one.outputs for one in adapted):  # two results and their sum
        feeding = max(feeding, inner * (3 + stack.is_gated) * numbers.linear + 3 * numbers.residual * h)
    return feeding + max((FP32 * one.sums * one.outputs for one in adapted if one.outputs == inner), default=0)


def _wide_bytes(stack: Stack, numbers: Numbers) -> int:
    """Of an element between the two halves of a feed-forward part, at their largest moment."""
    wide = (4 if stack.joins_halves else 3 if stack.is_gated else 2) * numbers.linear
    return wide + (2 * FP32 if stack.composes else 0)


def _scores(stack: Stack, numbers: Numbers) -> int:
    """Of a token with all others: scores, where they are held, or what is added to them."""
    heads, e = stack.model.num_heads, numbers.operand
    if stack.has_relative_bias and not stack.eager:  # with each row's padding; as computed, as operands, aligned
        copies = numbers.residual * stack.length + e * stack.aligned * (stack.length % ALIGNED > 0)
        return heads * (copies + e * stack.length * (numbers.residual > e))
    if not stack.holds_scores:
        return e * stack.aligned if stack.masks else 0
    if stack.is_disentangled:  # two products with distances, what is picked of them, and their sums
        return (FP32 + 7 * e) * heads * stack.length
    return stack.score_bytes(numbers) * heads * stack.length
