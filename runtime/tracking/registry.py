"""Registers a run's model in a tracker, in a process of its own: such libraries change much of what loads them."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftc.runtime.tracking.child import without_secrets
from ftc.runtime.tracking.mlflow import register_model
from ftc.runtime.tracking.reporters import environment
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.tracking import RegistryAnswer, RegistryJob
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import read_regular
from ftc.spec.trackers import tracker_card

__all__ = ["MOST_SECONDS", "REGISTRIES", "main", "register"]

REGISTRIES: Mapping[str, Callable[[RegistryJob, Any, RunRecord], str]] = {"mlflow": register_model}
"""What registers a model, by the name of the tracker's card."""
MOST_SECONDS = 3600
"""Of one registration: enough to send a model of 7 billion parameters over an ordinary line."""


def register(job: RegistryJob, root: Path) -> RegistryAnswer:
    """Registers a model, in a process whose working folder is the project's, and waits for it, up to `MOST_SECONDS`."""
    try:
        done = subprocess.run(
            (sys.executable, "-P", "-m", "ftc.runtime.tracking.registry"),
            input=job.model_dump_json(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            cwd=root,
            env=environment(),
            check=False,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return RegistryAnswer(problem=f"it was not done after {MOST_SECONDS // 60} minutes")
    if Path(job.answer).exists():
        return RegistryAnswer.model_validate_json(read_regular(Path(job.answer)))
    return RegistryAnswer(problem=f"the process ended with {done.returncode}")


def main() -> int:
    """Registers the model that standard input names."""
    job = RegistryJob.model_validate_json(sys.stdin.buffer.read())
    card = tracker_card(job.tracker)
    assert card is not None
    warnings.simplefilter("ignore")
    try:
        record = RunRecord.model_validate_json(read_regular(RunFolder(Path(job.folder)).record))
        keys = card.keys.model_validate(job.keys, strict=False)
        answer = RegistryAnswer(version=REGISTRIES[card.name](job, keys, record))
    except Exception as error:  # noqa: BLE001 - whatever a tracker raises is an answer
        answer = RegistryAnswer(problem=without_secrets(f"{type(error).__name__}: {error}", card, os.environ))
    Path(job.answer).write_text(answer.model_dump_json(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
