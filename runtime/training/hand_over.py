"""What the loop hands to a card and reads from it, without waiting in between.

Within a step the loop itself never waits for the card: copies to it come from pinned memory, in the order of its work.
That order is enough: a batch of tokens takes microseconds to copy, and a stream of its own would keep memory apart for
each batch. At the end of a step two numbers are read, and while they are on their way the next step's first batch is
made.

What stays is a model's own code: before its first layer transformers reads one truth value from the card to learn
whether rows are packed (`find_packed_sequence_indices`), and a few model types read another to warn of padding
(`warn_if_padding_and_no_attention_mask`). That is once a forward pass, in front of its layers: nothing within the
layers, the loss or the backward pass waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ftc.runtime.tasks.scorer import Batch
    from ftc.runtime.training.sources import StepRows

__all__ = ["Ahead", "looks_ahead", "reading"]


@dataclass(frozen=True, slots=True)
class Ahead:
    """A step's rows, with its first micro-batch in host RAM."""

    fed: StepRows
    batch: Batch


def looks_ahead(device: torch.device) -> bool:
    """Whether there is something to wait for: a CPU computes when it is asked."""
    return device.type == "cuda"


def reading(*numbers: torch.Tensor) -> Callable[[], Iterator[float]]:
    """Begins to read single numbers from their device; what is returned waits for them."""
    if numbers[0].device.type != "cuda":
        return lambda: (one.item() for one in numbers)
    arriving = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in numbers]
    for host, one in zip(arriving, numbers, strict=True):
        host.copy_(one, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> Iterator[float]:
        arrived.synchronize()
        return (one.item() for one in arriving)

    return wait
