"""The plan's training, from the first step or from the newest checkpoint."""

from __future__ import annotations

from ftc.runtime.artifacts import checkpoint
from ftc.runtime.artifacts.export import is_exported
from ftc.runtime.artifacts.fingerprints import rung
from ftc.runtime.artifacts.tensor_files import content_digest
from ftc.runtime.execution.accelerator import agreed, wrap, wrapper_of
from ftc.runtime.execution.session import Session, Workpiece
from ftc.runtime.models.build_model import trainable_tensors
from ftc.runtime.models.sharding import is_sharded, whole_tensors
from ftc.runtime.models.weights import misfit
from ftc.runtime.training.hooks import HOOKS, Training, note_progress
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer, state_misfit
from ftc.runtime.training.packing import prove_isolation
from ftc.runtime.training.references import learn_references
from ftc.runtime.training.selection import Progress
from ftc.runtime.training.signals import Interrupted
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.events import Resumed

__all__ = ["is_trained", "make_job", "restored", "train"]


def is_trained(session: Session) -> bool:
    """Whether the weights that training chose are there."""
    step = session.state.record.selected_step
    found = checkpoint.verified(session.folder.checkpoints, step, session.job_sha256, session.notice)
    return found is not None or is_exported(session)


def train(session: Session) -> None:
    """Trains to the plan's last step, or until validation no longer gets better; leaves the model in the session.

    Raises:
        Interrupted: Somebody asked to stop; the step was finished and a checkpoint is there.
        Refusal: A loss or gradient is not finite.
    """
    found = agreed(session.accelerator, lambda: _newest(session))
    work = session.build()
    session.trained = work
    job = make_job(session, work)
    learn_references(session, work, "validation")
    _note_start(session, job)
    training = Training(session, job, restored(session, work, job, _fitting(session, job, found)))
    _find_foothold(training)
    if not training.progress.is_over:
        _prove_packing(training)
        with session.journal.phase("train", f"{job.train.num_steps} steps"):
            _run(training)
    _note_end(session, training.progress)


def _prove_packing(training: Training) -> None:
    """Looks whether the first step's fullest pack keeps its rows apart, where rows are packed.

    Raises:
        Refusal: It doesn't (FTC262).
    """
    job = training.job
    if job.train.packing:
        device = job.accelerator.device
        rank = 0 if is_sharded(job.model) else job.accelerator.process_index  # parts take the same way together
        packs = job.order.micro_batches(0, job.train.micro_batch, rank, job.accelerator.num_processes)
        fullest = max(packs, key=len, default=[])
        prove_isolation(job.model, job.scorer, job.rows, fullest, job.train.precision, device)
        if (teacher := job.teacher) is not None:
            prove_isolation(teacher.model, teacher.scorer, job.rows, fullest, job.train.precision, device)


def _newest(session: Session, below: int | None = None) -> checkpoint.Checkpoint | None:
    return checkpoint.newest(session.folder.checkpoints, session.job_sha256, session.notice, below=below)


def _fitting(session: Session, job: Job, found: checkpoint.Checkpoint | None) -> checkpoint.Checkpoint | None:
    """The checkpoint, or the next older one that the model can take; files may be whole and hold something else."""
    while found is not None:
        weights, memory = found.shapes()
        problem = misfit(job.parameters, weights) or state_misfit(job.parameters, memory)
        if problem is None:
            break
        session.notice(checkpoint.unfit(found, problem))
        step = found.progress.step
        found = agreed(session.accelerator, lambda step=step: _newest(session, below=step))  # type: ignore[misc]
    return found


def _run(training: Training) -> None:
    training.job.model.train()
    for done in training_steps(training.job, training.progress.step):
        for hook in HOOKS:
            hook(training, done)
        if training.should_end:
            break
    training.job.model.eval()
    if training.interrupted and not training.progress.is_over:
        raise Interrupted


def make_job(session: Session, work: Workpiece) -> Job:
    """All that the loop works with, for a model as it is before the first step."""
    settings = session.plan.settings
    rows = session.stream("train")
    assert rows is not None, "a plan has training rows"
    learn_references(session, work, "train")
    parameters = trainable_tensors(work.model)
    return Job(
        train=settings.train,
        seeds=settings.seeds,
        model=wrap(session.accelerator, work.model),
        parameters=parameters,
        scorer=work.scorer,
        optimizer=make_optimizer(parameters, settings.train),
        rows=rows,
        order=BatchOrder(
            rows.lengths,
            settings.train.batch_size,
            settings.train.steps_per_epoch,
            settings.seeds.order,
            batching=settings.train.batching,
            most_tokens=settings.train.micro_batch_tokens,
            packs=settings.train.packing,
        ),
        accelerator=session.accelerator,
        teacher=session.build_teacher(),
    )


def restored(session: Session, work: Workpiece, job: Job, found: checkpoint.Checkpoint | None) -> Progress:
    """Where training stands, with weights and optimizer as they were there."""
    if found is None:
        return Progress()
    session.note_memory("load")
    checkpoint.put_back(work.model, job.parameters, job.optimizer, found)
    session.note_memory("resume")
    job.pace.factor = found.progress.selection.rate_factor
    session.journal.emit(Resumed(step=found.progress.step))
    return found.progress


def _note_start(session: Session, job: Job) -> None:
    observed = session.state.record.observed.model_copy(update={"wrapper": wrapper_of(job.model)})
    weights = whole_tensors(job.parameters, keep=session.is_first)
    session.state.update(observed=observed, initial_weights_sha256=content_digest(weights))


def _find_foothold(training: Training) -> None:
    """Puts the ladder where training stands: what was climbed after the checkpoint is climbed again."""
    session, step = training.session, training.progress.step
    if step > 0:
        session.ladder.stand_at(step)
    else:
        session.ladder.clear()
        session.ladder.add(rung(0, training.job))


def _note_end(session: Session, progress: Progress) -> None:
    session.stopped_early = progress.step < session.plan.settings.train.num_steps
    best = progress.selection.best_step if session.plan.settings.train.select == "best" else None
    note_progress(session, progress)
    session.state.update(selected_step=best or progress.step)
