"""From tensors to what a device sees: the allocator's rest and the context, as low, expected and high figures.

Low is what can't be given back: tensors and context. Torch flushes its cache before it gives up, so a run whose low
figure fits can still end well. High is what has been seen to be needed; a run whose high figure fits won't run out.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftc.spec.documents.estimates import ByteRange, Verdict

__all__ = ["Context", "process_range", "reserved_range", "verdict_of"]

_REST_OTHERWISE = {"eager": 1.5, "sdpa": 1.26, "flash_attention_2": 1.26}
"""Largest ratio of reserved to allocated memory in 59 published runs without expandable segments, by attention."""
_REST_EXPANDING = 1.05
"""With expandable segments what is reserved follows what is allocated; the rest is page-sized ends of two ranges."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a process takes beside torch's tensors.

    Attributes:
        name: What it is, in a word.
        size: Bytes, as a range.
        source: Where it was measured, in words; empty where a usual size stands in.
    """

    name: str
    size: ByteRange
    source: str = ""


def reserved_range(allocated: int, expected: int, attention: str, *, on_card: bool, expandable: bool) -> ByteRange:
    """What torch's allocator takes from the device.

    Args:
        allocated: Tensors at the peak.
        expected: What the allocator takes for them, where it was played through; else the same.
        attention: The plan's attention.
        on_card: Whether there is such an allocator at all; a CPU's gives back what it doesn't use.
        expandable: Whether the run is launched with expandable segments.
    """
    if not on_card:
        return ByteRange(low=allocated, expected=expected, high=expected)
    rest = _REST_EXPANDING if expandable else _REST_OTHERWISE.get(attention, 1.5)
    return ByteRange(low=allocated, expected=expected, high=max(expected, round(rest * allocated)))


def process_range(reserved: ByteRange, context: Context) -> ByteRange:
    """What the process takes in all."""
    return ByteRange(
        low=reserved.low + context.size.low,
        expected=reserved.expected + context.size.expected,
        high=reserved.high + context.size.high,
    )


def verdict_of(process: ByteRange, limit: int) -> Verdict:
    """Whether a run stays within a limit."""
    if process.high <= limit:
        return "fits"
    return "tight" if process.low <= limit else "does not fit"
