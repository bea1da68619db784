"""The run's own loop on a model without memory, watched.

Model, scorer, loss, clipping and optimizer are the run's: `build_model`, `make_scorer`, `make_optimizer` and
`training_steps`. Only the accelerator, the device and the rows are stand-ins. Two optimizer steps are taken, since the
optimizer's state appears at the end of the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.memory_trace.answers import can_write, write_answers, writes_answers
from ftc.runtime.memory_trace.arithmetic import CardDropout, MixedPrecision, mixed_without_memory
from ftc.runtime.memory_trace.distributed import divided, exchanging, hold_wholes
from ftc.runtime.memory_trace.holdings import (
    Host,
    Shapes,
    Shelf,
    hold_dequantized,
    keep,
    register_model,
    register_state,
    register_teacher,
)
from ftc.runtime.memory_trace.images import with_stand_in_images
from ftc.runtime.memory_trace.kernels import without_launches
from ftc.runtime.memory_trace.log import Log
from ftc.runtime.memory_trace.meta_model import watched_teacher
from ftc.runtime.memory_trace.repeats import repeat_alike
from ftc.runtime.memory_trace.rows import ordered_rows, stand_in_rows
from ftc.runtime.memory_trace.sections import Groups, Marked, mark
from ftc.runtime.memory_trace.shared_rows import traced_group
from ftc.runtime.memory_trace.torch_internals import fused_on_meta, run_backward
from ftc.runtime.memory_trace.tracker import StorageTracker, card_buffers
from ftc.runtime.memory_trace.values import Factories, Values
from ftc.runtime.models.base_model import trainable_tensors
from ftc.runtime.models.fused_layers import fuse_layers
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.models.sharding import stacks_of
from ftc.runtime.tasks import make_scorer, objective_of
from ftc.runtime.tasks.package_loss import package_loss_of
from ftc.runtime.tasks.scorer import Arithmetic, Scorer, target_losses
from ftc.runtime.tasks.text_groups import coupling_of
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import evaluating, make_optimizer
from ftc.runtime.training.router_loss import router_loss_of
from ftc.runtime.training.sources import StreamRows
from ftc.runtime.training.weight_average import average_of
from ftc.spec.documents.memory_trace import BatchShape, TraceJob
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.heads import head_card
from ftc.spec.precisions import precision_card

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["run_steps"]

_STEPS = 2
_SMALLEST_PAGED = 100_000
"""Weights of a matrix from which bitsandbytes pages what it remembers of it."""


@dataclass
class _StandIn:
    """What the loop needs of accelerate, for one process."""

    tracker: StorageTracker
    device: torch.device
    process_index: int = 0
    num_processes: int = 1

    def no_sync(self, model: nn.Module) -> Any:
        """As accelerate has it: only a wrapped model shares something."""
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """The backward pass; what comes after it is clipping, unless another micro-batch follows."""
        self.tracker.section("backward: loss and head")
        run_backward(loss)
        self.tracker.section("clip")


def run_steps(
    job: TraceJob,
    model: nn.Module,
    groups: Sequence[Groups],
    device: torch.device | None = None,
    shelf: Shelf | None = None,
    teacher: nn.Module | None = None,
) -> Log:
    """The log of a run: load, training steps, evaluation, a checkpoint there and back, the result, answers.

    Args:
        job: Shapes and settings.
        model: As `build_model` made it, on the device.
        groups: How the layers of each stack repeat.
        device: Where the tensors are; tensors without memory unless a test watches real ones.
        shelf: Where real ones are written to; without it they are not.
        teacher: As `build_teacher` made it, where the job has one.
    """
    device = device or torch.device("meta")
    on_meta, capability = device.type == "meta", job.device.capability
    values = Values() if on_meta and job.settings.model.vision is not None else None
    tracker = StorageTracker(
        device.type,
        buffers=card_buffers(capability) if on_meta and capability else None,
        score_shapes=_score_shapes(job),
        answer=_all_is_seen(job, job.train) and not job.settings.train.packing,
        values=values,
        on_processor=on_meta and job.device.kind == "cpu",
    )
    counting = Factories(tracker.deaf) if values is not None else nullcontext()
    with counting, divided(job, model, tracker, device):
        mark(tracker, model, groups)
        if values is not None:
            repeat_alike(stacks_of(model)[0][1], tracker)
        return _watched(job, model, groups, device, shelf, teacher, tracker)


def _watched(
    job: TraceJob,
    model: nn.Module,
    groups: Sequence[Groups],
    device: torch.device,
    shelf: Shelf | None,
    teacher: nn.Module | None,
    tracker: StorageTracker,
) -> Log:
    settings, is_divided, on_meta = job.settings, job.settings.train.is_divided, device.type == "meta"
    if settings.train.offload == "none":
        register_model(tracker, model, groups, empties_cache=_empties_cache(job))
        is_dequantized = settings.model.quantized_files is not None and settings.model.packed is None
        if is_dequantized and job.device.kind == "cpu":
            hold_dequantized(tracker, model)
    else:
        for parameter in model.parameters():
            tracker.leave_out(parameter)
    if is_divided:
        hold_wholes(model, tracker)
    if teacher is not None:
        register_teacher(tracker, teacher, dequantizes=_dequantizes_teacher(job))
    with _arithmetic(job, [model, *([teacher] if teacher else [])], device) as arithmetic:
        scorer = make_scorer(model, settings, arithmetic)
        loop_job = _loop_job(job, model, scorer, tracker, groups, device)
        loop_job = replace(loop_job, teacher=watched_teacher(job, teacher, arithmetic, tracker))
        launching = without_launches() if on_meta and settings.train.kernels else nullcontext()
        with tracker, fused_on_meta(), launching:
            _train(loop_job, tracker)
            if (writing := settings.train.writing) is not None and writing.here and can_write(job):
                writer = (model, groups) if writing.by == "model" or teacher is None else (teacher, ())
                _generate(job, *writer, tracker, device, "sampling", writing.max_new_tokens)
                tracker.purpose = "evaluation"
            if job.evaluation is not None:
                tracker.answer = _all_is_seen(job, job.evaluation)
                with evaluating(loop_job.optimizer, loop_job.average):
                    _evaluate(job, model, scorer, device)
            if is_divided:  # told of before
                pass
            elif shelf is not None:
                keep(loop_job, job.settings, tracker, shelf)
            elif on_meta:
                with Host(is_device=job.device.kind == "cpu") as host:
                    keep(loop_job, job.settings, tracker, Shapes(tracker, host))
            if writes_answers(job):
                _generate(job, model, groups, tracker, device, "generation", settings.eval.max_new_tokens or 1)
    return tracker.close()


def _dequantizes_teacher(job: TraceJob) -> bool:
    """Whether a teacher's weights are dequantized in the device's own memory."""
    lesson = job.settings.train.distillation
    return job.device.kind == "cpu" and lesson is not None and lesson.teacher.quantized_files is not None


def _empties_cache(job: TraceJob) -> bool:
    """Whether the installed peft gives unused memory back after it has prepared 4-bit weights."""
    if job.settings.strategy.traits.quantized is None:
        return False
    import peft

    return "auto_clear_cache" in inspect.signature(peft.prepare_model_for_kbit_training).parameters


def _all_is_seen(job: TraceJob, shape: BatchShape) -> bool:
    """Whether no mask hides padding: there is none, or it stands where a decoder never looks back from."""
    model, virtual = job.settings.model, job.settings.strategy.traits.num_virtual
    needs_mask = not head_card(model.head).writes or model.family != "decoder" or virtual > 0
    return not (shape.padded and needs_mask)


def _score_shapes(job: TraceJob) -> list[tuple[int, int]]:
    """(N, V) of the scores in training and evaluation."""
    settings = job.settings
    batches = [(settings.train.micro_batch, job.train)]
    if job.evaluation is not None:
        batches.append((settings.eval.batch_size, job.evaluation))
    head, shape_of = head_card(settings.model.head), objective_of(settings).score_shape
    if not head.scores_vocabulary:
        width = head.score_width(
            len(settings.text.labels), vocabulary=0, hidden=int(job.language.get("hidden_size", 0))
        )
        return [shape_of(rows, shape, width) for rows, shape in batches]
    vocabulary = int(job.language["vocab_size"])
    theirs = [] if job.teacher is None else [int(job.teacher["vocab_size"])]
    scored = [shape_of(rows, shape, width) for rows, shape in batches for width in (vocabulary, *theirs)]
    if (size := settings.train.loss_chunk_size) is not None:  # whole chunks, and what is left
        scored = [(count, width) for places, width in scored for count in {min(size, places), places % size} - {0}]
    scored.append((settings.eval.batch_size, vocabulary))
    among = settings.train.tensor_parallel
    return [(count, part) for count, width in scored for part in {width, width // among}]


def _loop_job(
    job: TraceJob,
    model: nn.Module,
    scorer: Scorer,
    tracker: StorageTracker,
    groups: Sequence[Groups],
    device: torch.device,
) -> Job:
    parameters = trainable_tensors(model)
    called = exchanging(job, model, parameters, tracker, groups, device)
    for parameter in parameters.values():
        parameter.register_post_accumulate_grad_hook(partial(_note_gradient, job, tracker))
    train = _two_steps(job)
    if train.kernels:
        fuse_layers(model, train)
    with fused_on_meta():
        optimizer = make_optimizer(parameters, train, model)
        _leave_pages_out(optimizer)
    for group in optimizer.param_groups if job.device.kind == "cuda" else ():
        if group.get("foreach", True) is None and not group.get("fused"):
            group["foreach"] = True  # torch's choice on a card; without memory it takes one by one
    optimizer.register_step_pre_hook(lambda *_: tracker.section("optimiser step"))
    if job.settings.train.offload == "cpu":
        silence = ExitStack()
        optimizer.register_step_pre_hook(lambda *_: silence.enter_context(tracker.deaf()))
        optimizer.register_step_post_hook(lambda *_: silence.close())
    is_coupled = coupling_of(scorer) is not None
    rows, order = ordered_rows(job.settings, job.train, train, _end_id(model), is_coupled=is_coupled)
    rows = with_stand_in_images(job, job.train, rows, model.config, device)
    return Job(
        train=train,
        seeds=job.settings.seeds,
        model=called,
        parameters=parameters,
        scorer=Marked(scorer, tracker, after="loss"),
        optimizer=optimizer,
        router=router_loss_of(model, train),
        loss=package_loss_of(job.settings),
        average=average_of(parameters, train) if train.offload == "none" else None,  # it lies where the weights do
        context=traced_group(job),
        source=StreamRows(rows, order),
        accelerator=cast("Accelerator", _StandIn(tracker, device)),  # the part of it that one process uses
    )


def _end_id(model: Any) -> int:
    """The token that ends a row, where the model knows of one."""
    known = getattr(model.config, "eos_token_id", None)
    return known if isinstance(known, int) else 0


def _note_gradient(job: TraceJob, tracker: StorageTracker, parameter: nn.Parameter) -> None:
    assert parameter.grad is not None
    if job.settings.train.offload == "cpu":
        tracker.leave_out(parameter.grad)
    else:
        tracker.register(parameter.grad, "gradients")


def _leave_pages_out(optimizer: Any) -> None:
    """Memory that the driver may move to the CPU takes none of the device's; its shapes stay."""
    if not getattr(optimizer, "is_paged", False):
        return
    optimizer.is_paged = False
    on_device = optimizer.get_state_buffer

    def buffer(parameter: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        if parameter.numel() < _SMALLEST_PAGED:
            kept: torch.Tensor = on_device(parameter, dtype)
            return kept
        return torch.empty(1, dtype=dtype, device=parameter.device).expand(parameter.shape)

    optimizer.get_state_buffer = buffer


def _two_steps(job: TraceJob) -> TrainSettings:
    train = job.settings.train
    rows = train.micro_batch * (2 if job.accumulates else 1)
    return train.model_copy(update={"num_steps": _STEPS, "batch_size": rows, "world_size": 1, "steps_per_epoch": 1})


def _train(job: Job, tracker: StorageTracker) -> None:
    job.model.train()
    step, micro_batch = 0, 0

    def count(*_: Any) -> None:
        nonlocal micro_batch
        tracker.turn(step, micro_batch)
        micro_batch += 1

    counting = job.model.register_forward_pre_hook(count, prepend=True)
    for done in training_steps(job, 0):
        if job.train.offload == "none":
            register_state(tracker, job.optimizer, job.average)
        step, micro_batch = done.step, 0
    counting.remove()


def _evaluate(job: TraceJob, model: nn.Module, scorer: Scorer, device: torch.device) -> None:
    assert job.evaluation is not None
    rows = stand_in_rows(job.settings, job.evaluation, job.settings.eval.batch_size, _end_id(model))
    rows = with_stand_in_images(job, job.evaluation, rows, model.config, device)
    with eval_mode(model):
        batch = scorer.batch(rows, list(range(len(rows)))).to(device)
        target_losses(scorer, model, batch)


def _generate(
    job: TraceJob,
    model: nn.Module,
    groups: Sequence[Groups],
    tracker: StorageTracker,
    device: torch.device,
    purpose: str,
    tokens: int,
) -> None:
    """Answers as the run has them written: in one stretch of mixed precision, which keeps no casts of weights there."""
    tracker.turn(_STEPS, 0)
    tracker.answer = job.evaluation is None or not job.evaluation.padded  # prompts are padded on the left
    is_mixed = precision_card(job.settings.train.precision).is_mixed
    with eval_mode(model), MixedPrecision.switch(is_mixed):
        tracker.purpose = purpose
        if not groups:
            tracker.section(f"{purpose}: layers")
        write_answers(job, model, tracker, groups, device, tokens)


@contextmanager
def _arithmetic(job: TraceJob, models: Sequence[nn.Module], device: torch.device) -> Iterator[Arithmetic | None]:
    """What stands in for torch's mixed precision, which does nothing without memory."""
    if device.type != "meta":
        yield None
        return
    card, on_card = precision_card(job.settings.train.precision), job.device.kind == "cuda"
    half = torch_type(card.products) if card.is_mixed else None
    with CardDropout() if on_card else nullcontext(), mixed_without_memory(half, models, on_card=on_card) as switch:
        yield lambda _device: switch()
