"""The allocator's rules, one by one, on logs made by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ftc.runtime.memory_trace.allocator import MIB, CachingAllocator, replay
from ftc.runtime.memory_trace.log import BLOCK_BYTES, Log, Section, Storage, peaks


def test_small_requests_share_a_segment_of_two_mebibytes() -> None:
    allocator = CachingAllocator()
    for number in range(4):
        allocator.allocate(number, MIB // 2)
    assert allocator.reserved == 2 * MIB
    allocator.allocate(4, BLOCK_BYTES)
    assert allocator.reserved == 4 * MIB


def test_medium_requests_share_a_segment_of_twenty_mebibytes() -> None:
    allocator = CachingAllocator()
    allocator.allocate(0, 9 * MIB)
    allocator.allocate(1, 9 * MIB)
    assert allocator.reserved == 20 * MIB


def test_large_requests_are_rounded_to_two_mebibytes() -> None:
    allocator = CachingAllocator()
    assert allocator.allocate(0, 11 * MIB) == 12 * MIB  # one left over isn't worth a block
    assert allocator.reserved == 12 * MIB


def test_the_smallest_free_block_that_is_large_enough_is_taken() -> None:
    allocator = CachingAllocator()
    for number, size in enumerate((40 * MIB, 30 * MIB, 50 * MIB)):
        allocator.allocate(number, size)
    for number in range(3):
        allocator.free(number)
    allocator.allocate(3, 29 * MIB)
    allocator.allocate(4, 40 * MIB)
    allocator.allocate(5, 50 * MIB)
    assert allocator.reserved == 120 * MIB


def test_what_is_left_of_a_block_is_used() -> None:
    allocator = CachingAllocator()
    allocator.allocate(0, 100 * MIB)
    allocator.free(0)
    allocator.allocate(1, 60 * MIB)
    allocator.allocate(2, 40 * MIB)
    assert allocator.reserved == 100 * MIB


def test_free_neighbors_become_one_and_segments_never_do() -> None:
    allocator = CachingAllocator()
    allocator.allocate(0, 100 * MIB)
    allocator.free(0)
    for number in (1, 2):
        allocator.allocate(number, 50 * MIB)
    allocator.allocate(3, 100 * MIB)
    for number in (1, 2, 3):
        allocator.free(number)
    allocator.allocate(4, 100 * MIB)
    allocator.allocate(5, 100 * MIB)
    assert allocator.reserved == 200 * MIB
    for number in (4, 5):
        allocator.free(number)
    allocator.allocate(6, 200 * MIB)
    assert allocator.reserved == 400 * MIB


def test_expandable_segments_grow_at_their_end() -> None:
    allocator = CachingAllocator(expandable_segments=True)
    allocator.allocate(0, 100 * MIB)
    allocator.allocate(1, 100 * MIB)
    for number in (0, 1):
        allocator.free(number)
    assert allocator.allocate(2, 220 * MIB) == 220 * MIB
    assert allocator.reserved == 220 * MIB


def test_emptying_the_cache_gives_back_whole_segments_alone() -> None:
    log = Log([Storage(size * MIB, "weights", None) for size in (50, 30, 6, 6, 40)])
    load = [0, 1, 2, 3, ~0, ~2]
    log.sections = [
        Section("load", None, (0, 0), load),
        Section("load", None, (0, 0), [4], empties_cache=True),
    ]
    assert replay(log).reserved == (50 + 30 + 20) * MIB
    log.sections[1].events = [4, ~4, 0]
    assert replay(log).reserved == (30 + 20 + 40 + 50) * MIB


def test_the_rest_of_a_block_counts_as_allocated() -> None:
    log = Log([Storage(11 * MIB, "weights", None)], [Section("load", None, (0, 0), [0])])
    replayed = replay(log)
    peak = peaks(log, replayed.block_sizes)["load"]
    assert peak.size == 12 * MIB
    assert peak.components == {"weights": 11 * MIB, "block remainders": MIB}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 80_000)), max_size=60), st.booleans())
def test_reserved_memory_covers_what_is_allocated(requests: list[tuple[int, int]], expandable: bool) -> None:
    allocator = CachingAllocator(expandable_segments=expandable)
    held: dict[int, int] = {}
    for place, blocks in requests:
        if place in held:
            allocator.free(place)
        size = blocks * BLOCK_BYTES
        held[place] = allocator.allocate(place, size)
        assert held[place] >= size
        assert sum(held.values()) <= allocator.reserved
    before = allocator.reserved
    for place in held:
        allocator.free(place)
    for place, size in held.items():
        allocator.allocate(place, size)
    assert allocator.reserved <= before + sum(held.values())
