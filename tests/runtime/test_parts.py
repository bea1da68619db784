"""Checkpoints that several processes write in parts: the same tensors whoever writes, and whoever reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.artifacts import checkpoint
from ftc.spec.documents.step_log import read_step_log
from ftc.spec.storage.checkpoint_tensors import OPTIMIZER, WEIGHTS
from tests.runtime.children import together
from tests.runtime.jobs import Job, make_job

_FSDP: dict[str, Any] = {"train__sharding": "fsdp", "train__batch_size": 4, "train__micro_batch": 1}


def _job(name: str, processes: int, stop_at: int | None = None) -> dict[str, Any]:
    changes = {**_FSDP, "train__world_size": processes, "device__count": processes}
    return {"name": name, "strategy": "full", "kind": "llama", "classes": 0, "stop_at": stop_at, "changes": changes}


def _found(job: Job, name: str, job_sha256: str) -> checkpoint.Checkpoint:
    folder = job.folder(name)
    found = checkpoint.newest(folder.checkpoints, job_sha256, lambda _: None, read_step_log(folder.step_log))
    assert found is not None
    return found


@pytest.mark.slow
def test_parts_of_three_processes_are_the_whole_tensors(tmp_path: Path) -> None:
    """Three don't divide the rows of each tensor evenly: some parts are shorter, and some are none."""
    job = make_job(tmp_path, strategy="full", classes=0, kind="llama", **_FSDP)
    together(tmp_path, [_job("run", 3), _job("stopped", 3, stop_at=8)], processes=3)
    kept = [json.loads(job.folder(name).record.read_text())["final_weights_sha256"] for name in ("run", "stopped")]
    assert kept[0] == kept[1], "a resumed run gives the same bits"
    owner = json.loads((job.folder("run").checkpoints / "step-00000012" / "state.json").read_text())["job_sha256"]
    found = _found(job, "run", owner)
    names = [f"trainable-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    assert [path.name for path in found.files(WEIGHTS)] == names
    assert len(found.files(OPTIMIZER)) == 3
    weights, state = found.weights({}), found.optimizer({})
    shapes = found.shapes()
    assert ({n: t.shape for n, t in weights.items()}, {n: t.shape for n, t in state.items()}) == shapes
    assert all(bool(torch.isfinite(tensor).all()) for tensor in (*weights.values(), *state.values()))
