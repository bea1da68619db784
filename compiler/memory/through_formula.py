"""What a layer holds on the way through it where nothing is kept for a backward pass, from the shapes of its tensors.

Rows are measured, and prompts are read, in that way. Moments are those of transformers' modules: queries and keys are
rotated, attention computes, and the feed-forward part has both of its halves; and where something stands beside a
linear layer, what that adds is there with what the layer gave, their sum, and the input in the adapter's float32.

Whoever calls a function holds what it hands over: a layer's input and the embeddings stand until the layer is done. So
in Llama with adapters beside all linear layers and numbers of 2 bytes, a token's largest moment is the end of the
second layer of its feed-forward part: 4 x 2 h (embeddings, input, states behind attention, norm), 4 h (that norm in
float32) and 4 x 2 inner (the activation; what the layer gave, what is added, the sum). For Llama-3.1-8B these are
12 x 4,096 + 8 x 14,336 = 163,840 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ftc.compiler.memory import expert_formula as experts
from ftc.compiler.memory.layer_formula import ALIGNED, Stack
from ftc.compiler.memory.layer_inputs import FP32, Numbers, Trained
from ftc.compiler.time.amounts import window_of
from ftc.compiler.time.network import composes_norms, linear_part, rotates
from ftc.spec.strategies import Beside

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
    attending = max(_turning(stack, numbers), _projecting(stack, numbers, trained), _attending(stack, numbers))
    attending += _beside_attention(stack, numbers)
    shared = _shared(stack, numbers)
    return Through(stack.tokens * attending + shared, stack.tokens * _feeding(stack, numbers, trained) + shared)


def passing_norm(stack: Stack, numbers: Numbers) -> int:
    """What is there at the norm behind all layers: its input and theirs, and in float32 what it computes and gives."""
    return stack.tokens * 2 * (numbers.residual + FP32) * stack.model.hidden_size + _shared(stack, numbers)


def _shared(stack: Stack, numbers: Numbers) -> int:
    """What all layers share: masks of truth values or, where scores are held, of numbers; cosines and sines of places.

    A model that reads images has more of them, which are counted with its images.
    """
    if stack.model.family != "decoder" or stack.model.vision is not None:
        return stack.mask_pairs
    turns = 2 * numbers.residual * stack.model.head_dim * stack.length if rotates(stack.model) else 0
    if not stack.eager:
        return stack.mask_pairs + turns
    window, near = window_of(stack.model)
    kinds = 2 if window is not None and len(near) < stack.model.num_layers else 1  # with a window, and without
    return kinds * numbers.residual * stack.tokens * stack.length + turns


def _beside_attention(stack: Stack, numbers: Numbers) -> int:
    """Of a token at attention: the embeddings, the layer's input, and what a norm made of it.

    Where no norm comes before attention, what products read in its place stands until it is done.
    """
    h = stack.model.hidden_size
    if stack.model.family == "decoder":
        return 2 * numbers.residual * h + _normed(stack, numbers) * h
    return (2 * numbers.residual + (numbers.residual if rotates(stack.model) else numbers.linear)) * h


def _beside_feeding(stack: Stack, numbers: Numbers) -> int:
    """Of a token at the feed-forward part: as at attention, and the states behind that, or what it gave beside it."""
    h = stack.model.hidden_size
    if stack.model.family == "decoder":
        is_beside = stack.model.kind.two_norms or stack.norms <= stack.layers
        behind = numbers.linear if is_beside else numbers.residual
        return _beside_attention(stack, numbers) + behind * h
    is_packed = numbers.casts and numbers.linear == FP32
    is_cast = not (is_packed and stack.model.family == "encoder")  # nor is a norm's result there before it is read
    return (3 + is_cast) * numbers.residual * h


def _normed(stack: Stack, numbers: Numbers) -> int:
    """Bytes of an element of what products read behind a norm; 0 where they read the states, and norms come behind."""
    if stack.norms_after:
        return 0
    return numbers.residual if composes_norms(stack.model) else numbers.fused_norm


def _adding(numbers: Numbers, one: Beside, read: int) -> int:
    """Of a token as what stands beside a linear layer adds to it: what both gave, their sum, and a wide input.

    Args:
        numbers: Bytes of elements.
        one: What stands beside.
        read: Bytes of an element of the input.
    """
    wide = FP32 * one.inputs if numbers.casts and 0 < read < FP32 else 0
    return (3 * numbers.linear + FP32 * one.sums) * one.outputs + wide


def _beside_parts(stack: Stack, trained: Trained) -> Iterator[tuple[str, Beside]]:
    """What stands beside linear layers, each kind of layer once, with the part that this has."""
    kinds = {(name.rpartition(".")[2], one.inputs, one.outputs): name for name, one in stack.adapted(trained).items()}
    for name in kinds.values():
        one = trained.beside[name]
        yield linear_part(name, one.inputs, one.outputs, stack.model.hidden_size), one


def _projecting(stack: Stack, numbers: Numbers, trained: Trained) -> int:
    """Of a token as something is added to what attention's linear layers give."""
    queries, keys, found = stack.queries, stack.keys, 0
    read = _normed(stack, numbers) or numbers.residual
    after = _widths(stack, numbers)[1] if rotates(stack.model) else numbers.linear
    for part, one in _beside_parts(stack, trained):
        if part.startswith("feed"):
            continue
        size = _adding(numbers, one, read)
        if part.endswith("out"):  # queries, keys and values stand until attention is done
            size = _adding(numbers, one, numbers.operand) + numbers.operand * one.inputs
            size += after * (queries + keys) + numbers.linear * keys
        elif one.outputs <= keys:  # values come last
            size += numbers.linear * max(0, queries + 2 * keys - one.outputs)
        found = max(found, size)
    return found


def _turning(stack: Stack, numbers: Numbers) -> int:
    """Of a token as queries or keys are rotated: themselves, two products with cosines and sines, and their sum."""
    if not rotates(stack.model):
        return 0
    before, after = _widths(stack, numbers)
    share, wide = _turned(stack), max(before, numbers.residual)
    # Those that rotate in part are put together again behind it.
    made = before + (3 * wide if share == 1 else max(round(3 * share * wide), round(share * wide) + after))
    of_queries = stack.queries * made + stack.keys * before
    of_keys = stack.queries * (before + (wide if share == 1 else after)) + stack.keys * made
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
    values = queries + 2 * keys if stack.rotates_fused_qkv else keys  # a view keeps what one layer gave for all three
    size = after * (queries + keys) + numbers.linear * values + e * queries
    read = keys
    if queries > keys and (stack.masks or stack.holds_scores):  # kernels that take as many keys and values as queries
        size, read = size + (after + numbers.linear) * queries, queries
    return size + casts[0] * queries + (casts[1] + casts[2]) * read + _scores(stack, numbers)


_AS_READ = ("composed twice", "composed in its input's type")
"""Norms that give the type of what they read, whatever their weights have."""


def _widths(stack: Stack, numbers: Numbers) -> tuple[int, int]:
    """Bytes of an element of queries and keys that are rotated: before, and as the rotation gives them.

    Norms of heads with weights in float32 widen them, but for those that give the type of their input; and so do
    cosines in float32, unless the model casts what they gave.
    """
    kind = stack.model.kind
    before = numbers.residual if stack.head_norms and kind.norm not in _AS_READ else numbers.linear
    return before, before if kind.widens_keys is False else max(before, numbers.residual)


def _feeding(stack: Stack, numbers: Numbers, trained: Trained) -> int:
    """Of a token at the feed-forward part."""
    h, e, linear = stack.model.hidden_size, numbers.operand, numbers.linear
    inner = max(experts.dense_inner(stack.linear), default=0) if stack.model.experts else stack.inner
    moments = [inner * _wide_bytes(stack, numbers), experts.through_bytes(stack.model, numbers.residual, linear)]
    for part, one in _beside_parts(stack, trained):
        if part == "feed in":  # the first half's activation waits for the second one
            waits = linear * one.outputs * (stack.is_gated and not stack.joins_halves)
            moments.append(waits + _adding(numbers, one, _normed(stack, numbers) or numbers.residual))
        elif part == "feed out":  # its input as the adapter and as a product has it
            cast = FP32 if numbers.casts and linear < FP32 else 0
            moments.append((linear + cast + e * numbers.casts) * one.inputs + linear * h)
            moments.append(linear * one.inputs + _adding(numbers, one, linear))
    if numbers.casts and inner in (one.inputs for one in stack.scaled(trained).values()):
        moments.append(inner * (linear + 2 * FP32 + e))  # as it came, wide, scaled, cast
    return max(moments) + _beside_feeding(stack, numbers)


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
    return _held_scores(stack, numbers) * heads * stack.length


def _held_scores(stack: Stack, numbers: Numbers) -> int:
    """Bytes of a score that is held, at their largest moment.

    Into softmax and out of it in float32; as an operand, where the next product reads narrower ones than a mask gave.
    With a sink beside the scores there are these, those with it, what softmax gave, and that without it.
    """
    width = max(numbers.operand, numbers.residual) if stack.model.family == "decoder" else numbers.operand
    if stack.has_sinks:
        return 4 * width + (numbers.operand if width > numbers.operand else 0)
    is_narrow = stack.model.family == "decoder" and width > numbers.operand
    # Queries that go by latents may be as narrow as layers gave them, whatever the cache has.
    has_narrow = bool(stack.model.kind.widens_latents) or _widths(stack, numbers)[1] == numbers.operand
    cast_back = is_narrow and numbers.casts and has_narrow
    return stack.score_bytes(numbers) + (numbers.operand if cast_back else 0)
