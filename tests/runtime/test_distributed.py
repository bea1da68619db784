"""Two processes under torchrun do the work of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftc.runtime.tensor_files import read_tensors
from tests.runtime.jobs import make_job

_CHANGES: dict[str, Any] = {"strategy__adapter__dropout": 0.0, "train__batch_size": 4, "train__micro_batch": 1}


def test_two_gloo_processes_equal_one(tmp_path: Path) -> None:
    job = make_job(tmp_path, **_CHANGES)
    one = job.run("one")
    losses = [event.loss for event in job.of_kind("step")]
    changes = json.dumps({**_CHANGES, "train__world_size": 2})
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-addr", "127.0.0.1", "--master-port", "0", "--rdzv-backend", "c10d"),
            *("--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
            *("-m", "tests.runtime.child", str(tmp_path), "two", changes),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr[-3000:]
    two = json.loads(job.folder("two").record.read_text())
    assert two["observed"]["world_size"] == 2
    assert two["observed"]["wrapper"] == "DistributedDataParallel"
    assert two["initial_weights_sha256"] == one.initial_weights_sha256
    assert two["supervised_tokens"] == one.supervised_tokens
    events = [json.loads(line) for line in job.folder("two").events.read_text().splitlines()]
    assert [float(event["loss"]) for event in events if event["kind"] == "step"] == pytest.approx(losses, rel=1e-4)
    ours, theirs = (read_tensors(job.folder(name).adapter / "adapter_model.safetensors") for name in ("one", "two"))
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().max() < 1e-4, name
