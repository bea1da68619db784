"""What casts to 8 bits move and launch, where products of linear layers are computed in float8."""

from __future__ import annotations

from typing import NamedTuple

from ftc.compiler.time.amounts import Rates
from ftc.compiler.time.network import Network

__all__ = ["cast_operations", "cast_traffic"]


class _Casts(NamedTuple):
    """What casts take in a pass beyond a linear layer without them, by the operations that torchao launches.

    Counted at the dispatcher of torch 2.13 with torchao 0.18: the largest number is searched, and numbers are scaled in
    float32, limited and rounded, each in a kernel of its own. Compiled layers do so in a few.

    Attributes:
        inputs: Bytes for each number that comes in.
        weights: Bytes for each weight.
        outputs: Bytes for each number that goes out, or comes back.
        operations: Kernels of a layer.
    """

    inputs: float
    weights: float
    outputs: float
    operations: int


_FORWARD = _Casts(34, 30, 0, 28)
_BACKWARD = {False: _Casts(43, 48, 68, 64), True: _Casts(14, 42, 36, 38)}
"""By whether gradients of weights are computed as they come in."""


def cast_traffic(network: Network) -> tuple[Rates, Rates]:
    """Bytes of the forward and of the backward pass, by quantity of a micro-batch."""
    forward, backward = Rates(), Rates()
    for one in network.linears:
        if one.float8 is None:
            continue
        moved = []
        for casts in (_FORWARD, _BACKWARD[one.float8.exact_gradients]):
            each = casts.inputs * one.inputs + casts.outputs * one.outputs
            in_decoder = one.in_decoder and not one.reads_encoder
            tokens = Rates(target_tokens=each) if in_decoder else Rates(tokens=each)
            moved.append(tokens + Rates(passes=casts.weights * one.inputs * one.outputs))
        forward, backward = forward + moved[0], backward + moved[1]
    return forward * network.repeats, backward * network.repeats


def cast_operations(network: Network) -> dict[str, int]:
    """Kernels of both passes."""
    exact = [one.float8.exact_gradients for one in network.linears if one.float8 is not None]
    return {
        "forward": _FORWARD.operations * len(exact),
        "backward": sum(_BACKWARD[is_exact].operations for is_exact in exact),
    }
