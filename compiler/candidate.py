"""What the solver chooses: one way to run a job."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.spec.checkpointing import Recomputing
from ftc.spec.context_parallel import row_shares
from ftc.spec.optimizers import OptimizerKind
from ftc.spec.sections.model import AttentionKernel
from ftc.spec.shardings import Offload, Sharding, sharding_card

__all__ = ["Candidate"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the job: a value for each knob of `ftc.spec.knobs`.

    Attributes:
        micro_batch: Rows that go through the model at once on one device.
        activation_checkpointing: What of activations is recomputed.
        eval_batch: Rows that are evaluated at once on one device.
        attention: Kernel of attention.
        optimizer: Kind of optimizer.
        packing: Whether rows share sequences.
        micro_batch_tokens: Most tokens that go through the model at once; None where rows alone decide.
        sharding: What each of several devices holds.
        offload: Where their parts lie.
        devices: How many share the run, on all machines.
        loss_chunk_size: Target positions whose scores over the vocabulary are computed at a time; None for all.
        context_parallel: How many devices share each row; 1 where each has rows of its own.
        tensor_parallel: How many devices divide each layer; 1 where each computes whole ones.
    """

    micro_batch: int
    activation_checkpointing: Recomputing
    eval_batch: int
    attention: AttentionKernel
    optimizer: OptimizerKind
    packing: bool
    micro_batch_tokens: int | None
    sharding: Sharding
    offload: Offload
    devices: int
    loss_chunk_size: int | None = None
    context_parallel: int = 1
    tensor_parallel: int = 1

    @property
    def sharers(self) -> int:
        """How many devices have the same rows of a step."""
        return self.context_parallel * self.tensor_parallel

    @property
    def row_shares(self) -> int:
        """Into how many shares the rows of a step are dealt."""
        return row_shares(self.devices, self.sharers)

    @property
    def layer_groups(self) -> int:
        """How many devices, or groups of those that divide layers, compute whole ones: rows are evaluated by each."""
        return max(1, self.devices // self.tensor_parallel)

    @property
    def is_divided(self) -> bool:
        """Whether a device holds a part of each weight, and not the model."""
        return sharding_card(self.sharding).is_divided
