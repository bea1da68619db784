"""Looking at a finished run loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CODE = """
import sys
from ftc.runtime.execute import execute
heavy = {"torch", "transformers", "peft", "accelerate", "datasets", "sklearn", "bitsandbytes"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_importing_the_executor_is_light() -> None:
    assert subprocess.run([sys.executable, "-c", _CODE], check=False).returncode == 0


def test_training_an_adapter_never_loads_bitsandbytes(tmp_path: Path) -> None:
    from tests.runtime.jobs import make_job

    make_job(tmp_path)
    code = f"""
import sys
sys.argv = ["child", {str(tmp_path)!r}, "run"]
from tests.runtime.child import main
assert main() == 0
loaded = {{"bitsandbytes", "datasets", "transformers.trainer", "sklearn", "sacrebleu"}} & sys.modules.keys()
assert not loaded, loaded
"""
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert "Warning" not in child.stderr
