"""Operations of a training step, counted from shapes: two for each multiplication that a matrix product holds.

Forward, a linear layer costs twice its weights a token, and attention two products of the pairs that its kernel goes
through, which `attended` counts. Backward, the gradient of a layer's input costs as much again, where something before
it is trained, and that of its weights where they are. A frozen layer computes none of its own. Recomputing costs the
layers' forward pass a second time. Norms, activations and the optimizer are left out: they take memory traffic and not
arithmetic, and `traffic` counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

from ftc.compiler.time.amounts import Rates
from ftc.compiler.time.network import Linear, Network, Part

__all__ = ["StepFlops", "flop_rates"]

_INPUT_PARTS = ("attention in", "cross in")


@dataclass(frozen=True, slots=True)
class StepFlops:
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
def flop_rates(network: Network, *, checkpointing: bool, one_place: bool = False) -> StepFlops:
    """What a micro-batch costs a token, a pair of tokens and a scored place.

    Args:
        network: The model.
        checkpointing: Whether layers are computed again on the way back. With an adapter, gradients then go all the
            way down, since peft has the embedding's output want one.
        one_place: Whether the last layer computes one place of each row behind its attention, in a look alone.
    """
    forward, backward, last = Rates(), Rates(), Rates()
    wanted = network.flows_from_start or checkpointing
    flow, in_decoder = _Flow(main=wanted, encoder=wanted), False
    for (decoder, number), layer in groupby(network.linears, key=lambda one: (one.in_decoder, one.layer)):
        if decoder and not in_decoder:
            in_decoder, flow = True, _Flow(main=wanted, encoder=flow.main)
        members_of_layer = tuple(layer)
        if network.family != "encoder" and any(one.trained for one in members_of_layer):
            flow = replace(flow, main=True)  # the norm before it is trained, too
        parts, is_near = _by_part(members_of_layer), not decoder and number in network.near_layers
        for part, members in parts.items():
            products = _linear_forward(members)
            alone = one_place and network.is_behind_last_attention(members[0])
            forward += replace(products, tokens=0, rows=products.tokens) if alone else products
            backward += _linear_backward(members, flow)
            if part in _INPUT_PARTS:
                forward += _pairs(network, part, decoder, 2, is_near=is_near)
                backward += _pairs(network, part, decoder, _attention_backward(network, members, flow), is_near=is_near)
            if any(one.beside or one.trained for one in members):
                flow = replace(flow, main=True)
        last += _not_recomputed(network, parts)
    again = (forward + last * -1.0) if checkpointing else Rates()
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


def _linear_forward(members: tuple[Linear, ...]) -> Rates:
    return _sum(_per_token(one, 2 * (one.inputs * one.outputs + _adapter(one))) + _once(one) for one in members)


def _linear_backward(members: tuple[Linear, ...], flow: _Flow) -> Rates:
    return _sum(_per_token(one, 2 * _backward_products(one, flow)) + _once(one, backward=True) for one in members)


def _backward_products(one: Linear, flow: _Flow) -> int:
    """Multiplications a token: gradients of the input, of the weights, and those that the adapter takes."""
    weights, flows = one.inputs * one.outputs, flow.reaches(one)
    if one.beside is None:
        return weights * (flows + one.trained)
    through = flows or one.beside.turns_input
    return weights * (through + one.trained) + one.beside.backward + one.beside.through * flows


def _adapter(one: Linear) -> int:
    return one.beside.forward if one.beside else 0


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
    """So many products of all pairs of tokens."""
    flops = 2 * products * network.queries
    if part == "cross in":
        return Rates(cross_pairs=flops)
    if is_near:
        return Rates(near_pairs=flops)
    return Rates(target_pairs=flops) if in_decoder else Rates(pairs=flops)


def _attention_backward(network: Network, members: tuple[Linear, ...], flow: _Flow) -> float:
    """Products of pairs on the way back: gradients of scores and values, of queries and of keys, where they are wanted.

    Fused kernels compute all of them, and the scores once more.
    """

    def wanted(role: str) -> bool:
        return any(one.feeds(role) and (one.beside or one.trained or flow.reaches(one)) for one in members)

    queries, keys, values = wanted("q"), wanted("k"), wanted("v")
    if network.attention != "formula":
        return 5.0 * (queries or keys or values)
    return float((queries or keys) + queries + keys + values)


def _not_recomputed(network: Network, parts: dict[Part, tuple[Linear, ...]]) -> Rates:
    """The product at the end of a layer: torch stops recomputing where nothing further was saved for the way back."""
    if not network.ends_with_product:
        return Rates()
    return _sum(_last_product(one) for one in parts.get("feed out", ()))


def _last_product(one: Linear) -> Rates:
    """Of a layer with an adapter it is the adapter's second one, since that comes after."""
    return _per_token(one, 2 * one.outputs * ((one.beside.width if one.beside else 0) or one.inputs))


def _head(network: Network, flow: _Flow) -> tuple[Rates, Rates]:
    """Forward and backward of what stands behind the layers."""
    products = 2 * network.hidden * network.head_width
    trained = network.is_full or network.trains_head
    forward = Rates(scored=products, rows=2 * network.hidden * network.pooled)
    pooled = 2 * network.hidden * network.pooled * (flow.main + network.is_full)
    return forward, Rates(scored=products * (trained + flow.main), rows=pooled)


def _sum(rates: Iterator[Rates]) -> Rates:
    return sum(rates, start=Rates())
