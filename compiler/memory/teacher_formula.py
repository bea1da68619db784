"""What a teacher takes of memory, from shapes alone: its weights, what it says, and what is made of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ftc.compiler.memory.quantized_weights import PACKED_BYTES, never_packed
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.sections.train import Precision, TeacherQuantization

__all__ = ["Taught", "held_bytes", "with_teacher"]

_FP32 = 4
_BYTES = {"float32": 4, "bfloat16": 2}
_AT_ONCE = 2**24
"""Scores that are compared at once; see `ftc.runtime.training.distillation`."""
_PASSING = 5
"""Tensors of so many scores that are there at once while they are compared."""
_WITHOUT = ("export", "generation")
"""How moments begin that come after training, when the teacher has gone."""

Moment = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Taught:
    """A teacher in terms of memory.

    Attributes:
        weights: Bytes that it is held in.
        scores: Numbers that it gives for one micro-batch.
    """

    weights: int
    scores: int


def held_bytes(model: ModelFacts, precision: Precision, quantization: TeacherQuantization | None) -> int:
    """Bytes of a teacher's weights; of a packed one embeddings, norms and the head stay as they are."""
    size = _BYTES[precision]
    if quantization is None:
        return model.num_parameters * size
    linear = sum(inputs * outputs for inputs, outputs in model.linear_modules.values()) - never_packed(model)
    rows = sum(outputs for _, outputs in model.linear_modules.values()) if quantization == "int8" else 0
    return round(linear * PACKED_BYTES[quantization] + _FP32 * rows + (model.num_parameters - linear) * size)


def with_teacher(moments: Mapping[str, Moment], taught: Taught, *, scores: int, compared: Moment) -> dict[str, Moment]:
    """The moments of a step with a teacher in them, and two more: when it is asked, and when the two are compared.

    Args:
        moments: Those without it.
        taught: The teacher.
        scores: Numbers that the model gives for one micro-batch.
        compared: What is held at the loss beside scores.
    """
    said, own = _FP32 * taught.scores, _FP32 * scores
    asked = {"gradients": compared.get("gradients", 0), "logits": 3 * said}
    passing = compared.get("temporaries", 0) + _PASSING * _FP32 * min(scores, _AT_ONCE)
    found: dict[str, Moment] = {"teacher": asked}
    for name, moment in moments.items():
        if name.startswith("backward: loss"):  # between the way forward and the way back
            found["loss"] = {**compared, "logits": 3 * own + said, "temporaries": passing}
        more = said if name.startswith("forward") else own if name.startswith("backward: loss") else 0
        found[name] = {**moment, "logits": moment.get("logits", 0) + more}
    return {
        name: moment if name.startswith(_WITHOUT) else {**moment, "teacher": taught.weights}
        for name, moment in found.items()
    }
