"""How several devices share a run, in the words of a plan."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.settings import TrainSettings
from ftc.spec.shardings import sharding_card
from ftc.views import numbers

__all__ = ["device_words"]


def device_words(train: TrainSettings) -> Iterator[str]:
    """What each of several devices holds, and what they share of a row or of a layer; nothing for one device."""
    if train.world_size > 1:
        held = " with its shards in host RAM" if train.offload == "cpu" else ""
        each = f"{train.nodes} machines with {numbers.plural(train.world_size // train.nodes, 'device')} each"
        on = f"{train.world_size} devices" if train.nodes == 1 else each
        yield f"{sharding_card(train.sharding).label}{held} on {on}"
    if train.context_parallel > 1:
        yield f"each row shared by {train.context_parallel} devices"
    if train.tensor_parallel > 1:
        yield f"each layer divided by {train.tensor_parallel} devices"
