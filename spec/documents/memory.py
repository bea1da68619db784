"""Peak memory of a run before it is launched: by phase, by what it holds, and as a range where it isn't certain."""

from __future__ import annotations

from typing import Literal

from ftc.spec.base import Document

__all__ = ["ByteRange", "MemoryEstimate", "PhasePeak", "Verdict"]

Verdict = Literal["fits", "tight", "does not fit"]


class ByteRange(Document):
    """A size that isn't known exactly."""

    low: int
    expected: int
    high: int


class PhasePeak(Document):
    """The most that is allocated in one phase."""

    phase: str
    """Name of the phase, such as `backward: layers`; what stands before the colon groups them."""
    peak_bytes: int
    components: dict[str, int]
    """Bytes by what they hold; they sum to `peak_bytes`."""


class MemoryEstimate(Document):
    """Peak memory of the run, before it is launched."""

    method: Literal["closed form", "trace"]
    """How it was computed: `trace`, the run's own step on tensors without memory; `closed form`, from shapes alone."""
    phases: tuple[PhasePeak, ...]
    """Peaks of tensors by phase, in the order in which the phases happen."""
    peak_phase: str
    """The phase that decides."""
    allocated_bytes: int
    """Tensors at the largest peak: what torch reports as its largest allocation."""
    reserved: ByteRange
    """What torch's allocator takes from the device for them; on a CPU the tensors themselves."""
    process: ByteRange
    """What the process takes in all: reserved memory and the context beside it."""
    context_source: str = ""
    """Where the size of the context was measured, in words; empty where a usual one stands in."""
    ways: int = 1
    """Ways to run the job that the recipe leaves open, among which this one was chosen."""
    traces: int = 0
    """How many of them were traced, now or for an earlier plan."""
    components: dict[str, int]
    """Bytes of the expected process at its peak, by what they hold; they sum to `peak_bytes`."""
    limit_bytes: int
    """What the budget or the device allows."""
    limit_source: str
    """Where the limit comes from, in words."""
    verdict: Verdict
    """`fits`: even the high figure is within the limit. `tight`: the low one is, the high one is not. `does not fit`:
    not even tensors and context are."""

    @property
    def peak_bytes(self) -> int:
        """What the process is expected to take at its peak."""
        return self.process.expected
