"""Processes of one run that watch each other, with a store and a clock of the test."""

from __future__ import annotations

from ftc.runtime.execution.accelerator import Heartbeats
from ftc.runtime.execution.lost_processes import lost


class Shared:
    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def set(self, key: str, value: str) -> None:
        self.values[key] = value.encode()

    def get(self, key: str) -> bytes:
        return self.values[key]

    def check(self, keys: list[str]) -> bool:
        return self.values.keys() >= set(keys)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_process_that_tells_nothing_any_longer_is_found_and_one_that_is_done_is_not() -> None:
    store, clock = Shared(), Clock()
    one, two, three = (Heartbeats(store, rank, 3, clock) for rank in range(3))
    for _ in range(20):
        clock.now += 5
        for beats in (one, two, three):
            beats.beat()
        assert one.silent(60) is None
    three.end()
    for _ in range(20):
        clock.now += 5
        one.beat()
        if clock.now < 130:
            two.beat()
        found = one.silent(60)
        assert found == (None if clock.now < 190 else 1), clock.now
    assert two.silent(60) is None, "it sees the first one live"


def test_a_process_that_never_came_is_silent_too() -> None:
    store, clock = Shared(), Clock()
    beats = Heartbeats(store, 0, 2, clock)
    clock.now = 61
    assert beats.silent(60) == 1
    assert lost("process 1", "silent for 60 s").code == "FTC644"
