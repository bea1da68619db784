"""What happens after each step, in the order of `HOOKS`: the loop trains, and everything else is here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial

import torch

from ftc.runtime.artifacts import checkpoint
from ftc.runtime.artifacts.checkpoint_files import State
from ftc.runtime.artifacts.fingerprints import chance_digest
from ftc.runtime.artifacts.saving import Saving, alone
from ftc.runtime.artifacts.tensor_files import digest_of_tensor
from ftc.runtime.evaluation.evaluate import measure_validation
from ftc.runtime.execution.accelerator import any_process, everywhere
from ftc.runtime.execution.session import Session
from ftc.runtime.models.row_parts import share_of
from ftc.runtime.models.sharding import is_sharded, whole
from ftc.runtime.replay.proof import compare_with_proof
from ftc.runtime.training.loop import Job
from ftc.runtime.training.optimizers import evaluating, state_tensors
from ftc.runtime.training.selection import Progress, reason_to_stop
from ftc.spec import canonical
from ftc.spec.diagnostics import diagnostic
from ftc.spec.documents.events import CheckpointSaved, EarlyStopped, Evaluated, StepDone
from ftc.spec.documents.step_log import StepLine, WeightChecksum, has_checksum, norm_text
from ftc.spec.storage.model_files import TensorDigest, content_digest

__all__ = [
    "HOOKS",
    "Hook",
    "Training",
    "digests_together",
    "finish_saving",
    "note_progress",
    "step_line",
    "weight_checksum",
]


@dataclass(slots=True)
class Training:
    """Training between two steps."""

    session: Session
    job: Job
    progress: Progress
    interrupted: bool = False
    """Whether somebody asked to stop here."""
    saving: Saving | None = None
    """A checkpoint of an earlier step that a thread still writes."""

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
        loss_scale=training.job.scale.state,
        skipped_steps=(before.skipped_steps or 0) + done.is_skipped if training.job.scale.is_on else None,
    )


def report(training: Training, done: StepDone) -> None:
    """Emits the step's event, and says so where a step had nothing to learn from."""
    training.session.journal.emit(done)
    if not done.supervised:
        training.session.notice(diagnostic("FTC646", f"step {done.step} has no target token; it changes nothing"))


def write_step_line(training: Training, done: StepDone) -> None:
    """Writes the step's line of the step log, before anything else draws from the generators whose states are in it."""
    line = step_line(done, training.job)
    if training.session.is_first:
        training.session.step_log.add(line)


def write_answers(training: Training, done: StepDone) -> None:
    """Writes what the model answered for the step, with what it earned; nothing where rows alone are trained on."""
    training.session.answers.add(training.job.source.answers)
    if (own := done.own_answers) is not None:
        training.session.note_time("sample", own.seconds)


def validate(training: Training, done: StepDone) -> None:
    """Evaluates on validation where the plan says so, and updates the selection."""
    if not _is_due(training, done):
        return
    training.session.note_memory("train")
    with evaluating(training.job.optimizer, training.job.average):
        measured = measure_validation(training.session)
    training.session.note_memory("validate")
    if measured is None:
        return
    metrics, seconds = measured
    training.session.note_time("validate", seconds)
    train = training.job.train
    selection = training.progress.selection.after(done.step, metrics, train)
    training.change(selection=selection)
    training.job.pace.factor = selection.rate_factor
    best = selection.best_step == done.step
    training.session.journal.emit(Evaluated(step=done.step, metrics=metrics, best=best, seconds=seconds))


def stop_early(training: Training, done: StepDone) -> None:
    """Ends training when validation no longer gets better."""
    reason = reason_to_stop(training.progress.selection, training.job.train)
    if reason and not training.progress.is_over:
        training.change(is_over=True)
        training.session.journal.emit(EarlyStopped(step=done.step, reason=reason))


def check_stop(training: Training, done: StepDone) -> None:
    """Notes that somebody asked any of the processes to stop, or that the run was to go as far as this step."""
    training.session.pause_at(done.step)
    training.interrupted = any_process(training.job.accelerator, training.session.stop.requested)


def write_checksum(training: Training, done: StepDone) -> None:
    """Writes a weight checksum: behind steps 1, 2, 4, 8, … and wherever a checkpoint is about to be."""
    if _takes_part(training) and (has_checksum(done.step) or _is_saved(training, done)):
        checksum = {"progress_sha256": training.progress.checksum()}
        training.session.step_log.add(weight_checksum(done.step, training.job).model_copy(update=checksum))


def check_proof(training: Training, done: StepDone) -> None:
    """Compares the first steps with those of the proof, before a checkpoint could keep what differs."""
    if done.step == training.job.train.determinism.proof_steps and training.session.is_first:
        compare_with_proof(training.session)


def save(training: Training, done: StepDone) -> None:
    """Writes a checkpoint where the plan says so and where training ends, then deletes older ones.

    With `save_in_background` a thread writes it, and a later step finds it done: there is one at a time. The last one,
    where training ends or stops, is waited for.

    Raises:
        InputsTouched: Files that were read may have been others meanwhile; no checkpoint is written.
        Refusal: One is another now (FTC515); likewise.
        OSError: This one, or the one before, couldn't be written.
    """
    if not _is_saved(training, done):
        if training.saving is not None and training.saving.is_written():
            training.session.note_memory("train")
            finish_saving(training, training.saving)
        return
    session = training.session
    session.note_memory("train")
    if training.saving is not None:
        finish_saving(training, training.saving)
    if session.prove_inputs(None if training.should_end else training.progress.train_seconds):
        session.state.update(proved_step=done.step, proved_by=session.stamps.method)
    if _takes_part(training):
        with evaluating(training.job.optimizer, training.job.average):
            started = time.perf_counter()
            if session.is_first:
                session.step_log.sync()
                session.answers.sync()
            parameters, checkpoints = training.job.parameters, session.folder.checkpoints
            share = share_of(parameters, training.job.train.tensor_parallel)
            state = State(job_sha256=session.job_sha256, progress=training.progress)
            exchange = alone if share is None else partial(everywhere, session.accelerator)
            saving = Saving(
                checkpoints,
                state,
                share,
                exchange,
                leads=session.is_first,
                collect=partial(session.copies.collect, session.accelerator) if session.copies.writers else None,
                is_apart=session.copies.is_elsewhere,
            )
            tensors = checkpoint.contents(parameters, training.job.optimizer)
            if training.job.train.save_in_background and not training.should_end:
                saving.write_beside(tensors)
                training.saving = saving
            else:
                saving.write(tensors)
            if session.is_first:
                session.note_time("save", time.perf_counter() - started)
        if training.saving is None:
            finish_saving(training, saving)
            return
    session.note_memory("save")
    if training.saving is None:
        note_progress(session, training.progress)


def finish_saving(training: Training, saving: Saving) -> None:
    """Makes a checkpoint count that was written or is being written, then deletes older ones.

    Processes that wrote parts of it call this together.

    Raises:
        OSError: It couldn't be written; older checkpoints are intact.
    """
    session, started = training.session, time.perf_counter()
    training.saving, progress = None, saving.state.progress
    saving.finish()
    if session.is_first:
        checkpoint.prune(session.folder.checkpoints, progress, training.job.train.keep_checkpoints)
        session.note_time("save", time.perf_counter() - started)
    session.note_memory("save")
    note_progress(session, progress)
    # Whoever hears of it finds the record as far as it.
    session.journal.emit(CheckpointSaved(step=progress.step))


def note_progress(session: Session, progress: Progress) -> None:
    """Writes the run's totals into its record."""
    session.state.progress(
        progress.step,
        train_seconds=progress.train_seconds,
        tokens=progress.tokens,
        supervised_tokens=progress.supervised_tokens,
        skipped_steps=progress.skipped_steps,
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


def step_line(done: StepDone, job: Job) -> StepLine:
    """The step log's line of a step that has just been done; all processes have to ask for it."""
    fed = everywhere(job.accelerator, done.batch_sha256)
    return StepLine(
        step=done.step,
        batch_sha256=fed[0] if len(fed) == 1 else canonical.digest(fed),
        learning_rate=done.learning_rate.hex(),
        loss=done.loss.hex(),
        grad_norm=norm_text(done.grad_norm),
        chance_sha256=chance_digest(),
    )


def weight_checksum(step: int, job: Job) -> WeightChecksum:
    """The weight checksum behind a step; where weights are divided, all processes have to ask."""
    with evaluating(job.optimizer, job.average):
        weights = digests_together(job, job.parameters)
        state = digests_together(job, state_tensors(job.optimizer, job.parameters))
        return WeightChecksum(
            step=step,
            weights_sha256=content_digest(weights),
            tensors={name: one.sha256 for name, one in weights.items()},
            optimizer_sha256=content_digest(state),
        )


def digests_together(job: Job, tensors: Mapping[str, torch.Tensor]) -> dict[str, TensorDigest]:
    """Digest of each whole tensor. Of a divided model one after the other is put together in all processes, and they
    take turns in hashing, so that none holds more than one and none waits for another to hash them all.
    """
    if not is_sharded(job.model):
        return {name: digest_of_tensor(tensor) for name, tensor in tensors.items()}
    rank, count = job.accelerator.process_index, job.accelerator.num_processes
    own = {}
    for number, (name, tensor) in enumerate(tensors.items()):
        full = whole(tensor.detach())
        if number % count == rank:
            own[name] = asdict(digest_of_tensor(full))
    heard = everywhere(job.accelerator, json.dumps(own))
    return {name: TensorDigest(**one) for part in heard for name, one in json.loads(part).items()}


HOOKS: tuple[Hook, ...] = (
    count,
    report,
    write_step_line,
    write_answers,
    validate,
    stop_early,
    check_stop,
    write_checksum,
    check_proof,
    save,
)
