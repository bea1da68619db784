"""What happens after each step, in the order of `HOOKS`: the loop trains, and everything else stands here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ftc.runtime.artifacts import checkpoint
from ftc.runtime.artifacts.fingerprints import rung, step_line
from ftc.runtime.evaluation.evaluate import validate
from ftc.runtime.execution.accelerator import any_process
from ftc.runtime.execution.session import Session
from ftc.runtime.models.sharding import is_sharded, whole_tensors
from ftc.runtime.replay.proof import compare_with_proof
from ftc.runtime.training.loop import Job
from ftc.runtime.training.optimizers import evaluating
from ftc.runtime.training.selection import Progress, reason_to_stop
from ftc.spec.diagnostics import diagnostic
from ftc.spec.documents.events import CheckpointSaved, EarlyStopped, Evaluated, StepDone
from ftc.spec.documents.step_log import is_rung

__all__ = ["HOOKS", "Hook", "Training"]


@dataclass(slots=True)
class Training:
    """Training between two steps."""

    session: Session
    job: Job
    progress: Progress
    interrupted: bool = False
    """Whether somebody asked to stop here."""

    @property
    def should_end(self) -> bool:
        """Whether no further step is to be done now."""
        return self.progress.is_over or self.interrupted

    def change(self, **changes: object) -> None:
        """Notes progress."""
        self.progress = self.progress.model_copy(update=changes)


Hook = Callable[[Training, StepDone], None]


def count(training: Training, done: StepDone) -> None:
    """Adds the step to the run's totals."""
    before = training.progress
    training.change(
        step=done.step,
        tokens=before.tokens + done.tokens,
        supervised_tokens=before.supervised_tokens + done.supervised,
        train_seconds=before.train_seconds + done.seconds,
        is_over=done.step == training.job.train.num_steps,
    )


def tell(training: Training, done: StepDone) -> None:
    """Emits the step's event, and says so where a step had nothing to learn from."""
    training.session.journal.emit(done)
    if not done.supervised:
        training.session.notice(diagnostic("FTC646", f"step {done.step} has no supervised token; it changes nothing"))


def climb(training: Training, done: StepDone) -> None:
    """Writes the step's line of the ladder, before anything else draws from the generators whose states are in it."""
    line = step_line(done, training.job)
    if training.session.is_first:
        training.session.ladder.add(line)


def look_at_validation(training: Training, done: StepDone) -> None:
    """Measures on validation where the plan says so, and updates the selection."""
    if not _is_due(training, done):
        return
    training.session.note_memory("train")
    with evaluating(training.job.optimizer):
        measured = validate(training.session)
    training.session.note_memory("validate")
    if measured is None:
        return
    metrics, seconds = measured
    training.session.note_time("validate", seconds)
    train = training.job.train
    selection = training.progress.selection.after(done.step, metrics[_name(train.select_metric)], train)
    training.change(selection=selection)
    training.job.pace.factor = selection.rate_factor
    best = selection.best_step == done.step
    training.session.journal.emit(Evaluated(step=done.step, metrics=metrics, best=best, seconds=seconds))


def _name(select_metric: str) -> str:
    """A metric by the name under which validation gives it: only the loss has the split's name before it."""
    return select_metric if select_metric == "val_loss" else select_metric.removeprefix("val_")


def stop_early(training: Training, done: StepDone) -> None:
    """Ends training when validation no longer gets better."""
    reason = reason_to_stop(training.progress.selection, training.job.train)
    if reason and not training.progress.is_over:
        training.change(is_over=True)
        training.session.journal.emit(EarlyStopped(step=done.step, reason=reason))


def heed_signals(training: Training, done: StepDone) -> None:  # noqa: ARG001 - hooks share one form
    """Notes that somebody asked any of the processes to stop."""
    training.interrupted = any_process(training.job.accelerator, training.session.stop.requested)


def stand(training: Training, done: StepDone) -> None:
    """Writes a rung where one stands: behind steps 1, 2, 4, 8, … and wherever a checkpoint is about to be."""
    if _takes_part(training) and (is_rung(done.step) or _is_saved(training, done)):
        training.session.ladder.add(rung(done.step, training.job))


def keep_to_proof(training: Training, done: StepDone) -> None:
    """Compares the first steps with those of the proof, before a checkpoint could keep what differs."""
    if done.step == training.job.train.determinism.proof_steps and training.session.is_first:
        compare_with_proof(training.session)


def save(training: Training, done: StepDone) -> None:
    """Writes a checkpoint where the plan says so and where training ends, then deletes older ones."""
    if not _is_saved(training, done):
        return
    training.session.note_memory("train")
    if _takes_part(training):
        with evaluating(training.job.optimizer):
            _write_checkpoint(training, done.step)
    training.session.note_memory("save")
    note_progress(training.session, training.progress)


def _write_checkpoint(training: Training, step: int) -> None:
    """One process writes; others give it their parts."""
    session, job, started = training.session, training.job, time.perf_counter()
    held = checkpoint.contents(job.parameters, job.optimizer)
    kept = {file: whole_tensors(tensors, keep=session.is_first) for file, tensors in held.items()}
    if not session.is_first:
        return
    session.ladder.sync()
    checkpoints = session.folder.checkpoints
    checkpoint.save(checkpoints, session.job_sha256, training.progress, kept)
    checkpoint.prune(checkpoints, training.progress, job.train.keep_checkpoints)
    session.note_time("save", time.perf_counter() - started)
    session.journal.emit(CheckpointSaved(step=step))


def note_progress(session: Session, progress: Progress) -> None:
    """Writes the run's totals into its record."""
    session.state.progress(
        progress.step,
        train_seconds=progress.train_seconds,
        tokens=progress.tokens,
        supervised_tokens=progress.supervised_tokens,
    )
    session.set_time("train", progress.train_seconds)
    session.note_memory("train")


def _takes_part(training: Training) -> bool:
    """Whether this process writes, or holds parts of what the first one writes."""
    return training.session.is_first or is_sharded(training.job.model)


def _is_due(training: Training, done: StepDone) -> bool:
    return training.progress.is_over or done.step % training.job.train.evaluate_every_steps == 0


def _is_saved(training: Training, done: StepDone) -> bool:
    return training.should_end or _is_due(training, done)


HOOKS: tuple[Hook, ...] = (
    count,
    tell,
    climb,
    look_at_validation,
    stop_early,
    heed_signals,
    stand,
    keep_to_proof,
    save,
)
