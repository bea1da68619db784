"""What is learned from a teacher."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.divergences import divergence_card
from ftc.spec.documents.facts import TeacherFacts
from ftc.spec.documents.loss_settings import DistillationSettings, TeacherSettings
from ftc.spec.heads import head_card
from ftc.spec.precisions import precision_card
from ftc.spec.sections.distillation import Distillation

__all__ = ["choose_distillation"]

_PATH = "train.distillation"


def choose_distillation(draft: Draft) -> Draft:
    """Settles everything under `train.distillation`."""
    asked, teacher = draft.recipe.train.distillation, draft.teacher
    if asked is None or teacher is None:
        why = draft.reasons("train")
        nothing = why.derive("distillation", None, "no teacher: the model is trained only on the rows")
        return draft.settle("distillation", nothing, why)
    why = draft.reasons(_PATH)
    labels = () if head_card(draft.loaded.head).writes else draft.labels  # what is written is tokens, labels too
    more: dict[str, Any] = {name: why.take(name, getattr(asked, name)) for name in divergence_card(asked.loss).reads}
    for key in ("on_policy", "seq_kd"):
        if (written := getattr(asked, key)) is not None:
            more[key] = written
            for name in type(written).model_fields:
                why.take(f"{key}.{name}", getattr(written, name))
    if draft.taught_sha256 is not None:
        more["stream_sha256"] = why.derive("stream_sha256", draft.taught_sha256, "the rows in the teacher's own tokens")
    section = DistillationSettings(
        teacher=why.derive("teacher", _settings(teacher, labels), "files and labels of the teacher"),
        loss=why.take("loss", asked.loss),
        temperature=_own_probabilities(asked, why, "temperature"),
        weight=_own_probabilities(asked, why, "weight"),
        precision=(
            why.derive("precision", precision_card(draft.train.precision).frozen.name, "the precision of the run")
            if asked.precision == "auto"
            else why.take("precision", asked.precision)
        ),
        quantization=why.take("quantization", asked.quantization),
        **more,
    )
    return draft.settle("distillation", section, why)


def _own_probabilities(asked: Distillation, why: Reasons, name: str) -> float:
    """Temperature or weight, whose default differs where answers are written."""
    value: float = getattr(asked, name)
    if name not in asked.model_fields_set:
        if asked.on_policy is not None:
            return why.derive(name, value, "with `on_policy` the teacher's own probabilities are all that counts")
        if divergence_card(asked.loss).by_rank and name == "temperature":
            return why.derive(name, value, "probabilities are compared as they are")
        if asked.seq_kd is not None and name == "weight":
            return why.derive(name, value, "with `seq_kd` the teacher's answers are all that counts")
    return why.take(name, value)


def _settings(teacher: TeacherFacts, labels: tuple[str, ...]) -> TeacherSettings:
    place = {label: number for number, label in enumerate(teacher.labels)}
    outputs = tuple(place.get(label, number) for number, label in enumerate(labels))
    return TeacherSettings.of(teacher.model, outputs=outputs, quantized_files=teacher.model.quantized_files)
