"""Where things lie: a project's runs and ledger, and ftc's own cache. Names only; nothing here touches the disk."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from ftc.spec.storage.cached import STREAMS

__all__ = [
    "SWEEP_JOURNAL",
    "RunFolder",
    "base_from_run",
    "cache_folder",
    "ledger_file",
    "runs_folder",
    "step_of",
    "streams_folder",
    "sweeps_folder",
]

SWEEP_JOURNAL = "journal.log"
"""Optuna's file in the folder of a sweep, which notes what came of each trial."""

_STEP = re.compile(r"step-(\d{8,18})", re.ASCII)


def cache_folder() -> Path:
    """ftc's cache of digests and token streams: `FTC_CACHE`, else the user's cache folder."""
    if override := os.environ.get("FTC_CACHE"):
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("ftc", appauthor=False))


def streams_folder(key: str) -> Path:
    """Folder of the token streams that belong to a key of a plan."""
    return STREAMS.under(cache_folder()) / key


def runs_folder(root: Path, name: str) -> Path:
    """Folder of all runs of a recipe."""
    return root / "runs" / name


def base_from_run(recipe_file: str, base: str) -> str:
    """Path of a local base model from the folder of a run, `runs/NAME/ID`, with slashes on every system.

    A path always begins with `./` or `../`, so that no library takes it for a model of the hub. A model outside the
    project is named as if it lay beside the card: what is written for others has no path of this machine.

    Args:
        recipe_file: The recipe's file, relative to the project.
        base: The model's folder as the recipe names it, relative to the recipe.
    """
    folder = base.replace("\\", "/")
    if PurePosixPath(folder).is_absolute() or PureWindowsPath(base).drive or PurePosixPath(recipe_file).is_absolute():
        return f"./{PurePosixPath(folder).name}"
    return posixpath.normpath(posixpath.join("../../..", posixpath.dirname(recipe_file), folder))


def ledger_file(root: Path) -> Path:
    """What was run in a project, an entry a line."""
    return root / ".ftc" / "ledger.ndjson"


def sweeps_folder(root: Path) -> Path:
    """Folder of the folders that a project's sweeps have."""
    return root / ".ftc" / "sweeps"


def step_of(folder: Path) -> int | None:
    """The step of a checkpoint's folder; None of another folder, such as `step-00000120 (copy)`."""
    found = _STEP.fullmatch(folder.name)
    return int(found[1]) if found else None


class RunFolder(NamedTuple):
    """The files of one run, by name."""

    path: Path

    @property
    def plan(self) -> Path:
        """The plan that the run executes, as applied."""
        return self.path / "plan.json"

    @property
    def documents(self) -> tuple[Path, Path, Path]:
        """What a run is known by: plan, record and evaluation."""
        return self.plan, self.record, self.evaluation

    @property
    def recipe(self) -> Path:
        """The recipe's file as it was when the run began."""
        return self.path / "recipe.yaml"

    @property
    def recipe_lock(self) -> Path:
        """The lock that the run's plan holds."""
        return self.path / "recipe.lock.json"

    @property
    def record(self) -> Path:
        """The record; rewritten whole at every change of state."""
        return self.path / "record.json"

    @property
    def events(self) -> Path:
        """One event a line, appended."""
        return self.path / "events.ndjson"

    @property
    def step_log(self) -> Path:
        """The step log: one line a step, and checksums with digests of the weights."""
        return self.path / "ladder.ndjson"

    @property
    def answers(self) -> Path:
        """Answers that were sampled in training, a line each; only where any were."""
        return self.path / "answers.ndjson"

    @property
    def judged(self) -> Path:
        """What a judge said of answers that earn rewards, a line each; only where one was asked."""
        return self.path / "judged.ndjson"

    @property
    def handed_over(self) -> Path:
        """Weights for a server that writes answers; only while it does."""
        return self.path / "handed-over"

    @property
    def server_log(self) -> Path:
        """What a server that the run started printed; only where it started one."""
        return self.path / "server.log"

    @property
    def proof(self) -> Path:
        """The step log of the first steps of fresh processes, which trained them before the run did."""
        return self.path / "proof.ndjson"

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint, named by step, `step-00000120`."""
        return self.path / "checkpoints"

    def references(self, split: str) -> Path:
        """What the untrained model gives the answers of a split of preferences."""
        return self.path / "references" / split

    @property
    def adapter(self) -> Path:
        """The adapter in the layout of PEFT."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """The whole model in the layout of transformers, after full training."""
        return self.path / "model"

    @property
    def test_rows(self) -> Path:
        """Digests of the rows that it was tested on, a line each: a run that goes on from it isn't trained on them."""
        return self.path / "test-rows.sha256"

    @property
    def evaluation(self) -> Path:
        """Metrics and predictions on the test split."""
        return self.path / "eval.json"

    @property
    def reference(self) -> Path:
        """What the tuned model says of a few validation rows; exports are compared with it."""
        return self.path / "reference.safetensors"

    @property
    def drift_reference(self) -> Path:
        """What the tuned model makes of validation rows, without their texts; `ftc drift` compares with it."""
        return self.path / "drift.safetensors"

    @property
    def outcomes(self) -> Path:
        """What each model made of each test row, a line each."""
        return self.path / "predictions.ndjson"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of the images of rows that the report shows, a line each; only where rows have images."""
        return self.path / "thumbnails.ndjson"

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.path / "report.html"

    @property
    def pulled(self) -> Path:
        """The list of files of a run that came from the hub; no other run has it."""
        return self.path / "pulled.json"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.path / "README.md"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the run."""
        return self.path / ".lock"

    @property
    def last_words(self) -> Path:
        """Why the process that worked on the run is gone, where it couldn't say so itself."""
        return self.path / ".last-words.json"

    @property
    def fault_log(self) -> Path:
        """Where Python notes a fault that ends the process; empty while all is well."""
        return self.path / ".fault.log"

    @property
    def holder(self) -> Path:
        """Who holds the lock: process, host and start, for the one who finds it held."""
        return self.path / ".holder.json"
