"""Between what a run's tensors take and what torch's allocator takes from the device for them: measured margins.

Where a run was traced, a model of the allocator replays its log, and the margin is the replay's own error. Where it was
not, the margin is what allocators take beside tensors.

The figures are the largest of 90 runs that other people measured on a T4 and an RTX 4080, of which 35 are left out that
loaded weights in a race, as ftc doesn't. No published run that we know used expandable segments. So the replay's error
is that of runs without them, and what they take beside tensors is what the replay says of 8 of these runs.
`python benchmarks/memory.py POINTS --out FILE` makes `benchmarks/results/memory_margins.jsonl`, and a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from ftc.spec.documents.estimates import ByteRange
from ftc.spec.sections.model import AttentionKernel

__all__ = ["EXPANDABLE_REST", "REPLAY_MISS", "reserved_range"]

REPLAY_MISS: Mapping[AttentionKernel, float] = {"eager": 1.1, "sdpa": 1.08, "flash_attention_2": 1.08}
"""Largest ratio of what a run reserved to what the replay says, by attention."""
EXPANDABLE_REST: Mapping[AttentionKernel, float] = {"eager": 1.13, "sdpa": 1.14, "flash_attention_2": 1.14}
"""Largest ratio of what a replay with expandable segments reserves to what is allocated, by attention."""
_REST_OTHERWISE: Mapping[AttentionKernel, float] = {"eager": 1.5, "sdpa": 1.26, "flash_attention_2": 1.26}
"""Largest ratio of reserved to allocated memory in 59 published runs without expandable segments, by attention."""


def reserved_range(
    allocated: int, replayed: int | None, attention: AttentionKernel, *, on_card: bool, expandable: bool
) -> ByteRange:
    """What torch's allocator takes from the device.

    Args:
        allocated: Tensors at the peak.
        replayed: What the replay of its log says that the allocator takes for them; None where there is no log.
        attention: The plan's attention.
        on_card: Whether there is such an allocator at all; a CPU's gives back what it doesn't use.
        expandable: Whether the run is launched with expandable segments.
    """
    expected = max(allocated, replayed or 0)
    if not on_card:
        return ByteRange(low=allocated, expected=expected, high=expected)
    if replayed is None:
        rest = EXPANDABLE_REST[attention] if expandable else _REST_OTHERWISE[attention]
        return ByteRange(low=allocated, expected=expected, high=round(rest * allocated))
    return ByteRange(low=allocated, expected=expected, high=round(REPLAY_MISS[attention] * expected))
