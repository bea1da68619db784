"""Looking at a finished run loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_CODE = """
import sys
from ftc.runtime.execution.execute import execute
heavy = {"torch", "transformers", "peft", "accelerate", "datasets", "sklearn", "bitsandbytes"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_importing_the_executor_is_light() -> None:
    assert subprocess.run([sys.executable, "-c", _CODE], check=False).returncode == 0


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_bits_and_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    from tests.runtime.jobs import make_job

    job = make_job(tmp_path)
    here = job.run("here")
    code = f"""
import sys
sys.argv = ["child", {str(tmp_path)!r}, "there"]
from tests.runtime.child import main
assert main() == 0
loaded = {{"bitsandbytes", "datasets", "transformers.trainer", "sklearn", "sacrebleu"}} & sys.modules.keys()
assert not loaded, loaded
"""
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert "Warning" not in child.stderr
    there = json.loads(job.folder("there").record.read_text())
    assert there["final_weights_sha256"] == here.final_weights_sha256
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert there["outputs"][name]["sha256"] == here.outputs[name].sha256
