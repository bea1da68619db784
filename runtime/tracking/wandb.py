"""Weights & Biases, offline or online."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ftc.runtime.tracking.backend import About, Point, SentFile
from ftc.spec.documents.record import RunRecord
from ftc.spec.trackers import Wandb

__all__ = ["open_wandb"]


def open_wandb(about: About, keys: Wandb) -> WandbRun:
    """The run of this name. Offline folders of it that an earlier process wrote are replaced, since all is sent again.

    Raises:
        RuntimeError: Weights & Biases asks for a login.
    """
    import wandb

    if keys.mode == "online" and not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
        raise RuntimeError("no API key: set WANDB_API_KEY, or run `wandb login`")
    if keys.mode == "offline":
        for folder in (about.root / "wandb").glob(f"offline-run-*-{about.run_id}"):
            shutil.rmtree(folder)
    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    run = wandb.init(
        project=keys.project or about.plan.name,
        entity=keys.entity,
        id=about.run_id,
        name=about.run_id,
        dir=str(about.root),
        mode=keys.mode,
        resume="allow" if keys.mode == "online" else None,
        config={**about.parameters, **about.tags},
        settings=settings,
    )
    return WandbRun(run, keys)


class WandbRun:
    """One run. Its steps are ftc's, and it takes each once."""

    def __init__(self, run: Any, keys: Wandb) -> None:
        self._run, self._keys = run, keys

    def log(self, points: Sequence[Point]) -> None:
        """Logs values, all of a step together."""
        for step, values in groupby(points, key=lambda point: point.step):
            self._run.log({one.name: one.value for one in values}, step=step)

    def flush(self) -> None:
        """What was logged is with the library's own process, which keeps it in a file."""

    def finish(self, record: RunRecord, tags: Mapping[str, str], files: Sequence[SentFile]) -> str:
        """Adds the files as one artifact, and ends the run."""
        import wandb

        self._run.config.update(dict(tags), allow_val_change=True)
        if files:
            artifact = wandb.Artifact(f"run-{record.id}", type="run", metadata=dict(tags))
            for file in files:
                artifact.add_file(str(file.path), name=f"{file.folder}/{file.path.name}".lstrip("/"))
            self._run.log_artifact(artifact)
        folder, url = self._run.dir, self._run.url
        self._run.finish(exit_code=0 if record.is_finished else 1)
        return url if self._keys.mode == "online" and url else f"wandb sync {os.path.dirname(folder)}"  # noqa: PTH120
