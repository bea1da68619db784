"""The trace as a program: a job on standard input, its answer on standard output.

It runs in a process of its own, so that a planner stays without torch, and so that whatever goes wrong in a model's
code ends this process and not the plan. `{"problem": …}` tells why there is no answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

from ftc.spec.trace import ByteRange, PhasePeak, TraceDevice, TraceJob, TraceResult
from ftc.spec.version import VERSION

__all__ = ["main", "trace"]

_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")


def trace(job: TraceJob) -> TraceResult:
    """Traces a job.

    Raises:
        LookupError: transformers doesn't know this kind of model, or it has no single stack of layers.
    """
    from ftc.runtime.trace.allocator import replay
    from ftc.runtime.trace.log import peaks
    from ftc.runtime.trace.whole import whole_log

    log, traced_layers = whole_log(job)
    on_card = job.device.kind == "cuda"
    replayed = replay(log, expandable_segments=job.device.expandable_segments) if on_card else None
    phases = tuple(
        PhasePeak(phase=name, peak_bytes=peak.size, components={str(tag): n for tag, n in peak.components.items()})
        for name, peak in peaks(log, replayed.block_sizes if replayed else None).items()
    )
    allocated = max(phase.peak_bytes for phase in phases)
    reserved = _reserved(allocated, replayed.reserved if replayed else allocated, job)
    return TraceResult(
        phases=phases,
        allocated_bytes=allocated,
        reserved=reserved,
        process=_process(reserved, job.device),
        traced_layers=traced_layers,
        versions=_versions(),
    )


def _reserved(allocated: int, expected: int, job: TraceJob) -> ByteRange:
    from ftc.runtime.trace.allocator import reserved_high

    if job.device.kind == "cpu":
        return ByteRange(low=allocated, expected=allocated, high=allocated)
    expandable, attention = job.device.expandable_segments, job.settings.model.attention
    high = reserved_high(allocated, expected, attention, expandable_segments=expandable)
    return ByteRange(low=allocated, expected=expected, high=high)


def _process(reserved: ByteRange, device: TraceDevice) -> ByteRange:
    return ByteRange(
        low=reserved.low + device.context_bytes,
        expected=reserved.expected + device.context_bytes,
        high=reserved.high + device.context_high_bytes,
    )


def _versions() -> dict[str, str]:
    found = {"ftc": VERSION}
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def main() -> int:
    """Reads a job, writes its answer; the exit status is 0 whenever there is one, a problem included."""
    answer_to = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    warnings.simplefilter("ignore")
    job = TraceJob.model_validate_json(sys.stdin.buffer.read())
    try:
        text = trace(job).model_dump_json(by_alias=True)
    except Exception as error:  # noqa: BLE001 - any failure of a model's code is an answer
        lines = str(error).strip().splitlines() or [""]
        text = json.dumps({"problem": f"{type(error).__name__}: {lines[0][:300]}"})
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        out.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
