"""A finished run, and no tracker's account, settings or network of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.verbs.runs import Run
from tests.support.tracked_runs import make_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run in a project that is the working folder."""
    for name in ("WANDB_API_KEY", "MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return make_run(project)
