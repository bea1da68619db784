"""Real steps, watched: `python -m tests.runtime.memory_trace.parts_child ROOT JOBS`, in each of several processes.

The first one prints the peaks of each job by phase, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from ftc.runtime.memory_trace.log import peaks
from ftc.runtime.memory_trace.step import run_steps
from ftc.runtime.memory_trace.whole import whole_groups
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.spec.documents.memory_trace import TraceJob


def settled(exchange: Any) -> Any:
    """An exchange that is over when it returns: gloo's thread lets go of tensors a moment after they are told ready."""

    def call(*args: Any, **kwargs: Any) -> Any:
        tensors: list[Any] = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor)]
        before = _holders(tensors)
        work = exchange(*args, **kwargs)
        while work is None and _holders(tensors) != before:
            os.sched_yield()
        return work

    return call


def _holders(tensors: list[Any]) -> list[tuple[int, int]]:
    """Who holds each tensor and its storage."""
    return [(one._use_count(), torch._C._storage_Use_Count(one.untyped_storage()._cdata)) for one in tensors]


def main() -> int:
    """Runs the jobs over the loopback."""
    warnings.simplefilter("ignore")
    torch.distributed.init_process_group("gloo")
    for name in ("all_gather_single", "all_gather_into_tensor", "reduce_scatter_single", "reduce_scatter_tensor"):
        if hasattr(torch.distributed, name):  # releases of torch call them differently
            setattr(torch.distributed, name, settled(getattr(torch.distributed, name)))
    model, *jobs = sys.argv[1:]
    found = []
    for text in jobs:
        job = TraceJob.model_validate_json(text)
        whole = build_model(job.settings, FolderBase(Path(model)), torch.device("cpu"))
        log = run_steps(job, whole, whole_groups((2,)), torch.device("cpu"))
        found.append({name: peak.size for name, peak in peaks(log).items()})
    if os.environ["RANK"] == "0":
        print(json.dumps(found))
    torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
