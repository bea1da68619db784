"""Peak memory of one of the solver's candidates, by closed form or by the trace's answer.

Both methods end in the same document; which one a plan rests on is its `method`.
"""

from __future__ import annotations

from itertools import chain

from ftc.compiler.divided_layers import beside_part, divides_head, layer_part, trained_share
from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.batch_shapes import (
    accumulates,
    evaluation_batch,
    hides_padding,
    rows_at_once,
    scored_per_row,
    train_shape,
)
from ftc.compiler.memory.context import answer_server, context_of, exchange_buffers, process_range
from ftc.compiler.memory.context_formula import with_shared_rows
from ftc.compiler.memory.evaluation_formula import EvaluationInputs, TeacherInputs, grading_peak, held_bytes
from ftc.compiler.memory.expert_formula import expert_sums
from ftc.compiler.memory.float8_formula import float8_bytes
from ftc.compiler.memory.loading_formula import dequantizing_bytes
from ftc.compiler.memory.margins import reserved_range
from ftc.compiler.memory.memory_formula import MemoryInputs, Method, estimate, quantized_bytes
from ftc.compiler.memory.packed_formula import bytes_of_weight, unpacking_bytes
from ftc.compiler.memory.rounding_formula import rounding_bytes
from ftc.compiler.memory.scored_answers import scored_phases
from ftc.compiler.memory.sharded_formula import on_one_of
from ftc.compiler.memory.stacks import layer_weights
from ftc.compiler.memory.vision_formula import idle_weights
from ftc.compiler.remembered import remembered
from ftc.compiler.weights import (
    checkpoint_bytes,
    device_bytes,
    held,
    num_trainable,
    packed_bytes,
    step_bytes,
)
from ftc.spec.devices import UNKNOWN_CAPABILITY, kernels
from ftc.spec.documents.estimates import ByteRange, MemoryEstimate, PhasePeak, Verdict
from ftc.spec.documents.facts import ModelFacts, TensorFacts
from ftc.spec.documents.memory_trace import BatchShape, TraceDevice, TraceJob, TraceResult
from ftc.spec.documents.streams import TAUGHT
from ftc.spec.extension_points import package_entry
from ftc.spec.heads import head_card
from ftc.spec.precisions import number_type, precision_card
from ftc.spec.shardings import sharding_card
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card

__all__ = [
    "by_closed_form",
    "by_trace",
    "expands_segments",
    "limit_of",
    "may_run",
    "question",
    "verdict_of",
]

_FORM_LOW, _FORM_HIGH = 0.9, 1.15
"""What the trace is by the closed form's figure, at the least and at the most: see `benchmarks/closed_form.py`."""


def limit_of(draft: ClosedDraft) -> tuple[int, str]:
    """Bytes that each process of the run may take, and who says so; processes on a CPU share its memory."""
    if draft.recipe.budget.vram is not None:
        return draft.recipe.budget.vram, "the recipe's budget"
    processes = draft.devices_of_a_machine if draft.device.kind == "cpu" else 1
    share = f"one of {processes} shares of the " if processes > 1 else ""
    memory = "host RAM" if draft.device.kind == "cpu" else f"memory of {draft.device.label}"
    return draft.device.memory_bytes // processes, share + memory


def may_run(draft: Draft, memory: MemoryEstimate) -> bool:
    """Whether a run of that size is accepted: it fits, or it is tight and the recipe consents."""
    return memory.verdict == "fits" or (memory.verdict == "tight" and draft.recipe.budget.allow_tight)


def expands_segments(draft: Draft) -> bool:
    """Whether the run is launched with torch's expandable segments: on a card, where its platform has them."""
    return draft.device.kind == "cuda" and draft.platform.startswith("linux")


def by_closed_form(draft: ClosedDraft) -> MemoryEstimate:
    """The estimate from shapes alone."""
    job, one = _formula_inputs(draft), draft.candidate
    masks, capability = one.packing or not job.on_card, draft.device.capability or UNKNOWN_CAPABILITY
    # On a GPU flash attention alone does: without a mask, in 16 bits.
    has_flash = not masks and job.activation_bytes == 2 and kernels(capability)["flash attention"]
    groups = not job.on_card or has_flash
    alone = with_shared_rows(estimate(job), job, one.context_parallel, masks=masks, groups=groups)
    shared = on_one_of(alone, job, sharding_card(one.sharding), max(1, draft.parts // one.tensor_parallel), one.offload)
    phases = _with_grading(draft, _with_copy(draft, shared))
    allocated = max(phase.peak_bytes for phase in phases)
    reserved = _reserved(draft, allocated, None)
    low, high = round(_FORM_LOW * reserved.low), round(_FORM_HIGH * reserved.high)
    reserved = ByteRange(low=low, expected=reserved.expected, high=high)
    return _estimate(draft, "closed form", phases, reserved)


def question(draft: ClosedDraft) -> TraceJob:
    """The draft as a job for the trace."""
    settings, rows = draft.settings(), rows_at_once(draft)
    looked_at = evaluation_batch(draft)
    # What matters about the step's rows is whether there is another micro-batch before the last one.
    batch = rows * draft.candidate.row_shares * (2 if accumulates(draft) else 1)
    train = settings.train.model_copy(update={"micro_batch": rows, "batch_size": batch})
    evaluate = settings.eval.model_copy(update={"batch_size": looked_at[0]}) if looked_at else settings.eval
    loss = package_entry(settings.train.loss or "")
    # Without a capability the trace would take a GPU's kernels for a CPU's.
    capability = draft.device.capability or (UNKNOWN_CAPABILITY if draft.device.kind == "cuda" else None)
    return TraceJob(
        config=draft.model.vision.config if draft.model.vision else draft.model.config,
        layer_weights=layer_weights(draft.model),
        teacher=draft.teacher.model.config if draft.teacher else None,
        settings=settings.model_copy(update={"train": train, "eval": evaluate}),
        train=train_shape(draft),
        taught=_taught_shape(draft),
        evaluation=looked_at[1] if looked_at else None,
        device=TraceDevice(kind=draft.device.kind, capability=capability, expandable_segments=expands_segments(draft)),
        loss_code=draft.packages.get(loss.distribution) if loss else None,
    )


def by_trace(draft: ClosedDraft, found: TraceResult) -> MemoryEstimate:
    """The estimate from what a trace found."""
    phases = _with_grading(draft, _with_copy(draft, found.phases))
    allocated = max(phase.peak_bytes for phase in phases)
    return _estimate(draft, "trace", phases, _reserved(draft, allocated, found.reserved_bytes))


def _with_grading(draft: ClosedDraft, phases: tuple[PhasePeak, ...]) -> tuple[PhasePeak, ...]:
    """A run's phases with reward models, and at their end the classifier's, none of which a trace follows."""
    grading, phases = grading_peak(draft), scored_phases(draft, phases)
    return phases if grading is None else (*phases, grading)


_WITHOUT_COPY = ("load", "resume", "export", "evaluation: result")
"""Phases before the first step and behind the last one."""


def _with_copy(draft: ClosedDraft, phases: tuple[PhasePeak, ...]) -> tuple[PhasePeak, ...]:
    """A run's phases with a checkpoint that waits to be written, where host RAM is the device's own memory."""
    copy = -(-checkpoint_bytes(draft) // draft.parts)
    if not draft.train.save_in_background or draft.device.kind != "cpu":
        return phases
    return tuple(
        one
        if one.phase in _WITHOUT_COPY
        else one.model_copy(
            update={
                "peak_bytes": one.peak_bytes + copy,
                "components": {**one.components, "copied checkpoint": copy},
            }
        )
        for one in phases
    )


def _reserved(draft: ClosedDraft, allocated: int, replayed: int | None) -> ByteRange:
    return reserved_range(
        allocated,
        replayed,
        draft.candidate.attention,
        on_card=draft.device.kind == "cuda",
        expandable=expands_segments(draft),
    )


def _estimate(draft: ClosedDraft, method: Method, phases: tuple[PhasePeak, ...], reserved: ByteRange) -> MemoryEstimate:
    peak = max(phases, key=lambda phase: phase.peak_bytes)
    context = context_of(draft.device, draft.calibration, draft.packages, needs=draft.recipe.eval.needs())
    buffers = exchange_buffers(draft)
    beside = [one for one in (buffers, answer_server(draft)) if one is not None]
    process = process_range(reserved, context, *beside)
    limit, source = limit_of(draft)
    components = {context.name: context.size.expected}
    components |= {one.name: one.size.expected for one in beside}
    components |= peak.components
    components |= {"allocator": rest} if (rest := reserved.expected - peak.peak_bytes) else {}
    return MemoryEstimate(
        method=method,
        phases=phases,
        peak_phase=peak.phase,
        allocated_bytes=peak.peak_bytes,
        reserved=reserved,
        process=process,
        context_source=context.source,
        exchange_buffers=buffers.size if buffers else None,
        components=components,
        limit_bytes=limit,
        limit_source=source,
        verdict=verdict_of(process, limit),
    )


def _formula_inputs(draft: ClosedDraft) -> MemoryInputs:
    """The formula's job for a candidate."""
    shape, rows, kernel = train_shape(draft), rows_at_once(draft), draft.candidate.attention
    is_whole, precision = strategy_card(draft.strategy).is_whole, precision_card(draft.train.precision)
    trained, quantized = draft.trained, draft.strategy.traits.quantized
    weight_bytes = bytes_of_weight(_as_held(draft), float(precision.base_type(is_whole=is_whole).size))
    if quantized is not None:
        scale, frozen = 4.0 if quantized.type == "int8" else 0.0, precision.frozen.size
        weight_bytes = quantized_bytes(_as_held(draft), packed_bytes(draft), row=scale, frozen=frozen)
    (length, target), sequences = _in_stacks(draft, shape), _sequences(draft)
    tokens = rows * sequences * length
    among = draft.candidate.tensor_parallel
    share = trained_share(draft.model, trained, among)
    share *= 1 - idle_weights(draft.model, trained.names) / max(1, num_trainable(draft))
    places = rows * scored_per_row(draft, shape)
    at_once = min(places, draft.candidate.loss_chunk_size or places)
    return MemoryInputs(
        model=layer_part(_as_held(draft), among),
        beside=beside_part(draft.model, trained.beside, among),
        is_adapter=not is_whole,
        num_trainable=round(share * num_trainable(draft)),
        trained_bytes=precision.trained.size,
        num_frozen=trained.num_frozen,
        state_bytes=round(share * device_bytes(draft)),
        step_bytes=step_bytes(draft),
        head_width=head_card(draft.loaded.head).score_width(
            len(draft.labels), vocabulary=draft.model.vocab_size, hidden=draft.model.hidden_size
        ),
        head_parts=_head_parts(draft),
        head_rows=at_once,
        tokens=tokens,
        length=length,
        weight_bytes=weight_bytes,
        activation_bytes=precision.products.size,
        checkpointing=draft.candidate.activation_checkpointing,
        accumulates=accumulates(draft),
        quantized=quantized is not None,
        target_length=target,
        adapter_dropout=trained.dropout,
        eager=kernel == "eager",
        in_parts=draft.candidate.is_divided,
        masked=draft.candidate.context_parallel == 1 and (draft.candidate.packing or hides_padding(draft, shape)),
        unpadded=kernel == "flash_attention_2",
        on_card=draft.device.kind == "cuda",
        capability=draft.device.capability or UNKNOWN_CAPABILITY,
        layers_kept=trained.last_layers,
        starts_late=trained.first_behind,
        trains_products=trained.products,
        trains_norms=trained.norms,
        measuring=_measuring(draft),
        taught=_taught(draft, places, at_once),
        chunked_places=places if draft.candidate.loss_chunk_size and sequences == 1 else 0,
        has_z_loss=draft.train.z_loss is not None,
        copied_head=_copied_head(draft, weight_bytes),
        frozen=draft.loaded.vision.frozen if draft.loaded.vision else (),
        images=tuple(chain.from_iterable(shape.images)),
        unpacking=unpacking_bytes(draft.model, precision.products.size),
        **(rounding_bytes(draft) | expert_sums(draft, tokens) | float8_bytes(draft, tokens)),
    )


def _copied_head(draft: Draft, weight_bytes: float) -> int:
    """Bytes of an output layer that each pass copies, where rows of it are trained by themselves, as modules are."""
    own, model = draft.model.tokenizer.own, draft.model
    tables = draft.trained.names.intersection(own.tables) if own and head_card(draft.loaded.head).writes else ()
    if not tables:
        return 0
    each = _FP32 if draft.strategy.traits.quantized is not None else weight_bytes
    return round(model.vocab_size * model.hidden_size * each)


def _as_held(draft: Draft) -> ModelFacts:
    """The model without weights that the task leaves in the file, such as an output over words for a classifier."""
    return _with_tensors(draft.model, held(draft))


@remembered
def _with_tensors(model: ModelFacts, tensors: dict[str, TensorFacts]) -> ModelFacts:
    return model.model_copy(update={"tensors": tensors})


def _taught_shape(draft: Draft) -> BatchShape | None:
    """The largest row in a teacher's own tokens; None where it reads the model's."""
    lengths = draft.lengths.get(TAUGHT)
    if lengths is None:
        return None
    return BatchShape(length=int(lengths.tokens.max()), supervised=int(lengths.scored.max()), padded=True)


def _taught(draft: ClosedDraft, places: int, at_once: int) -> TeacherInputs | None:
    """The teacher, where so many places of a micro-batch are scored, so many of them at once; None without one."""
    lesson = draft.distillation
    if draft.teacher is None or lesson is None:
        return None
    model = draft.teacher.model
    width = head_card(draft.loaded.head).num_outputs(len(draft.labels)) or model.vocab_size
    size, own = number_type(lesson.precision).size, _taught_shape(draft)
    if own is not None and at_once == places:
        at_once = places = own.supervised * rows_at_once(draft)
    elif own is not None:
        places = max(own.supervised * rows_at_once(draft), at_once + 1)
    return TeacherInputs(
        weights=held_bytes(model, lesson.precision, lesson.quantization),
        scores=at_once * width if lesson.judges else 0,
        states=size * places * model.hidden_size if at_once < places else 0,
        loading=0 if draft.device.kind == "cuda" else dequantizing_bytes(model),
    )


def _measuring(draft: ClosedDraft) -> EvaluationInputs | None:
    """How rows are measured, in the terms of the closed form; None where no split is."""
    found = evaluation_batch(draft)
    if found is None:
        return None
    rows, shape = found
    (length, target), sequences = _in_stacks(draft, shape), _sequences(draft)
    scored = -(-scored_per_row(draft, shape) // sequences)
    kernel, writing = draft.candidate.attention, draft.recipe.writing
    return EvaluationInputs(
        rows * sequences,
        length,
        target,
        scored,
        new_tokens=draft.eval.max_new_tokens or 0,
        trained_tokens=writing.max_new_tokens if writing and writing.here else 0,
        writer=draft.teacher.model if draft.teacher and writing and writing.by == "teacher" else None,
        eager=kernel == "eager",
        unpadded=kernel == "flash_attention_2",
        masked=hides_padding(draft, shape),
        chunk=draft.candidate.loss_chunk_size,
        images=tuple(chain.from_iterable(shape.images)),
        head_parts=_head_parts(draft),
    )


def _head_parts(draft: ClosedDraft) -> int:
    """How many devices divide the output layer's weights."""
    among = draft.candidate.tensor_parallel
    return among if divides_head(draft.model, among) else 1


def _sequences(draft: Draft) -> int:
    """Sequences of a row, at most: the answers of a preference and texts of their own attend to themselves alone."""
    if form_card(draft.text.form).has_texts:
        return draft.splits["train"].supervised_max
    return 2 if form_card(draft.text.form).is_pair else 1


def _in_stacks(draft: Draft, shape: BatchShape) -> tuple[int, int]:
    """Tokens of a sequence that go through all stacks, and of them those of an encoder-decoder's decoder.

    Where the row as a whole is decided on, both of its stacks read it.
    """
    length = shape.length // _sequences(draft) + draft.strategy.traits.num_virtual
    if draft.model.family != "encoder_decoder":
        return length, 0
    return (length, shape.supervised) if head_card(draft.loaded.head).writes else (2 * length, length)


_FP32 = 4


def verdict_of(process: ByteRange, limit: int) -> Verdict:
    """Whether a run stays within a limit: even at the most, as expected, or neither."""
    if process.high <= limit:
        return "fits"
    return "tight" if process.expected <= limit else "does not fit"
