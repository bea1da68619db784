"""The processes of a run, and what each of them holds and computes of a step."""

from __future__ import annotations

from ftc.spec.base import Document
from ftc.spec.shardings import Offload, Sharding, sharding_card

__all__ = ["Topology"]


class Topology(Document):
    """How the processes of a run share its steps."""

    world_size: int
    """Processes that share each optimizer step's rows."""
    nodes: int = 1
    """Machines on which they run, with equally many each; absent from the plan of a run on one machine."""
    context_parallel: int = 1
    """Processes that share each row; absent from the plan where each has rows of its own."""
    tensor_parallel: int = 1
    """Processes that divide each layer, and so compute the same rows; absent where each computes whole layers."""
    sharding: Sharding = "none"
    """What each of them holds; `none` for one process."""
    offload: Offload = "none"
    """Where parts lie between their uses."""

    @property
    def is_divided(self) -> bool:
        """Whether a process holds a part of each weight, and not the model."""
        return sharding_card(self.sharding).is_divided

    @property
    def sharers(self) -> int:
        """Processes that share each row of a step: its tokens, or the layers that it goes through."""
        return self.context_parallel * self.tensor_parallel

    @property
    def layer_groups(self) -> int:
        """Processes, or groups of those that divide layers, each of which computes whole ones."""
        return self.world_size // self.tensor_parallel

    @property
    def parts(self) -> int:
        """Into how many parts each tensor is divided; 1 where it is whole.

        Where processes divide layers, that is so for the tensors of these; others are divided among the groups.
        """
        return sharding_card(self.sharding).parts(self.world_size, self.nodes)
