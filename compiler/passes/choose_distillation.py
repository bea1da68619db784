"""The teacher: how it is loaded, which of its outputs stand for which labels, and how much it counts."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.spec.documents.facts import TeacherFacts
from ftc.spec.documents.settings import DistillationSettings, TeacherSettings
from ftc.spec.heads import head_card

__all__ = ["choose_distillation"]

_PATH = "train.distillation"


def choose_distillation(draft: Draft) -> Draft:
    """Settles everything under `train.distillation`."""
    asked, teacher = draft.recipe.train.distillation, draft.teacher
    if asked is None or teacher is None:
        why = draft.reasons("train")
        nothing = why.derive("distillation", None, "no teacher: the rows alone are learned from")
        return draft.settle("distillation", nothing, why)
    why = draft.reasons(_PATH)
    labels = () if head_card(draft.loaded.head).writes else draft.labels  # what is written is tokens, labels too
    section = DistillationSettings(
        teacher=why.derive("teacher", _settings(teacher, labels), "files and labels of the teacher"),
        loss=why.take("loss", asked.loss),
        temperature=why.take("temperature", asked.temperature),
        weight=why.take("weight", asked.weight),
        precision=(
            why.derive("precision", draft.train.precision, "the precision of the run")
            if asked.precision == "auto"
            else why.take("precision", asked.precision)
        ),
        quantization=why.take("quantization", asked.quantization),
    )
    return _check_license(draft.settle("distillation", section, why), teacher)


def _settings(teacher: TeacherFacts, labels: tuple[str, ...]) -> TeacherSettings:
    model = teacher.model
    place = {label: number for number, label in enumerate(teacher.labels)}
    return TeacherSettings(
        base=model.name,
        commit=model.commit,
        files=model.files,
        architecture=model.architecture,
        family=model.family,
        num_parameters=model.num_parameters,
        license=model.license,
        outputs=tuple(place.get(label, number) for number, label in enumerate(labels)),
    )


def _check_license(draft: Draft, teacher: TeacherFacts) -> Draft:
    allowed, found = draft.recipe.model.license, teacher.model.license
    if allowed is None or found in allowed.allow:
        return draft
    return draft.find(
        "FTC401",
        f"the teacher's license is {found or 'not stated'}, the recipe allows {', '.join(allowed.allow)}",
        f"{_PATH}.teacher",
        help="choose another teacher" if found is None else f"choose another teacher, or add `{found}` to the list",
    )
