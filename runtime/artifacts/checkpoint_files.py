"""The files of a checkpoint as they lie on disk, and whether they may be continued; nothing here loads torch.

A checkpoint is opened only after every file has the size and digest of its manifest, and every tensor that of the run's
step log, which was on disk before it. A plan looks by the same code as the run, so that it says what the run will do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from ftc.runtime.training.selection import Progress
from ftc.spec.base import Document
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.events import read_events, without_repeats
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.step_log import StepLog, norm_text, read_step_log
from ftc.spec.names import InsidePath
from ftc.spec.storage.checkpoint_tensors import OPTIMIZER, STATE, WEIGHTS, files_in, files_of, stored_digests
from ftc.spec.storage.model_files import content_digest
from ftc.spec.storage.paths import RunFolder, step_of
from ftc.spec.storage.reading import read_regular

__all__ = [
    "MANIFEST",
    "Manifest",
    "State",
    "WholeCheckpoint",
    "damaged",
    "discard",
    "newest",
    "saved_steps",
    "step_folder",
    "verified",
    "witnessed_log",
]

MANIFEST = "MANIFEST.json"


class Manifest(Document):
    """Size and digest of every other file."""

    schema_: Literal["ftc.checkpoint/1"] = Field("ftc.checkpoint/1", alias="schema")
    files: dict[InsidePath, FileFacts]


class State(Document):
    """What belongs to a checkpoint beside its tensors."""

    job_sha256: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class WholeCheckpoint:
    """A checkpoint whose files were compared with its manifest and with the step log."""

    folder: Path
    progress: Progress

    def files(self, name: str) -> list[Path]:
        """The files that hold `WEIGHTS` or `OPTIMIZER`, whole or in parts."""
        return files_in(self.folder, name, (path.name for path in self.folder.iterdir()))


def witnessed_log(run: RunFolder) -> StepLog:
    """A run's step log up to the first step of which the run said something else: from there on it is another run's.

    Raises:
        OSError: A file can't be read.
    """
    if not run.step_log.is_file():
        return StepLog()
    log = read_step_log(run.step_log)
    said, _ = without_repeats(read_events(run.events))
    others = (
        event.step
        for event in said
        if (line := log.steps.get(event.step)) is not None
        and (line.loss, line.grad_norm) != (event.loss.hex(), norm_text(event.grad_norm))
    )
    first = min(others, default=None)
    if first is None:
        return log
    return StepLog(
        {step: line for step, line in log.steps.items() if step < first},
        {step: checksum for step, checksum in log.checksums.items() if step < first},
    )


def newest(
    checkpoints: Path, job_sha256: str, report: Callable[[Diagnostic], None], log: StepLog, *, below: int | None = None
) -> WholeCheckpoint | None:
    """The newest checkpoint that is whole, and whose best checkpoint is whole too; damaged ones are reported.

    Args:
        checkpoints: The run's folder of checkpoints.
        job_sha256: The job that they have to belong to.
        report: Hears of each damaged one.
        log: The run's step log, which knows the digest of every tensor of a checkpoint.
        below: A step before which it has to be; None for any.
    """
    for step in reversed([one for one in saved_steps(checkpoints) if below is None or one < below]):
        found = verified(checkpoints, step, job_sha256, report, log)
        if found is None:
            continue
        best = found.progress.selection.best_step
        if best in (None, step) or verified(checkpoints, best, job_sha256, report, log):
            return found
    return None


def verified(
    checkpoints: Path, step: int | None, job_sha256: str, report: Callable[[Diagnostic], None], log: StepLog | None
) -> WholeCheckpoint | None:
    """The checkpoint of a step, or None where it is absent or damaged, or contradicts a step log that is given."""
    if step is None:
        return None
    folder = step_folder(checkpoints, step)
    if problem := _problem(folder):
        report(damaged(folder, problem))
        return None
    try:
        state = State.model_validate_json(read_regular(folder / STATE))
    except (OSError, ValueError):
        report(damaged(folder, f"its {STATE} can't be read"))
        return None
    if state.job_sha256 != job_sha256:
        report(damaged(folder, f"it belongs to job {state.job_sha256[:12]}"))
        return None
    if state.progress.step != step:
        report(damaged(folder, f"it is of step {state.progress.step}, but its name says another one"))
        return None
    found = WholeCheckpoint(folder, state.progress)
    if log is not None and (problem := _contradiction(found, log)):
        report(damaged(folder, problem))
        return None
    return found


def _contradiction(found: WholeCheckpoint, log: StepLog) -> str | None:
    """In what a checkpoint whose manifest is right differs from the step log, which was on disk before it.

    Its own manifest can't tell: whoever writes other weights can write another manifest.
    """
    step = found.progress.step
    if log.height < step:
        return f"the step log has no step {log.height + 1} of this run"
    noted = log.checksums.get(step)
    if noted is None:
        return f"the step log has no weight checksum of step {step}"
    try:
        held = {name: one.sha256 for name, one in stored_digests(found.files(WEIGHTS)).items()}
        optimizer = content_digest(stored_digests(found.files(OPTIMIZER)))
    except ValueError as error:
        return str(error)
    names = sorted(held.keys() | noted.tensors.keys())
    other = next((name for name in names if held.get(name) != noted.tensors.get(name)), None)
    if other is not None:
        return f"tensor {other} is not the one of the step log"
    if optimizer != noted.optimizer_sha256:
        return "its optimizer state is not the one of the step log"
    if noted.progress_sha256 and found.progress.checksum() != noted.progress_sha256:
        return "what its state.json says of the training so far is not what the step log says"
    return None


def discard(checkpoints: Path, after: int) -> None:
    """Deletes checkpoints of later steps, which may rest on other inputs than the plan's."""
    for step in saved_steps(checkpoints):
        if step > after:
            shutil.rmtree(step_folder(checkpoints, step))


def _problem(folder: Path) -> str | None:
    try:
        manifest = Manifest.model_validate_json(read_regular(folder / MANIFEST))
    except FileNotFoundError:
        return "it has no manifest"
    except (OSError, ValueError):
        return "its manifest can't be read"
    names = manifest.files.keys()
    wanted = {one: files_of(one, names) for one in (OPTIMIZER, WEIGHTS)} | {STATE: [STATE] if STATE in names else []}
    if missing := [one for one, files in wanted.items() if not files]:
        return f"its manifest doesn't name {missing[0]}"
    known = {name for files in wanted.values() for name in files}
    if other := {path.name for path in folder.glob("*.safetensors")} - known:  # torch reads each that is there
        return f"{min(other)} is not a part of it"
    for name, expected in manifest.files.items():
        path = folder / Path(name).name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != expected.size:
            return f"{name} has {path.stat().st_size} bytes instead of {expected.size}"
        if file_digest(path) != expected.sha256:
            return f"{name} has another sha256 than the manifest"
    return None


def saved_steps(checkpoints: Path) -> list[int]:
    """Steps of all checkpoints that are there, whole or not, ascending."""
    folders = map(step_of, checkpoints.iterdir() if checkpoints.is_dir() else ())
    return sorted(step for step in folders if step is not None)


def step_folder(checkpoints: Path, step: int) -> Path:
    """Folder of the checkpoint of a step."""
    return checkpoints / f"step-{step:08d}"


def damaged(folder: Path, problem: str) -> Diagnostic:
    """What is said of a checkpoint that is not used."""
    return diagnostic(
        "FTC629",
        f"checkpoint {folder.name} is damaged: {problem}",
        help=("no action needed; an older checkpoint is used"),
    )
