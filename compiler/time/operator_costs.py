"""FLOPs, bytes and kernels of a training step, counted from shapes.

FLOPs: two for each multiplication of a matrix product. Forward, a linear layer costs twice its weights a token, and
attention two products of the pairs that its kernel computes (`amounts`). Backward, the gradient of a layer's input
costs as much again, where something before it is trained, and that of its weights where they are. A frozen layer
computes none of its own. A product in 8 bits counts as one in 16 bits that takes as long. Activation checkpointing
costs the layers' forward pass a second time; where the results of products are kept, what stands beside and between
them.

Bytes: what each operator of transformers' modules reads and writes, without any fusion but attention's: linear layers,
norms (in float32, piece by piece, where they are composed), rotations, residuals, activations, adapters, logits and
their loss; weights once a pass; gradients and the optimizer state once a step. Small layers stay in a CPU's cache, so
for them the figure is an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from ftc.compiler.time.amounts import Rates
from ftc.compiler.time.float8_costs import cast_operations, cast_traffic
from ftc.compiler.time.network import Linear, Network, Part
from ftc.spec.checkpointing import Recomputing, checkpointing_card
from ftc.spec.fused_kernels import fused_kernel
from ftc.spec.strategies import Beside

__all__ = ["STEP_MOVES", "BytesAndKernels", "StepFlops", "bytes_and_kernels", "flop_rates"]

_INPUT_PARTS = ("attention in", "cross in")
_PROCESSOR_PAIRS = 1.6
"""Time of an operation in torch's attention for CPUs by that of one in a linear layer, over shapes of four models
(`python benchmarks/attention.py`: 1.4 on a busy machine, 1.7 on an idle one)."""


class StepFlops(NamedTuple):
    """Operations by quantity of a micro-batch.

    Attributes:
        forward: Of the forward pass.
        backward: Of the backward pass, what is computed again included.
    """

    forward: Rates
    backward: Rates

    @property
    def step(self) -> Rates:
        """Of both."""
        return self.forward + self.backward


@lru_cache(maxsize=32)
def flop_rates(network: Network, *, checkpointing: Recomputing, one_place: bool = False) -> StepFlops:
    """What a micro-batch costs a token, a pair of tokens and a scored place.

    Args:
        network: The model.
        checkpointing: What of layers is computed again in the backward pass. With an adapter, gradients then go all the
            way down, since peft has the embedding's output want one.
        one_place: Whether the last layer computes one place of each row behind its attention, in a look alone.
    """
    forward, backward, again = Rates(), Rates(), Rates()
    card = checkpointing_card(checkpointing)
    least = min((one.inputs for one in network.linears), default=0)
    wanted = network.flows_from_start or (card.recomputes and network.adapters > 0)
    flow, in_decoder = _Flow(main=wanted, encoder=wanted), False
    for (decoder, number), layer in groupby(network.linears, key=lambda one: (one.in_decoder, one.layer)):
        if decoder and not in_decoder:
            in_decoder, flow = True, _Flow(main=wanted, encoder=flow.main)
        members_of_layer = tuple(layer)
        if network.family != "encoder" and any(one.trained for one in members_of_layer):
            flow = replace(flow, main=True)  # the norm before it is trained, too
        parts, is_near = _by_part(members_of_layer), not decoder and number in network.near_layers
        once_more = Rates()
        for part, members in parts.items():
            products = _linear_forward(network, members)
            alone = one_place and network.is_behind_last_attention(members[0])
            forward += replace(products, tokens=0, rows=products.tokens) if alone else products
            backward += _linear_backward(network, members, flow)
            if part in _INPUT_PARTS:
                forward += _pairs(network, part, decoder, 2, is_near=is_near)
                backward += _pairs(network, part, decoder, _attention_backward(network, members, flow), is_near=is_near)
            if any(one.beside or one.trained for one in members):
                flow = replace(flow, main=True)
            if card.keeps_products:
                once_more += _beside_products(members, least)
            else:
                once_more += products
            if part in _INPUT_PARTS and not (card.keeps_products and network.attention != "formula"):
                once_more += _pairs(network, part, decoder, 2, is_near=is_near)
        once_more += _not_recomputed(network, parts, products_kept=card.keeps_products) * -1.0
        if flow.main:  # layers below the lowest trained one have no backward pass
            again += once_more
    again = again if card.recomputes else Rates()
    head_forward, head_backward = _head(network, flow)
    return StepFlops(forward * network.repeats + head_forward, (backward + again) * network.repeats + head_backward)


def _by_part(layer: Iterable[Linear]) -> dict[Part, tuple[Linear, ...]]:
    found: dict[Part, tuple[Linear, ...]] = {}
    for one in layer:
        found[one.part] = (*found.get(one.part, ()), one)
    return found


@dataclass(frozen=True, slots=True)
class _Flow:
    """Where gradients are wanted: of the states that go through the layers, and of what an encoder gave."""

    main: bool
    encoder: bool

    def reaches(self, one: Linear) -> bool:
        return self.encoder if one.reads_encoder else self.main


def _linear_forward(network: Network, members: tuple[Linear, ...]) -> Rates:
    return _sum(
        _per_token(one, 2 * (_time(network, one) * one.weights + (one.beside.forward if one.beside else 0)))
        + _once(one)
        for one in members
    )


def _time(network: Network, one: Linear) -> float:
    """Time of a layer's products by that of others."""
    return 1.0 if one.float8 is None else network.float8_time


def _linear_backward(network: Network, members: tuple[Linear, ...], flow: _Flow) -> Rates:
    return _sum(
        _per_token(one, 2 * _backward_products(network, one, flow)) + _once(one, backward=True) for one in members
    )


def _backward_products(network: Network, one: Linear, flow: _Flow) -> float:
    """Multiplications a token: gradients of the input, of the weights, and those that the adapter takes."""
    weights, flows = one.weights, flow.reaches(one)
    if one.float8 is not None:  # torchao computes both, whoever wants them
        own = 1.0 if one.float8.exact_gradients else network.float8_time
        return weights * (network.float8_time + own)
    if one.beside is None:
        return weights * (flows + one.trained)
    through = flows or one.beside.turns_input
    return weights * (through + one.trained) + one.beside.backward + one.beside.through * flows


def _once(one: Linear, *, backward: bool = False) -> Rates:
    """What an adapter's own weights take once a pass, whatever the rows."""
    if one.beside is None:
        return Rates()
    return Rates(passes=2 * (one.beside.once_backward if backward else one.beside.once))


def _per_token(one: Linear, flops: float) -> Rates:
    if one.in_decoder and not one.reads_encoder:
        return Rates(target_tokens=flops)
    return Rates(tokens=flops)


def _pairs(network: Network, part: Part, in_decoder: bool, products: float, *, is_near: bool) -> Rates:
    """So many products of all pairs of tokens, by the time of those of linear layers."""
    flops = 2 * products * network.queries * (_PROCESSOR_PAIRS if network.attention == "processor" else 1.0)
    if part == "cross in":
        return Rates(cross_pairs=flops)
    if is_near:
        return Rates(near_pairs=flops)
    return Rates(target_pairs=flops) if in_decoder else Rates(pairs=flops)


def _attention_backward(network: Network, members: tuple[Linear, ...], flow: _Flow) -> float:
    """Products of pairs in the backward pass: gradients of scores and values, of queries and keys, where wanted.

    Fused kernels compute all of them, and the scores once more.
    """

    def wanted(role: str) -> bool:
        return any(one.feeds(role) and (one.beside or one.trained or flow.reaches(one)) for one in members)

    queries, keys, values = wanted("q"), wanted("k"), wanted("v")
    if network.attention != "formula":
        return 5.0 * (queries or keys or values)
    return float((queries or keys) + queries + keys + values)


def _beside_products(members: tuple[Linear, ...], least: int) -> Rates:
    """What adapters compute again where the results of large products, their first ones, are kept.

    Whether another is large follows from the least inputs of a linear layer.
    """
    return _sum(
        _once(one) + _per_token(one, 2 * (one.beside.forward - _kept_products(one.beside, least)))
        for one in members
        if one.beside is not None
    )


def _kept_products(beside: Beside, least: int) -> int:
    """Multiplications a token whose results selective checkpointing keeps: of products with so many inputs or more."""
    first, second = beside.inputs * beside.width, beside.width * beside.outputs
    return min(beside.forward, first + (second if beside.width >= least else 0))


def _not_recomputed(network: Network, parts: dict[Part, tuple[Linear, ...]], *, products_kept: bool) -> Rates:
    """The product at the end of a layer: torch stops recomputing once it has all that the backward pass saved."""
    if not network.ends_with_product:
        return Rates()
    ends = (one for one in parts.get("feed out", ()) if one.copies == 1)
    # A product in 8 bits saves what it is given, so that it is computed again.
    ends = (one for one in ends if one.float8 is None)
    return _sum(_last_product(one) for one in ends if one.beside is not None or not products_kept)


def _last_product(one: Linear) -> Rates:
    """Of a layer with an adapter it is the adapter's second one, since that comes after."""
    return _per_token(one, 2 * one.outputs * ((one.beside.width if one.beside else 0) or one.inputs))


def _head(network: Network, flow: _Flow) -> tuple[Rates, Rates]:
    """Forward and backward of what stands behind the layers."""
    products = 2 * network.hidden * network.head_width / network.head_parts
    trained = network.is_full or network.trains_head
    forward = Rates(scored=products, rows=2 * network.hidden * network.pooled)
    pooled = 2 * network.hidden * network.pooled * (flow.main + network.is_full)
    return forward, Rates(scored=products * (trained + flow.main), rows=pooled)


def _sum(rates: Iterator[Rates]) -> Rates:
    return sum(rates, start=Rates())


_NORMS = {True: 24, False: 8}
"""Reads and writes of a layer's two norms, in widths of the model: in pieces, or one kernel each."""
_RESIDUALS = 6
_ROTATIONS = 10
_GATE = 2.5
"""Reads and writes of what comes out of each product into a feed-forward part, by the activation behind it."""
_SCORES = 8
"""Reads and writes of each score where attention isn't fused: product, mask, softmax, dropout, product."""
_BACKWARD = 1.5
"""What the backward pass moves by what the forward pass does: between 0.8 (an encoder with an adapter) and 2.3 (a
decoder as a whole), counted at the dispatcher of torch 2.13 on small models."""
_LOGITS = 24
"""Bytes that each logit costs beyond its own: a copy in float32, its logarithms, and their gradients."""
STEP_MOVES = 7
"""Numbers as wide as a trained weight that a step moves for each: weight and gradient read, the weight written, and the
gradient read twice and written twice to be clipped and freed. The optimizer's state is read and written beside it."""
_OF_ADAMW = 8.0
"""Bytes that AdamW remembers of a weight."""
_LAYER_OPERATIONS = {"forward": 42, "backward": 62}
"""Kernels that a layer launches, counted the same way: 40 to 48 there, 45 to 78 back."""
_WATCHED = 2
"""Kernels as many that one costs while Python looks at each, to keep its result or to find it again: 7 to 10
microseconds more on a CPU, with torch 2.13, beside 5 to 10 from one to the next."""
_ADAPTER_OPERATIONS = 4
_STEP_OPERATIONS = 40
_FUSED_MOMENTS = 6
"""Kernels a step for each trained tensor: norm, shortening, update."""

_ROUNDING = {"forward": 14, "backward": 9}
"""Reads and writes of a weight that is rounded in training, by the operations that torchao launches."""
_ROUNDING_OPERATIONS = {"forward": 24, "backward": 9}
"""Kernels of these for each linear layer."""


class BytesAndKernels(NamedTuple):
    """Bytes and kernels.

    Attributes:
        forward: Bytes of the forward pass by quantity of a micro-batch.
        backward: Bytes of the backward pass.
        step_bytes: Bytes of the optimizer's step.
        forward_operations: Kernels of the forward pass.
        backward_operations: Kernels of the backward pass.
        step_operations: Kernels of the optimizer's step.
    """

    forward: Rates
    backward: Rates
    step_bytes: float
    forward_operations: float
    backward_operations: float
    step_operations: float


@lru_cache(maxsize=32)
def bytes_and_kernels(
    network: Network,
    activation_bytes: int,
    *,
    checkpointing: Recomputing,
    state_bytes: float = _OF_ADAMW,
    one_place: bool = False,
) -> BytesAndKernels:
    """What a micro-batch moves and launches, and a step beside it.

    Args:
        network: The model.
        activation_bytes: Of a number between layers.
        checkpointing: What of layers is computed again in the backward pass.
        state_bytes: What the optimizer remembers of each trained weight.
        one_place: Whether the last layer computes one place of each row behind its attention, in a look alone.
    """
    layers = _layers(network, activation_bytes, one_place=one_place)
    weights = _weight_bytes(network, activation_bytes)
    head = Rates(scored=network.head_width * (activation_bytes + _LOGITS / 2))
    card = checkpointing_card(checkpointing)
    again, weights_again, watched = Rates(), 0.0, 1
    if card.recomputes:
        again, weights_again = layers, weights
    if card.recomputes and card.keeps_products:
        again = _layers(network, activation_bytes, one_place=one_place, products=False)
        weights_again, watched = _cast_bytes(network, activation_bytes), _WATCHED
    gradients = 2 * network.trained_bytes * network.trainable
    made = 2 * network.trained_bytes * sum(one.beside.keeps_once for one in network.linears if one.beside)
    rounds = network.rounded * network.trained_bytes
    weights += _ROUNDING["forward"] * rounds
    weights_again += _ROUNDING["forward"] * rounds if card.recomputes else 0
    back = gradients + _ROUNDING["backward"] * rounds
    casts, casts_back = cast_traffic(network)
    again += casts if card.recomputes else Rates()
    forward = layers + head + Rates(passes=weights + made) + casts
    backward = layers * _BACKWARD + again + head + Rates(passes=weights + weights_again + back) + casts_back
    rounded, to_float8 = len(network.linears) if network.rounded else 0, cast_operations(network)
    fewer = [fused_kernel(part).fewer_operations for part in network.fused]
    operations = {
        way: (count - sum(one[place] for one in fewer)) * network.depth
        + _ADAPTER_OPERATIONS * network.adapters
        + _ROUNDING_OPERATIONS[way] * rounded
        + to_float8[way]
        for place, (way, count) in enumerate(_LAYER_OPERATIONS.items())
    }
    tensors = 2 * network.adapters if not network.is_full else 2 * len(network.linears)
    return BytesAndKernels(
        forward=forward,
        backward=backward,
        step_bytes=(STEP_MOVES * network.trained_bytes + 2 * state_bytes) * network.trainable,
        forward_operations=watched * operations["forward"],
        backward_operations=operations["backward"] + card.recomputes * watched * operations["forward"],
        step_operations=_STEP_OPERATIONS + _FUSED_MOMENTS * tensors,
    )


def _layers(network: Network, activation_bytes: int, *, one_place: bool, products: bool = True) -> Rates:
    """Activations that all layers read and write, a token and a pair; those of large products only where asked for."""
    gate = fused_kernel("gate").moves if "gate" in network.fused else _GATE
    main = sum((_linear(one, products, gate) for one in network.linears if not one.in_decoder), start=0.0)
    decoder = sum((_linear(one, products, gate) for one in network.linears if one.in_decoder), start=0.0)
    alone = sum((_linear(one) for one in network.linears if one_place and network.is_behind_last_attention(one)), 0.0)
    beside = _beside(network, products)
    scores = _SCORES * network.heads if network.attention == "formula" else 0
    near = len(network.near_layers)
    e = activation_bytes
    return Rates(
        rows=e * alone,
        tokens=e * (network.repeats * main - alone + network.layers * beside),
        pairs=e * (network.layers - near) * scores,
        near_pairs=e * near * scores,
        target_tokens=e * (decoder + network.decoder_layers * 1.5 * beside),
        target_pairs=e * network.decoder_layers * scores,
        cross_pairs=e * network.decoder_layers * scores,
    )


def _linear(one: Linear, product: bool = True, gate: float = _GATE) -> float:
    """Elements a token: what comes in and goes out, what an adapter does beside it, and an activation behind it."""
    moved = float(product * (one.inputs + one.outputs))  # of experts once for each that a token goes through
    if one.beside is not None and one.copies == 1:  # that of experts is part of their weights
        moved += 3 * one.inputs + 4 * one.outputs + 2 * one.beside.width
    if one.part == "feed in":
        moved += gate * one.outputs
    return moved * one.chosen


def _beside(network: Network, attends: bool = True) -> float:
    """Elements a token and layer that norms, residuals, rotations and attention move."""
    turned = fused_kernel("rotation").moves if "rotation" in network.fused else _ROTATIONS
    rotations = turned * (network.queries + network.keys) if network.rotates else 0
    norms = fused_kernel("norm").moves if "norm" in network.fused else _NORMS[network.composes_norms]
    attention = (6 * network.queries + 2 * network.keys) if attends or network.attention == "formula" else 0
    return (norms + _RESIDUALS) * network.hidden + rotations + attention


def _weight_bytes(network: Network, activation_bytes: int) -> float:
    """Weights that a pass reads: as they are held, or packed and then unpacked; of trained ones also a cast."""
    linear = network.linear_weights
    if network.packed_bytes:
        return linear * (network.packed_bytes + 2 * activation_bytes)
    return linear * activation_bytes + _cast_bytes(network, activation_bytes)


def _cast_bytes(network: Network, activation_bytes: int) -> float:
    """What a pass moves to have trained weights in the type of products."""
    is_cast = network.is_full and activation_bytes < network.trained_bytes
    return float(network.linear_weights * (network.trained_bytes + activation_bytes) * is_cast)
