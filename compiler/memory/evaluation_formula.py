"""What measuring takes at its largest moments, from shapes alone: scores of rows, keys and values while answers grow.

Nothing is kept for a backward pass, so what counts is one layer's width, the scores of all supervised places, and what
writing remembers. Rows of validation are scored beside the optimizer's state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.layer_formula import Stack
from ftc.compiler.memory.layer_inputs import Numbers, Trained
from ftc.compiler.memory.stacks import stacks_of
from ftc.compiler.memory.through_formula import going_through, passing_norm
from ftc.compiler.time.network import rotates
from ftc.compiler.weights import PACKED_BYTES, never_packed
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.precisions import TypeName, number_type
from ftc.spec.sections.distillation import TeacherQuantization

__all__ = [
    "EvaluationInputs",
    "Moment",
    "TeacherInputs",
    "evaluation_moments",
    "grading_peak",
    "held_bytes",
    "score_bytes",
    "with_last_norm",
    "with_teacher",
]

_FP32 = 4
_LAYERS, _LAST_NORM, _HEAD = (f"evaluation: {name}" for name in ("layers", "last norm", "head"))


@dataclass(frozen=True)
class EvaluationInputs:
    """What decides about memory while rows are measured.

    Attributes:
        rows: Rows at once.
        length: Tokens of the longest, its target included where an encoder-decoder has one.
        target_length: Of these the ones that its decoder gets.
        scored: Places of a row at which the head is computed, at most.
        new_tokens: Tokens of a written answer, at most; 0 where none is written.
        trained_tokens: Likewise of an answer that is written to be trained on.
        writer: The teacher that writes these; None where the model does.
        eager: Whether attention holds its scores.
        unpadded: Whether attention gets rows without their padding.
        masked: Whether it gets a mask for padding.
        chunk: Places at which the head is computed at a time; None for all.
        images: Of all rows at once; none where they aren't known.
        head_parts: How many devices divide the weights of the output layer.
    """

    rows: int
    length: int
    target_length: int
    scored: int
    new_tokens: int
    trained_tokens: int = 0
    writer: ModelFacts | None = None
    eager: bool = False
    unpadded: bool = False
    masked: bool = False
    chunk: int | None = None
    images: tuple[ImageShape, ...] = ()
    head_parts: int = 1


def score_bytes(scores: int, each: int, parts: int) -> int:
    """Bytes of scores as an output layer gives them.

    Where devices divide its weights a device has its own share, receives the shares of all, and puts these together.

    Args:
        scores: Numbers of all.
        each: Bytes of one.
        parts: How many devices divide it.
    """
    return each * scores if parts == 1 else each * (2 * scores + -(-scores // parts))


def evaluation_moments(
    model: ModelFacts, measuring: EvaluationInputs, head_width: int, numbers: Numbers, trained: Trained
) -> Iterator[tuple[str, dict[str, int]]]:
    """The moments at which measuring can be largest, each with what it holds beside weights and optimizer.

    Args:
        model: The base model.
        measuring: Rows and lengths.
        head_width: Outputs of the last layer.
        numbers: Bytes of elements.
        trained: What is trained in the layers.
    """
    rows, length, target = measuring.rows, measuring.length, measuring.target_length
    kinds = {"eager": measuring.eager, "unpadded": measuring.unpadded, "masked": measuring.masked}
    stacks = stacks_of(model, rows * length, length, target, **kinds)
    largest = max(going_through(stack, numbers, trained).largest for stack in stacks)
    yield _LAYERS, {"temporaries": largest}
    yield _LAST_NORM, {"temporaries": passing_norm(stacks[-1], numbers)}
    places = rows * measuring.scored
    scores = min(places, measuring.chunk or places) * head_width
    wide = head_width == model.vocab_size
    # Scores in float32 and their logarithms; those of a bounded head, or of a narrower number, are gone by then.
    size = max(2 * _FP32 * scores, score_bytes(scores, numbers.operand, measuring.head_parts if wide else 1))
    yield _HEAD, {"logits": size} if wide else {"temporaries": size}
    own = (model, stacks, trained)
    writes = own
    if (teacher := measuring.writer) is not None:
        theirs = stacks_of(teacher, rows * length, length, target, **kinds)
        writes = (teacher, theirs, Trained(all_weights=False, beside={}))
    for name, tokens, (writer, through, learned), held in (
        ("generation", measuring.new_tokens, own, {"optimiser state": 0}),  # once training is over
        ("sampling", measuring.trained_tokens, writes, {}),
    ):
        if tokens:
            for moment, size in _writing(writer, measuring, tokens, through, numbers, learned):
                yield f"{name}: {moment}", {**held, "temporaries": size}


def with_last_norm(moments: Mapping[str, Moment]) -> dict[str, Moment]:
    """The moments without the one at the norm behind all layers, which is part of the head: the larger one of both."""
    norm, head = moments.get(_LAST_NORM, {}), moments.get(_HEAD, {})
    larger = max(norm, head, key=lambda one: sum(one.values()))
    return {name: larger if name == _HEAD else one for name, one in moments.items() if name != _LAST_NORM}


def _writing(
    model: ModelFacts, measuring: EvaluationInputs, tokens: int, stacks: list[Stack], numbers: Numbers, trained: Trained
) -> Iterator[tuple[str, int]]:
    """Bytes of the pass over all prompts, and of the last token, before which keys and values are most."""
    each = _kv_cache_bytes(model, numbers, trained)
    rows, more = measuring.rows, max(tokens - 1, 0)
    writer = stacks[-1]
    prompts = rows * (measuring.length - measuring.target_length)
    begun = prompts * writer.layers * each  # of an encoder-decoder what the decoder looks at, in each of its layers
    if model.num_decoder_layers is None:
        reading = going_through(writer, numbers, trained).beside_cache(prompts * each)
    else:
        yield "encoder", going_through(stacks[0], numbers, trained).largest
        reading = prompts * numbers.residual * model.hidden_size
    grown = begun + rows * more * writer.layers * each
    longer = grown // max(writer.layers, 1)  # a layer's keys and values are copied to a place for one more token
    yield "prompts", begun + reading
    yield "last token", grown + longer


def _kv_cache_bytes(model: ModelFacts, numbers: Numbers, trained: Trained) -> int:
    """Keys and values of one token in one layer: what linear layers give, keys wider where rotation widens them."""
    widens = trained.all_weights and rotates(model) and model.kind.widens_keys is not False
    turned = numbers.residual if widens else numbers.linear
    return model.num_kv_heads * model.head_dim * (turned + numbers.linear)


_TOKENS_EACH = 4


def grading_peak(draft: ClosedDraft) -> PhasePeak | None:
    """The classifier's weights with its widest layer, beside a candidate; None without one."""
    model, settings = draft.grader, draft.classifier
    if model is None or settings is None:
        return None
    most = draft.eval.max_new_tokens
    length = settings.max_length if most is None else min(settings.max_length, _TOKENS_EACH * most)
    rows = 1 if settings.pad_id is None else draft.candidate.eval_batch
    has_decoder = model.num_decoder_layers is not None
    both = length * (1 + has_decoder)
    stacks = stacks_of(model, rows * both, both, length * has_decoder, masked=rows > 1)
    exact = Numbers(operand=_FP32, linear=_FP32, residual=_FP32)
    untrained = Trained(all_weights=False, beside={})
    held = {
        "weights": _FP32 * model.num_parameters,
        "temporaries": max(going_through(stack, exact, untrained).largest for stack in stacks),
        "logits": _FP32 * rows * settings.num_labels,
    }
    return PhasePeak(phase="grade", peak_bytes=sum(held.values()), components=held)


_AT_ONCE = 2**24
"""Scores that are compared at once; see `ftc.runtime.training.distillation`."""
_PASSING = 5
"""Tensors of so many scores that are there at once while they are compared."""
_WITHOUT = ("export", "generation")
"""How moments begin that come after training, when the teacher has gone."""

Moment = Mapping[str, int]


class TeacherInputs(NamedTuple):
    """A teacher in terms of memory.

    Attributes:
        weights: Bytes that it is held in.
        scores: Numbers that it gives for one micro-batch, or for a chunk of it; 0 where it is not asked for any.
        states: Bytes that are kept of it between chunks.
        loading: Bytes that pass through the device's memory while it is loaded, beside its weights.
    """

    weights: int
    scores: int
    states: int = 0
    loading: int = 0


def held_bytes(model: ModelFacts, precision: TypeName, quantization: TeacherQuantization | None) -> int:
    """Bytes of a teacher's weights; of a packed one embeddings, norms and the head stay as they are."""
    size = number_type(precision).size
    if quantization is None:
        return model.num_parameters * size
    linear = sum(inputs * outputs for inputs, outputs in model.linear_modules.values()) - never_packed(model)
    rows = sum(outputs for _, outputs in model.linear_modules.values()) if quantization == "int8" else 0
    return round(linear * PACKED_BYTES[quantization] + _FP32 * rows + (model.num_parameters - linear) * size)


def with_teacher(
    moments: Mapping[str, Moment], taught: TeacherInputs, *, scores: int, compared: Moment, chunked: bool = False
) -> dict[str, Moment]:
    """The moments of a step with a teacher in them, and two more: when it is asked, and when the two are compared.

    Args:
        moments: Those without it.
        taught: The teacher.
        scores: Numbers that the model gives for one micro-batch, or for a chunk of it.
        compared: What is held at the loss beside scores.
        chunked: Whether the two are compared chunk by chunk, at the end of the way forward.
    """
    said, own = _FP32 * taught.scores, _FP32 * scores
    passing = _PASSING * _FP32 * min(scores, _AT_ONCE)
    asked = {"gradients": compared.get("gradients", 0), "logits": 0 if chunked else 3 * said}
    found: dict[str, Moment] = {"teacher": asked} if said else dict(moments)
    for name, moment in moments.items() if said else ():
        is_loss, is_forward = name.startswith("backward: loss"), name.startswith("forward")
        more = {"temporaries": taught.states if is_forward or is_loss else 0, "logits": 0}
        if chunked and name == "forward: head":
            more = {"temporaries": taught.states + passing, "logits": own + 3 * said}
        elif not chunked:
            more["logits"] = said if is_forward else own if is_loss else 0
            if is_loss:  # between forward and backward pass
                at_loss = compared.get("temporaries", 0) + passing
                found["loss"] = {**compared, "logits": 3 * own + said, "temporaries": at_loss}
        found[name] = {**moment, **{part: moment.get(part, 0) + size for part, size in more.items()}}
    return {
        name: moment if name.startswith(_WITHOUT) else {**moment, "teacher": taught.weights}
        for name, moment in found.items()
    }
