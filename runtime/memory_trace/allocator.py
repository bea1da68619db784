"""What torch's caching allocator would reserve for a log: a model of its rules, without a device.

Rules as in torch's `CUDACachingAllocator`: requests up to 1 MiB come from segments of 2 MiB, those under 10 MiB from
segments of 20 MiB, larger ones from segments of their own size rounded up to 2 MiB. Free blocks are taken by best fit,
split when what is left over is worth it, and merged with free neighbors. Segments are given back only under pressure,
which a run that fits never has.

With expandable segments each pool is one range of addresses that grows at its end, page by page.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

from ftc.runtime.memory_trace.log import BLOCK_BYTES, Log

__all__ = ["CachingAllocator", "Replay", "replay", "round_up"]

MIB = 2**20
_SMALL_REQUEST = 1 * MIB
_SMALL_SEGMENT = 2 * MIB
_MEDIUM_REQUEST = 10 * MIB
_MEDIUM_SEGMENT = 20 * MIB
_LARGE_ROUNDING = 2 * MIB


@dataclass(slots=True, eq=False)
class _Block:
    """A piece of a segment, linked to its neighbors."""

    address: int
    size: int
    is_free: bool
    before: _Block | None = None
    after: _Block | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.size, self.address


class _Pool:
    """Blocks of one size class."""

    def __init__(self, is_small: bool, expandable: bool) -> None:
        self._is_small = is_small
        self._expandable = expandable
        self._free: list[tuple[int, int]] = []
        self._blocks: dict[int, _Block] = {}
        self._next_address = 0
        self._last: _Block | None = None
        self.reserved = 0

    def take(self, size: int) -> _Block:
        """The smallest free block that is large enough, or a new one."""
        place = bisect_left(self._free, (size, -1))
        if place < len(self._free):
            block = self._blocks[self._free.pop(place)[1]]
        else:
            block = self._grown(size)
        block.is_free = False
        self._split(block, size)
        return block

    def give_back(self, block: _Block) -> None:
        """Frees a block and merges it with free neighbors."""
        block.is_free = True
        if (before := block.before) is not None and before.is_free:
            self._forget(before)
            block = self._joined(before, block)
        if (after := block.after) is not None and after.is_free:
            self._forget(after)
            block = self._joined(block, after)
        self._offer(block)

    def empty(self) -> None:
        """Gives back segments in which nothing is held."""
        for key in [key for key in self._free if self._is_whole(self._blocks[key[1]])]:
            block = self._blocks[key[1]]
            self._forget(block)
            del self._blocks[block.address]
            self.reserved -= block.size

    def _is_whole(self, block: _Block) -> bool:
        return not self._expandable and block.before is None and block.after is None

    def _grown(self, size: int) -> _Block:
        tail = self._last
        if not self._expandable or tail is None:
            return self._segment(self._segment_size(size), before=tail if self._expandable else None)
        missing = size - tail.size if tail.is_free else size
        block = self._segment(self._pages(missing), before=tail)
        if tail.is_free:
            self._forget(tail)
            return self._joined(tail, block)
        return block

    def _segment(self, size: int, before: _Block | None) -> _Block:
        block = _Block(self._next_address, size, is_free=True, before=before)
        if before is not None:
            before.after = block
        self._next_address += size if self._expandable else size + _LARGE_ROUNDING  # a gap: segments never merge
        self.reserved += size
        self._blocks[block.address] = block
        self._last = block
        return block

    def _segment_size(self, size: int) -> int:
        if self._expandable:
            return self._pages(size)
        if self._is_small:
            return _SMALL_SEGMENT
        if size < _MEDIUM_REQUEST:
            return _MEDIUM_SEGMENT
        return round_up(size, _LARGE_ROUNDING)

    def _pages(self, size: int) -> int:
        return round_up(size, _SMALL_SEGMENT if self._is_small else _MEDIUM_SEGMENT)

    def _split(self, block: _Block, size: int) -> None:
        left = block.size - size
        worth_it = left >= BLOCK_BYTES if self._is_small or self._expandable else left > _SMALL_REQUEST
        if not worth_it:
            return
        rest = _Block(block.address + size, left, is_free=True, before=block, after=block.after)
        if rest.after is not None:
            rest.after.before = rest
        if self._last is block:
            self._last = rest
        block.size, block.after = size, rest
        self._blocks[rest.address] = rest
        self._offer(rest)

    def _joined(self, first: _Block, second: _Block) -> _Block:
        first.size += second.size
        first.after = second.after
        first.is_free = True
        if second.after is not None:
            second.after.before = first
        if self._last is second:
            self._last = first
        del self._blocks[second.address]
        return first

    def _offer(self, block: _Block) -> None:
        insort(self._free, block.key)

    def _forget(self, block: _Block) -> None:
        del self._free[bisect_left(self._free, block.key)]


class CachingAllocator:
    """Hands out blocks as torch would."""

    def __init__(self, *, expandable_segments: bool = False) -> None:
        self._small = _Pool(is_small=True, expandable=expandable_segments)
        self._large = _Pool(is_small=False, expandable=expandable_segments)
        self._held: dict[int, tuple[_Pool, _Block]] = {}

    def empty_cache(self) -> None:
        """Gives back what isn't held; expandable segments keep it, which is on the safe side."""
        self._small.empty()
        self._large.empty()

    @property
    def reserved(self) -> int:
        """Bytes of all segments."""
        return self._small.reserved + self._large.reserved

    def allocate(self, number: int, size: int) -> int:
        """Gives a storage its block, and tells the block's size, which torch counts as allocated.

        It can be larger than `size`, a multiple of `BLOCK_BYTES`, where the rest isn't worth a block of its own.
        """
        if not size:
            return 0
        pool = self._small if size <= _SMALL_REQUEST else self._large
        block = pool.take(size)
        self._held[number] = (pool, block)
        return block.size

    def free(self, number: int) -> None:
        """Takes a storage's block back."""
        if number in self._held:
            pool, block = self._held.pop(number)
            pool.give_back(block)


@dataclass(frozen=True, slots=True)
class Replay:
    """What the allocator does with a log.

    Attributes:
        reserved: Bytes of all segments, at their most.
        block_sizes: For each storage the bytes of its block.
    """

    reserved: int
    block_sizes: list[int]


def replay(log: Log, *, expandable_segments: bool = False) -> Replay:
    """Runs a log through the allocator."""
    allocator = CachingAllocator(expandable_segments=expandable_segments)
    sizes = [0] * len(log.storages)
    most = 0
    for section in log.sections:
        if section.empties_cache:
            allocator.empty_cache()
        for event in section.events:
            if event >= 0:
                sizes[event] = allocator.allocate(event, log.storages[event].size)
            else:
                allocator.free(~event)
        most = max(most, allocator.reserved)  # it only grows within a section
    return Replay(most, sizes)


def round_up(size: int, unit: int) -> int:
    """The next multiple of a unit."""
    return -(-size // unit) * unit
