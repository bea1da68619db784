"""The teacher: how it is loaded, which of its outputs stand for which labels, and how much it counts."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.spec.documents.facts import TeacherFacts
from ftc.spec.documents.settings import TeacherSettings
from ftc.spec.heads import head_card

__all__ = ["choose_distillation"]

_PATH = "train.distillation"


def choose_distillation(draft: Draft) -> Draft:
    """Settles everything under `train.distillation`."""
    asked, teacher = draft.recipe.train.distillation, draft.teacher
    if asked is None or teacher is None:
        return draft.derive(_PATH, None, "no teacher: the rows alone are learnt from")
    for name in ("loss", "temperature", "weight", "quantization"):
        draft = draft.take(f"{_PATH}.{name}")
    if asked.precision == "auto":
        draft = draft.derive(f"{_PATH}.precision", draft.values["train.precision"], "the precision of the run")
    else:
        draft = draft.take(f"{_PATH}.precision")
    labels = () if head_card(draft.loaded.head).writes else draft.labels  # what is written is tokens, labels too
    draft = draft.derive(f"{_PATH}.teacher", _settings(teacher, labels), "files and labels of the teacher")
    return _check_license(draft, teacher)


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
        f"the teacher's licence is {found or 'not stated'}, the recipe allows {', '.join(allowed.allow)}",
        f"{_PATH}.teacher",
        help="choose another teacher" if found is None else f"choose another teacher, or add `{found}` to the list",
    )
