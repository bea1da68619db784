"""Which rows of a model's divided tensors a process writes, so that all of them together write each row once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ftc.runtime.models.tensor_parallel import TENSOR

__all__ = ["Share", "share_of"]


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of divided tensors this process writes.

    Attributes:
        number: Of the part, from 0.
        count: How many parts there are.
        is_kept: Whether this process is the one that writes the part; where machines hold copies, one does.
        tensor: How many processes divide each layer; those follow each other.
    """

    number: int
    count: int
    is_kept: bool
    tensor: int = 1

    def of(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, list[int]]]:
        """What this process writes of tensors, by name, and where each part begins in the whole one.

        The first part also has what isn't divided. Where processes divide layers, those of a group ask together.
        """
        found = {}
        for name, tensor in tensors.items():
            if hasattr(tensor, "to_local"):
                part, begin = self._rows(tensor)
                if part.numel() or not self.number:
                    found[name] = part, [begin, *[0] * (tensor.ndim - 1)]
            elif not self.number:
                found[name] = tensor.detach(), [0] * tensor.ndim
        return found

    def _rows(self, tensor: Any) -> tuple[torch.Tensor, int]:
        """The rows of a divided tensor that this process writes, and the first one's number."""
        part: torch.Tensor = tensor.to_local().detach()
        rows, place, among = tensor.shape[0], self.number // self.tensor, self.count // self.tensor
        if self.tensor == 1:
            return part, _begin(rows, place, among)
        own, mesh = self.number % self.tensor, tensor.device_mesh
        names = mesh.mesh_dim_names or ()
        if TENSOR not in names or tensor.placements[names.index(TENSOR)].is_replicate():
            # All processes that divide a layer hold the same; the first of them writes it.
            return (part if own == 0 else part[:0]), _begin(rows, place, among)
        if tensor.placements[names.index(TENSOR)].dim == 0:
            block = rows // self.tensor
            return part, own * block + _begin(block, place, among)
        parts = [torch.empty_like(part) for _ in range(self.tensor)]
        torch.distributed.all_gather(parts, part.contiguous(), group=mesh.get_group(TENSOR))
        whole_rows = torch.cat(parts, dim=tensor.placements[names.index(TENSOR)].dim)
        first, size = _begin(len(whole_rows), own, self.tensor), -(-len(whole_rows) // self.tensor)
        # In host RAM: other rows would stay on the device until all are written.
        return whole_rows[first : first + size].to("cpu", copy=True), _begin(rows, place, among) + first


def share_of(tensors: Mapping[str, torch.Tensor], tensor: int = 1) -> Share | None:
    """This process's part of a model's parameters; None where they are whole.

    Parts are rows, as many in each but for the last ones, as `fully_shard` divides.

    Args:
        tensors: That are trained; none of them has to stand in a layer that processes divide.
        tensor: How many processes divide each layer; those follow each other.
    """
    divided: list[Any] = [one for one in tensors.values() if hasattr(one, "placements")]
    if not divided:
        return None
    mesh = divided[0].device_mesh
    at = dict(zip(mesh.mesh_dim_names, mesh.get_coordinate(), strict=True))
    parts = dict(zip(mesh.mesh_dim_names, mesh.shape, strict=True))["shard"]
    own = torch.distributed.get_rank() % tensor  # the mesh of a norm has no dimension for it
    return Share(at["shard"] * tensor + own, parts * tensor, at.get("replicate", 0) == 0, tensor)


def _begin(rows: int, place: int, among: int) -> int:
    """The first of the rows that one of several parts has."""
    return min(rows, place * -(-rows // among))
