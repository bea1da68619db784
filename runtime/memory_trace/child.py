"""The trace as a program: a job on each line of standard input, its answer on a line of standard output.

It runs in a process of its own, so that a planner stays without torch, and so that whatever goes wrong in a model's
code ends this process and not the plan. Loading the libraries takes most of the time, so it answers as many jobs as it
is given, until its input ends. `{"problem": …}` tells why there is no answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.memory_trace import TraceJob, TraceResult
from ftc.spec.version import VERSION

__all__ = ["main", "trace"]

_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "liger-kernel")


def trace(job: TraceJob) -> TraceResult:
    """Traces a job.

    Raises:
        LookupError: transformers doesn't know this kind of model, or it has no single stack of layers.
    """
    from ftc.runtime.memory_trace.allocator import replay
    from ftc.runtime.memory_trace.log import peaks
    from ftc.runtime.memory_trace.whole import whole_log

    log, traced_layers = whole_log(job)
    on_card = job.device.kind == "cuda"
    replayed = replay(log, expandable_segments=job.device.expandable_segments) if on_card else None
    phases = tuple(
        PhasePeak(phase=name, peak_bytes=peak.size, components={str(tag): n for tag, n in peak.components.items()})
        for name, peak in peaks(log, replayed.block_sizes if replayed else None).items()
    )
    allocated = max(phase.peak_bytes for phase in phases)
    found = {"ftc": VERSION}
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return TraceResult(
        phases=phases,
        allocated_bytes=allocated,
        reserved_bytes=replayed.reserved if replayed else allocated,
        traced_layers=traced_layers,
        versions=found,
    )


def main() -> int:
    """Answers jobs until there are no more; a problem is an answer, too."""
    answer_to = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    warnings.simplefilter("ignore")
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        for line in sys.stdin.buffer:
            out.write(_answer(line) + "\n")
            out.flush()
    return 0


def _answer(line: bytes) -> str:
    try:
        return trace(TraceJob.model_validate_json(line)).model_dump_json(by_alias=True)
    except Refusal as refusal:
        return json.dumps({"problem": refusal.diagnostics[0].summary})
    except Exception as error:  # noqa: BLE001 - any failure of a model's code is an answer
        lines = str(error).strip().splitlines() or [""]
        return json.dumps({"problem": f"{type(error).__name__}: {lines[0][:300]}"})


if __name__ == "__main__":
    sys.exit(main())
