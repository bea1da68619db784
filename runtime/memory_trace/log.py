"""The log of a trace: which storages were there when, and what they held. Plain data, no torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["BLOCK_BYTES", "Log", "Peak", "Section", "Storage", "Tag", "peaks", "rounded"]

BLOCK_BYTES = 512
"""The caching allocator hands out multiples of this."""

Tag = Literal[
    "weights",
    "gathered weights",
    "quantisation state",
    "adapter",
    "teacher",
    "gradients",
    "optimiser state",
    "saved activations",
    "logits",
    "workspace",
    "batch",
    "temporaries",
    "block remainders",
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
        name: Phase and part, such as `backward: layers`; empty for what no run does there.
        group: The group of layers that runs; None outside the layers.
        turn: Optimizer step and micro-batch that it belongs to.
        events: Storage numbers: `n` for the birth of storage n, `~n` for its end.
        empties_cache: Whether the allocator gives unused segments back before them.
    """

    name: str
    group: int | None
    turn: tuple[int, int]
    events: list[int] = field(default_factory=list)
    empties_cache: bool = False

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


def peaks(log: Log, block_sizes: Sequence[int] | None = None) -> dict[str, Peak]:
    """The peak of each phase, by the name of its sections.

    Args:
        log: What happened.
        block_sizes: What the allocator gave each storage, where it gives more than was asked for.
    """
    sizes = block_sizes or [storage.size for storage in log.storages]
    wanted: dict[int, list[str]] = defaultdict(list)
    for name, moment in _peak_moments(log, sizes).items():
        wanted[moment].append(name)
    live: Counter[Tag] = Counter()
    found: dict[str, Peak] = {}
    for moment, (_, event) in enumerate(log.events()):
        number, sign = (event, 1) if event >= 0 else (~event, -1)
        storage = log.storages[number]
        live[storage.tag] += sign * storage.size
        live["block remainders"] += sign * (sizes[number] - storage.size)
        for name in wanted.get(moment, ()):
            found[name] = Peak(live.total(), {tag: size for tag, size in live.items() if size})
    return {section.name: found[section.name] for section in log.sections if section.name in found}


def _peak_moments(log: Log, sizes: Sequence[int]) -> dict[str, int]:
    """For each phase the event after which most was live; where nothing happens in it, the last one before."""
    most: dict[str, int] = {}
    moments: dict[str, int] = {}
    live, moment = 0, -1

    def look(name: str) -> None:
        if name and live > most.get(name, -1):
            most[name], moments[name] = live, moment

    for section in log.sections:
        for event in section.events:
            live += sizes[event] if event >= 0 else -sizes[~event]
            moment += 1
            look(section.name)
        if not section.events:
            look(section.name)
    return moments
