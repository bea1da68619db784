"""A recipe that one process runs, and several of it together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.documents.events import StepDone
from ftc.verbs.runs import load_events

__all__ = ["one_and_two"]


def one_and_two(sets: Sequence[str]) -> tuple[api.Run, api.Run]:
    """The runs of `recipe.yaml`, without dropout, in one process and with `sets` in two, whose losses agree."""
    recipe = Path("recipe.yaml")
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("dropout: 0.1", "dropout: 0.0"), encoding="utf-8")
    for more in ((), sets):
        command = [sys.executable, "-m", "ftc", "apply", "recipe.yaml", "--yes", *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    first, second = sorted(api.runs(), key=lambda run: run.record.observed.world_size)
    losses = [[one.loss for one in load_events(run.folder) if isinstance(one, StepDone)] for run in (first, second)]
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    return first, second
