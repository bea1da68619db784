"""The log of a trace, which storages were there when and what they held, and its growth to the real depth. No torch.

The groups of a model's layers behave alike, except the first and the last. In a trace of five groups the three in the
middle must therefore show the same births, and then the middle one is repeated: its forward pass after itself, its
backward pass before itself, and whatever belongs to it elsewhere, such as its weights or its optimizer state, beside
its own. What one group leaves for its neighbor to free is freed by the copy's neighbor. Nothing is fitted and nothing
is rounded: where the groups are alike, the result is the log that the whole model would have given.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "BLOCK_BYTES",
    "TEMPLATE",
    "TRACED_GROUPS",
    "IrregularLayers",
    "Log",
    "Peak",
    "Section",
    "Storage",
    "Tag",
    "peaks",
    "rounded",
    "stretched",
]

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


TRACED_GROUPS = 5
"""First, last, and three that are alike; the middle one has neighbors that are alike on both sides."""
TEMPLATE = 2
"""The group that is repeated."""
_INNER = slice(1, -1)

_Pass = tuple[str, tuple[int, int]]
"""Name and turn of sections: one way through all groups."""


class IrregularLayers(ValueError):
    """The middle groups are not alike; the whole depth has to be traced."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a storage was born: in which pass, in which group, as which of the group's births there."""

    of: _Pass
    group: int
    index: int


def stretched(log: Log, num_groups: int, first: int = 0) -> Log:
    """The log of a model with `num_groups` groups, from one of `TRACED_GROUPS`.

    Args:
        log: What happened to few groups.
        num_groups: Groups of the model.
        first: Number of the first of them, where the model has groups of another stack before.

    Raises:
        IrregularLayers: The middle groups are not alike.
    """
    if num_groups < TRACED_GROUPS:
        raise ValueError(f"a log of {TRACED_GROUPS} groups can't shrink to {num_groups}")
    stack = range(first, first + TRACED_GROUPS)
    origins = _origins(log, stack)
    _require_alike(log, origins, stack)
    return _Stretch(log, origins, stack, num_groups - TRACED_GROUPS).run()


def _origins(log: Log, stack: range) -> dict[int, _Origin]:
    counts: dict[tuple[_Pass, int], int] = defaultdict(int)
    origins: dict[int, _Origin] = {}
    for section, event in log.events():
        if event < 0 or section.group is None or section.group not in stack:
            continue
        at = ((section.name, section.turn), section.group)
        origins[event] = _Origin(*at, index=counts[at])
        counts[at] += 1
    return origins


def _require_alike(log: Log, origins: dict[int, _Origin], stack: range) -> None:
    births: dict[tuple[_Pass, int], list[int]] = defaultdict(list)
    for number, origin in origins.items():
        births[origin.of, origin.group].append(log.storages[number].size)
    for of in {origin.of for origin in origins.values()}:
        first, *others = (births[of, group] for group in stack[_INNER])
        if any(other != first for other in others):
            raise IrregularLayers(f"layers differ in `{of[0]}`")


@dataclass(slots=True)
class _Stretch:
    """Writes the longer log; groups stand at positions 0, 1, 2, copies, 3 and 4 of it."""

    log: Log
    origins: dict[int, _Origin]
    stack: range
    copies: int
    result: Log = field(default_factory=Log)
    inner: dict[tuple[_Pass, int, int], int] = field(default_factory=dict)
    """New numbers of storages that were born in a group: by pass, position and index."""
    outer: dict[tuple[int, int], int] = field(default_factory=dict)
    """New numbers of the others: by old number and position; -1 for the original."""

    def run(self) -> Log:
        for section in self.log.sections:
            if section.group is None or section.group not in self.stack:
                self._outside(section)
            elif section.group != self._template:
                self._inside(section, self._position(section.group))
            elif section.is_backward:
                for position in (*reversed(self._copied), self._template):
                    self._inside(section, position)
            else:
                for position in (self._template, *self._copied):
                    self._inside(section, position)
        return self.result

    @property
    def _template(self) -> int:
        return self.stack[TEMPLATE]

    @property
    def _copied(self) -> range:
        return range(self._template + 1, self._template + 1 + self.copies)

    def _position(self, group: int) -> int:
        return group if group <= self._template else group + self.copies

    def _inside(self, section: Section, position: int) -> None:
        new = self._begin(section, position)
        for event in section.events:
            if event >= 0:
                origin = self.origins[event]
                new.events.append(self._birth(event, position))
                self.inner[origin.of, position, origin.index] = new.events[-1]
            else:
                new.events.append(~self._ended_inside(section, ~event, position))

    def _ended_inside(self, section: Section, number: int, position: int) -> int:
        assert section.group is not None
        origin = self.origins.get(number)
        if origin is None:
            if section.group in self.stack[_INNER]:
                raise IrregularLayers(f"`{section.name}` ends something that isn't of the layers")
            return self.outer.pop((number, -1))
        distance = section.group - origin.group
        if abs(distance) > 1:
            raise IrregularLayers(f"`{section.name}` ends something of a layer that isn't its neighbor")
        return self._end((origin.of, position - distance, origin.index))

    def _end(self, key: tuple[_Pass, int, int]) -> int:
        try:
            return self.inner.pop(key)
        except KeyError:
            raise IrregularLayers(f"layers free different things in `{key[0][0]}`") from None

    def _outside(self, section: Section) -> None:
        new = self._begin(section, None if section.group is None else self._position(section.group))
        for event in section.events:
            number = event if event >= 0 else ~event
            is_repeated = self.log.storages[number].owner == self._template
            for position in (-1, *(self._copied if is_repeated else ())):
                if event >= 0:
                    new.events.append(self._birth(number, None if position < 0 else position))
                    self.outer[number, position] = new.events[-1]
                else:
                    new.events.append(~self._ended_outside(number, position))

    def _ended_outside(self, number: int, position: int) -> int:
        origin = self.origins.get(number)
        if origin is None:
            return self.outer.pop((number, position))
        at = self._position(origin.group) if position < 0 else position
        return self._end((origin.of, at, origin.index))

    def _birth(self, number: int, position: int | None) -> int:
        old = self.log.storages[number]
        if position is None and old.owner is not None:
            position = self._position(old.owner)
        self.result.storages.append(Storage(old.size, old.tag, position))
        return len(self.result.storages) - 1

    def _begin(self, section: Section, position: int | None) -> Section:
        new = Section(section.name, position, section.turn, empties_cache=section.empties_cache)
        self.result.sections.append(new)
        return new
