"""Clipping gradients by their length together, whatever processes hold them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ftc.runtime.models.sharding import whole
from ftc.runtime.models.tensor_parallel import TENSOR, in_tensor_groups, local_part

__all__ = ["clip_gradients"]

_AS_TORCH = 1e-6
"""What torch's own clipping adds to a norm before it divides by it."""


def clip_gradients(parameters: Iterable[nn.Parameter], longest: float) -> torch.Tensor:
    """Shortens gradients together to a length, where they are longer; all processes have to ask.

    Returns:
        How long they were, as a scalar on the device.
    """
    found = list(parameters)
    groups = in_tensor_groups(found)
    if len(groups) == 1:
        return whole(nn.utils.clip_grad_norm_(found, longest))
    held = [parts for group in groups if (parts := [one for one in group if one.grad is not None])]
    squares = [_square(group) for group in held]
    total = torch.stack(squares).sum().sqrt() if squares else torch.zeros(())
    factor = torch.clamp(longest / (total + _AS_TORCH), max=1.0)
    for group in held:
        torch._foreach_mul_([local_part(one.grad) for one in group], factor)
    return total


def _square(group: list[Any]) -> torch.Tensor:
    """The square of the length of gradients that the same processes hold parts of.

    It is added up over those that divide a layer first, so that all of them get the same bits.
    """
    square: torch.Tensor = nn.utils.get_total_norm([local_part(one.grad) for one in group]).float().square()
    mesh, placements = group[0].device_mesh, group[0].placements
    for name, placement in reversed(list(zip(mesh.mesh_dim_names, placements, strict=True))):
        if name in ("shard", TENSOR) and not placement.is_replicate():
            torch.distributed.all_reduce(square, group=mesh.get_group(name))
    return square
