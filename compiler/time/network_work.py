"""What forward passes and training steps of a network take, by what it is fed."""

from __future__ import annotations

from ftc.compiler.time.amounts import Amounts, cost
from ftc.compiler.time.network import Network
from ftc.compiler.time.operator_costs import bytes_and_kernels, flop_rates
from ftc.spec.checkpointing import Recomputing
from ftc.spec.documents.estimates import Work

__all__ = ["forward_work", "step_work"]


def forward_work(network: Network, amounts: Amounts, element_bytes: int, *, one_place: bool = False) -> Work:
    """Work of forward passes alone.

    Args:
        network: The model.
        amounts: What it is fed.
        element_bytes: Of a number between layers.
        one_place: Whether the last layer computes one place of each row behind its attention.
    """
    flops = flop_rates(network, checkpointing=False, one_place=one_place)
    traffic = bytes_and_kernels(network, element_bytes, checkpointing=False, one_place=one_place)
    return Work(
        flops=cost(flops.forward, amounts),
        bytes=cost(traffic.forward, amounts),
        operations=amounts.passes * traffic.forward_operations,
    )


def step_work(
    network: Network,
    amounts: Amounts,
    steps: float,
    activation_bytes: int,
    *,
    checkpointing: Recomputing,
    state_bytes: float = 8.0,
) -> Work:
    """Work of training steps on these amounts; for the arguments see `bytes_and_kernels`."""
    flops = flop_rates(network, checkpointing=checkpointing)
    traffic = bytes_and_kernels(network, activation_bytes, checkpointing=checkpointing, state_bytes=state_bytes)
    kernels = traffic.forward_operations + traffic.backward_operations
    return Work(
        flops=cost(flops.step, amounts),
        bytes=cost(traffic.forward + traffic.backward, amounts) + steps * traffic.step_bytes,
        operations=amounts.passes * kernels + steps * traffic.step_operations,
    )
