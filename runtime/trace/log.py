"""The log of a trace: which storages were there when, and what they held. Plain data, no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["BLOCK_BYTES", "Log", "Peak", "Section", "Storage", "Tag", "peaks", "rounded"]

BLOCK_BYTES = 512
"""The caching allocator hands out multiples of this."""

Tag = Literal[
    "weights",
    "quantisation state",
    "adapter",
    "gradients",
    "optimiser state",
    "saved activations",
    "logits",
    "workspace",
    "batch",
    "temporaries",
]


@dataclass(slots=True)
class Storage:
    """One piece of memory.

    Attributes:
        size: Bytes, a multiple of `BLOCK_BYTES`.
        tag: What it holds.
        owner: Group of layers that it belongs to, by its birth or by the tensor that it was made from; None for none.
    """

    size: int
    tag: Tag
    owner: int | None


@dataclass(slots=True)
class Section:
    """Events between two marks.

    Attributes:
        name: Phase and part, such as `backward: layers`.
        group: The group of layers that runs; None outside the layers.
        turn: Optimiser step and micro-batch that it belongs to.
        events: Storage numbers: `n` for the birth of storage n, `~n` for its end.
    """

    name: str
    group: int | None
    turn: tuple[int, int]
    events: list[int] = field(default_factory=list)

    @property
    def is_backward(self) -> bool:
        """Whether groups run from the last to the first here."""
        return self.name.startswith("backward")


@dataclass(slots=True)
class Log:
    """Storages by number, and sections in the order in which they ran."""

    storages: list[Storage] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def events(self) -> Iterator[tuple[Section, int]]:
        """Every event with its section."""
        for section in self.sections:
            for event in section.events:
                yield section, event


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that was live in a phase, and what it held: the components sum to it."""

    size: int
    components: dict[Tag, int]


def rounded(size: int) -> int:
    """Bytes that the allocator hands out for a request."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def peaks(log: Log) -> dict[str, Peak]:
    """The peak of each phase, by the name of its sections; a phase without events still holds what was live."""
    moments = _peak_moments(log)
    found: dict[str, Peak] = {}
    live: Counter[Tag] = Counter()
    wanted = {moment: name for name, (_, moment) in moments.items()}
    for moment, (_, event) in enumerate(log.events()):
        storage = log.storages[event if event >= 0 else ~event]
        live[storage.tag] += storage.size if event >= 0 else -storage.size
        if name := wanted.get(moment):
            found[name] = Peak(live.total(), {tag: size for tag, size in live.items() if size})
    return {name: found[name] for name in moments}


def _peak_moments(log: Log) -> dict[str, tuple[int, int]]:
    """For each phase the largest live size, and the event after which it was reached."""
    moments: dict[str, tuple[int, int]] = {}
    live = 0
    for moment, (section, event) in enumerate(log.events()):
        live += log.storages[event].size if event >= 0 else -log.storages[~event].size
        if section.name not in moments or live > moments[section.name][0]:
            moments[section.name] = (live, moment)
    return moments
