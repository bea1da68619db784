"""The plan's training, from the first step or from the newest checkpoint."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn

from ftc.runtime.artifacts import checkpoint, checkpoint_files
from ftc.runtime.artifacts.export import is_exported
from ftc.runtime.evaluation.scoring import eval_mode, learn_references
from ftc.runtime.execution.accelerator import agreed, wrap, wrapper_of
from ftc.runtime.execution.session import Session
from ftc.runtime.models.base_model import misfit, trainable_tensors
from ftc.runtime.models.sharding import is_sharded
from ftc.runtime.tasks.package_loss import package_loss_of
from ftc.runtime.tasks.reinforcement import ReinforcementScorer
from ftc.runtime.tasks.scorer import Batch, ModelWithScorer, Scorer, packed_batch, target_losses
from ftc.runtime.training.answer_writer import AnswerWriter, Writes
from ftc.runtime.training.compiled import compile_layers
from ftc.runtime.training.context import context_group_of, prove_sharing
from ftc.runtime.training.distillation import Teacher
from ftc.runtime.training.fused import use_kernels
from ftc.runtime.training.hooks import (
    HOOKS,
    Training,
    digests_together,
    finish_saving,
    note_progress,
    weight_checksum,
)
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.loss_scale import LossScale
from ftc.runtime.training.optimizers import make_optimizer, state_misfit
from ftc.runtime.training.router_loss import router_loss_of
from ftc.runtime.training.sampling import SampledRows
from ftc.runtime.training.selection import Progress
from ftc.runtime.training.server_writer import RecordedAnswers, ServerWriter
from ftc.runtime.training.signals import Interrupted
from ftc.runtime.training.sources import MaskedRows, RowSource, StreamRows
from ftc.runtime.training.weight_average import average_of
from ftc.runtime.training.written_rows import WrittenRows
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.decoded import TextDecoder
from ftc.spec.documents.events import Resumed
from ftc.spec.documents.interruption import usable_step
from ftc.spec.documents.streams import TokenStream
from ftc.spec.precisions import precision_card
from ftc.spec.span_corruption import step_spans
from ftc.spec.storage.model_files import content_digest
from ftc.spec.storage.own_tokenizer import tokenizer_folder

__all__ = ["is_trained", "make_job", "prove_isolation", "restored", "train"]

_MOST_ROWS = 4


def is_trained(session: Session) -> bool:
    """Whether the weights that training chose are there."""
    record = session.state.record
    limit = usable_step(record.interruptions, record.proved_step)
    if limit is not None and limit < record.steps_done:
        return False
    log = checkpoint_files.witnessed_log(session.folder)
    found = checkpoint.verified(
        session.folder.checkpoints, record.selected_step, session.job_sha256, session.notice, log
    )
    return found is not None or is_exported(session)


def train(session: Session) -> None:
    """Trains to the plan's last step, or until validation no longer gets better; leaves the model in the session.

    Raises:
        Interrupted: Somebody asked to stop; the step was finished and a checkpoint is there.
        Refusal: A loss or gradient is not finite.
    """
    found = session.brought(agreed(session.accelerator, lambda: _newest(session, below=_usable(session))))
    work = session.build()
    session.trained = work
    job = make_job(session, work)
    learn_references(session, work, "validation")
    weights = digests_together(job, job.parameters)
    session.state.update(
        observed=session.state.record.observed.model_copy(update={"wrapper": wrapper_of(job.model)}),
        initial_weights_sha256=content_digest(weights),
    )
    found = _fitting(session, job, found)
    training = Training(session, job, restored(session, work, job, found))
    if found is not None:
        session.copies.drop(found.folder)
    if training.progress.step > 0:
        session.step_log.truncate(training.progress.step)  # what was written after the checkpoint is written again
        session.answers.truncate(training.progress.step)
    else:
        session.step_log.clear()
        session.answers.truncate(0)
        session.step_log.add(weight_checksum(0, job))
    if not training.progress.is_over:
        session.pause_at(training.progress.step)
        session.stop.check()
        if job.train.packing:
            _prove_packing(job)
        prove_sharing(job)
        with session.journal.phase("train", f"{job.train.num_steps} steps"):
            _run(training)
    progress = training.progress
    session.stopped_early = progress.step < job.train.num_steps
    note_progress(session, progress)
    best = progress.selection.best_step if job.train.select == "best" else None
    session.state.update(selected_step=best or progress.step)


def _prove_packing(job: Job) -> None:
    """Checks that the first step's fullest pack keeps its rows apart, in the model and in its teacher.

    Raises:
        Refusal: It doesn't (FTC262).
    """
    first, (own, shares) = job.source.at(0), job.share
    own = 0 if is_sharded(job.model) else own  # parts take the same way together
    packs = first.micro_batches(job.train.micro_batch, own, shares)
    fullest = max(packs, key=len, default=[])
    for asked in (job, job.teacher):
        if asked is not None:
            device = job.accelerator.device
            prove_isolation(asked.model, asked.scorer, first.rows, fullest, job.train.precision, device)


def _usable(session: Session) -> int | None:
    """The step before which a checkpoint has to be, because inputs changed; later ones are deleted."""
    record = session.state.record
    limit = usable_step(record.interruptions, record.proved_step)
    if limit is None:
        return None
    checkpoint_files.discard(session.folder.checkpoints, limit)
    return limit + 1


def _newest(session: Session, below: int | None = None) -> checkpoint.Checkpoint | None:
    folder, log = session.folder.checkpoints, checkpoint_files.witnessed_log(session.folder)
    return checkpoint.newest(folder, session.job_sha256, session.notice, log, below=below)


def _fitting(session: Session, job: Job, found: checkpoint.Checkpoint | None) -> checkpoint.Checkpoint | None:
    """The checkpoint, or the next older one that the model can take; files may be whole and hold something else."""
    while found is not None:
        weights, memory = found.shapes()
        problem = misfit(job.parameters, weights) or state_misfit(job.parameters, memory)
        if problem is None:
            break
        session.notice(checkpoint.unfit(found, problem))
        step = found.progress.step
        older = agreed(session.accelerator, lambda step=step: _newest(session, below=step))  # type: ignore[misc]
        found = session.brought(older)
    return found


def _run(training: Training) -> None:
    training.job.model.train()
    try:
        for done in training_steps(training.job, training.progress.step):
            for hook in HOOKS:
                hook(training, done)
            if training.should_end:
                break
    except BaseException as error:
        _leave_saving(training, error)
        raise
    training.job.model.eval()
    if training.interrupted and not training.progress.is_over:
        raise Interrupted(training.session.stop.kind, training.session.stop.reason)


def _leave_saving(training: Training, error: BaseException) -> None:
    """Finishes a checkpoint that is being written when training fails, so that what was done by then is kept.

    One in parts needs all processes, which may not all have failed; whoever insists on stopping doesn't wait.
    """
    if (saving := training.saving) is None:
        return
    if saving.is_together or isinstance(error, KeyboardInterrupt):
        saving.abandon()
        return
    with suppress(Exception):  # why training failed counts
        finish_saving(training, saving)


def make_job(session: Session, work: ModelWithScorer) -> Job:
    """All that the loop works with, for a model as it is before the first step."""
    settings = session.plan.settings
    rows = session.stream("train")
    assert rows is not None, "a plan has training rows"
    learn_references(session, work, "train")
    parameters, weights = trainable_tensors(work.model), settings.train.class_weights
    teacher = session.build_teacher()
    job = Job(
        train=settings.train,
        seeds=settings.seeds,
        model=wrap(session.accelerator, work.model),
        parameters=parameters,
        scorer=work.scorer,
        optimizer=make_optimizer(parameters, settings.train, work.model),
        source=_source(session, work, rows, teacher),
        accelerator=session.accelerator,
        teacher=teacher,
        router=router_loss_of(work.model, settings.train),
        loss=package_loss_of(settings),
        class_weights=torch.tensor(weights, device=session.accelerator.device) if weights else None,
        scale=LossScale.of(settings.train, session.accelerator.device),
        average=average_of(parameters, settings.train),
        context=context_group_of(settings.train, session.accelerator),
    )
    if settings.train.kernels:
        use_kernels(job, work.model, session.notice)
    if settings.train.compile:
        compile_layers(job, session.notice)
    return job


def _source(session: Session, work: ModelWithScorer, rows: TokenStream, teacher: Teacher | None) -> RowSource:
    """Where the rows of each step come from: the training split, or the model's or its teacher's answers to it."""
    settings = session.plan.settings
    train = settings.train
    if isinstance(work.scorer, ReinforcementScorer):
        decode = TextDecoder(tokenizer_folder(session.inputs.model_folder, settings.model.tokenizer))
        return SampledRows(
            work.model,
            work.scorer,
            rows,
            settings,
            decode,
            session.stop,
            session.accelerator,
            _writer(session, work, rows),
            session.graders,
        )
    order = BatchOrder.of(rows, settings)
    if train.masking is not None and settings.seeds.masking is not None:
        return MaskedRows(rows, order, train.masking, settings.seeds.masking)
    if train.spans is not None and settings.seeds.masking is not None:
        return MaskedRows(rows, order, train.spans, settings.seeds.masking, step_spans)
    plain = StreamRows(rows, order)
    if train.writing is not None:
        model = teacher.model if teacher is not None and train.writing.by == "teacher" else work.model
        writer = AnswerWriter(model, rows, settings, session.stop, session.accelerator)
        return WrittenRows(plain, writer, settings)
    return plain


def _writer(session: Session, work: ModelWithScorer, rows: TokenStream) -> Writes | None:
    """What writes answers in the place of the model itself; None where that does."""
    writing, inputs = session.plan.settings.train.writing, session.inputs
    if writing is None or writing.here:
        return None
    if inputs.recorded is not None:
        return RecordedAnswers(inputs.recorded)
    settings, place = session.plan.settings, session.folder.handed_over
    return ServerWriter(work.model, rows, settings, session.stop, inputs.writer, place, inputs.writer_key)


def restored(session: Session, work: ModelWithScorer, job: Job, found: checkpoint.Checkpoint | None) -> Progress:
    """Where training stands, with weights and optimizer as they were there."""
    if found is None:
        return Progress()
    session.note_memory("load")
    checkpoint.put_back(work.model, job.parameters, job.optimizer, found, job.average)
    session.note_memory("resume")
    job.pace.factor = found.progress.selection.rate_factor
    job.scale.restore(found.progress.loss_scale)
    session.journal.emit(Resumed(step=found.progress.step))
    return found.progress


def prove_isolation(
    model: nn.Module, scorer: Scorer, rows: TokenStream, pack: list[int], precision: str, device: torch.device
) -> None:
    """Compares the losses of rows in one pack with their losses alone.

    Isolation rests on the model: it has to read the positions and build its masks from them. Most do; one that doesn't
    would train on other rows' text without a sign of it, so each run checks before its first step.

    Raises:
        Refusal: They differ by more than arithmetic explains (FTC262).
    """
    numbers = pack[-_MOST_ROWS:]  # the shortest, which cost least
    if len(numbers) < 2:
        return
    with eval_mode(model):
        together = _row_losses(model, scorer, packed_batch(rows, numbers).to(device), len(numbers))
        alone = [_row_losses(model, scorer, scorer.batch(rows, [number]).to(device), 1)[0] for number in numbers]
    worst = max(abs(a - b) for a, b in zip(together, alone, strict=True))
    if not worst <= precision_card(precision).isolation:
        summary = f"packed rows affect each other: their losses change by up to {worst:.3g} nats"
        note, help = "the model's attention does not depend only on the positions", "write `train: {packing: false}`"
        raise Refusal([diagnostic("FTC262", summary, notes=note, help=help, path="train.packing")])


def _row_losses(model: nn.Module, scorer: Scorer, batch: Batch, count: int) -> list[float]:
    """Mean loss of each row."""
    sums = torch.zeros(count, dtype=torch.float64, device=batch.ids.device)
    sums.index_add_(0, batch.owners, target_losses(scorer, model, batch).double())
    targets = torch.bincount(batch.owners, minlength=count).clamp(min=1)
    means: list[float] = (sums / targets).tolist()
    return means
