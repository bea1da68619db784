"""Loading while threads read ahead: what transformers 5.0 to 5.3 does where it quantises.

These releases hand all weights, in order of their names, to at most four threads, which put each of them on the card in
16 bits, while the main thread packs them in the same order. Nothing bounds how far the threads get ahead, so how many
unpacked weights lie there at once is a race between reading and packing. From 5.4.0 on a release that quantises reads
one weight at a time, as does every release under ftc.

Since the race isn't recorded, it is replayed at several depths: no weight read ahead, which is loading in order, then
one, two, four and so on up to all of them. Doublings, because nothing says of which size the lead is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftc.runtime.memory_trace.allocator import replay
from ftc.runtime.memory_trace.log import Log, Section

__all__ = ["is_raced", "read_ahead", "replayed_races"]

_FIRST, _ORDERLY = (5, 0), (5, 4)
"""The first release of transformers that reads ahead, and the first that doesn't where it quantises."""


def is_raced(transformers: tuple[int, ...], *, quantised: bool) -> bool:
    """Whether this release reads weights ahead of their packing."""
    return quantised and _FIRST <= transformers < _ORDERLY


def replayed_races(log: Log) -> list[int]:
    """Bytes that the allocator reserves for a run, at each depth of reading ahead; the first is loading in order."""
    return [replay(read_ahead(log, depth)).reserved for depth in _depths(len(_arrivals(log)))]


def read_ahead(log: Log, depth: int) -> Log:
    """The log of a run whose weights arrive on the card `depth` weights before they are packed."""
    arrivals = _arrivals(log)
    place_of = {number: place for place, number in enumerate(arrivals)}
    events: list[int] = []
    arrived = 0
    for event in _loading(log):
        if event not in place_of:
            events.append(event)
            continue
        wanted = min(place_of[event] + depth + 1, len(arrivals))
        events += arrivals[arrived:wanted]
        arrived = max(arrived, wanted)
    load = Section("load", None, log.sections[0].turn, events)
    return Log(log.storages, [load, *log.sections[_num_loading(log) :]])


def _arrivals(log: Log) -> list[int]:
    """Weights as they come, in order: those of which another form stays."""
    ended = {~event for event in _loading(log) if event < 0}
    return [event for event in _loading(log) if event in ended and log.storages[event].tag == "weights"]


def _loading(log: Log) -> Iterator[int]:
    for section in log.sections[: _num_loading(log)]:
        yield from section.events


def _num_loading(log: Log) -> int:
    return next(place for place, section in enumerate(log.sections) if section.name != "load")


def _depths(num_weights: int) -> list[int]:
    depths = [0, 1]
    while depths[-1] < num_weights:
        depths.append(2 * depths[-1])
    return depths
