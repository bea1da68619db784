"""What `nox -s cpus` pretends: sums in another order, in every process that a test starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "support" / "other_sums"

CODE = """
import torch
layer, rows = torch.nn.Linear(4096, 64), torch.randn(16, 4096, generator=torch.Generator().manual_seed(1))
exact = rows.double() @ layer.weight.double().T + layer.bias.double()
with torch.inference_mode():
    layer(rows)
found = layer(rows)
assert (found - exact).abs().max() < 1e-4
assert not torch.equal(found, torch._C._nn.linear(rows, layer.weight, layer.bias))
found.sum().backward()
assert layer.weight.grad is not None
"""


@pytest.mark.slow
def test_another_order_of_sums_rounds_otherwise_and_computes_the_same() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
