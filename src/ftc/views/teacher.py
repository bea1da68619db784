"""What a run learns from beside its rows, in words."""

from __future__ import annotations

from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.cells import escaped

__all__ = ["teacher_parts"]

_LOSSES = {"forward_kl": "forward KL", "reverse_kl": "reverse KL", "jsd": "JSD"}


def teacher_parts(plan: Plan) -> list[str]:
    """The teacher, how it counts, and how it is held; empty where the rows alone teach."""
    lesson = plan.settings.train.distillation
    if lesson is None:
        return []
    teacher = lesson.teacher
    license = escaped(teacher.license or "no licence")
    held = f"packed into {lesson.quantization}" if lesson.quantization else f"in {lesson.precision}"
    return [
        f"{escaped(teacher.base)} {numbers.magnitude(teacher.num_parameters)} ({license})",
        f"{100 * lesson.weight:.3g} % of the loss" if lesson.weight < 1 else "the whole loss",
        f"{_LOSSES[lesson.loss]} at temperature {lesson.temperature:g}",
        held,
    ]
