"""Looking at a finished run loads nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
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
@pytest.mark.parametrize("library", ["transformers", "bitsandbytes"])
def test_no_library_fetches_code_from_the_hub(tmp_path: Path, library: str) -> None:
    """With the package `kernels` bitsandbytes gets a product of matrices from the hub when it is imported."""
    pytest.importorskip(library)
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text(
        "def get_kernel(name, **_):\n    raise SystemExit(f'{name} was fetched')\n", encoding="utf-8"
    )
    code = (
        "import ftc.runtime, importlib.util\n"
        f"import {library}\n"
        "from transformers.utils import is_kernels_available\n"
        "assert not is_kernels_available()\n"
        "assert importlib.util.find_spec('kernels') is None\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    child = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env={**os.environ, **paths}
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_packages_with_packed_layers_of_their_own_are_never_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """peft imports those that are installed, and refuses every model where gptqmodel lacks optimum."""
    import torch

    from ftc.runtime.models.base_model import FolderBase
    from ftc.runtime.models.build_model import build_model
    from ftc.runtime.strategies import half_of
    from tests.runtime.jobs import make_job

    job = make_job(tmp_path)
    for name, package in {"gptqmodel": "gptqmodel", "awq": "autoawq"}.items():
        (tmp_path / "installed" / name).mkdir(parents=True)
        (tmp_path / "installed" / name / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
        described = tmp_path / "installed" / f"{package}-7.6.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 7.6.0\n", encoding="utf-8"
        )
    monkeypatch.syspath_prepend(tmp_path / "installed")
    settings, base = job.plan.settings, FolderBase(job.inputs.model_folder)
    model = build_model(settings, base, torch.device("cpu"))
    assert half_of(settings.strategy).saved(model, settings.strategy)
    assert find_spec("gptqmodel") is not None, "others in this process may import it"


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
loaded = {{"bitsandbytes", "datasets", "pandas", "transformers.trainer", "sklearn", "sacrebleu"}} & sys.modules.keys()
assert not loaded, loaded
"""
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert "Warning" not in child.stderr
    there = json.loads(job.folder("there").record.read_text())
    assert there["final_weights_sha256"] == here.final_weights_sha256
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert there["outputs"][name]["sha256"] == here.outputs[name].sha256
