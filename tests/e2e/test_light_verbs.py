"""Verbs that look at what a run left load nothing that trains: each in a process of its own, in a trained project."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.conftest import MakeProject

HEAVY = {"accelerate", "bitsandbytes", "datasets", "peft", "sklearn", "torch", "transformers"}
PROGRAM = f"""
import sys
from ftc.cli.main import main
code = main(sys.argv[1:])
sys.exit(f"loaded {{sorted({HEAVY!r} & set(sys.modules))}}" if {HEAVY!r} & set(sys.modules) else code)
"""


@pytest.mark.slow
def test_none_loads_the_training_stack(project: MakeProject) -> None:
    root = project(steps=1)
    # In a process of its own, as all others here: this one doesn't know the digests of the packages' code.
    applied = [sys.executable, "-m", "ftc", "apply", "recipe.yaml", "--yes"]
    done = subprocess.run(applied, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = (root / "runs").glob("*/*/record.json")
    run = record.parent.name
    for words in (["plan", "recipe.yaml"], ["runs"], ["show", run], ["audit", run], ["apply", "recipe.yaml"]):
        done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        assert done.stdout


@pytest.mark.sample(2)
@pytest.mark.parametrize("words", [["audit", "none"], ["apply", "absent.yaml"], ["show", "absent.json"]], ids=" ".join)
def test_a_mistake_loads_nothing_either(project: MakeProject, words: list[str]) -> None:
    project(steps=1)
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "loaded" not in done.stderr
    assert "Traceback" not in done.stderr
