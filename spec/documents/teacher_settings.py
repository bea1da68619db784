"""A teacher with nothing left open: which model it is, and how much of what it says counts."""

from __future__ import annotations

from ftc.spec.architectures import Family
from ftc.spec.base import Document, Real
from ftc.spec.documents.facts import FileFacts
from ftc.spec.names import InsidePath
from ftc.spec.sections.train import Divergence, Precision, TeacherQuantization

__all__ = ["DistillationSettings", "TeacherSettings"]


class TeacherSettings(Document):
    """The teacher as it is loaded."""

    base: str
    """Folder in the project, or id on the hub."""
    commit: str | None
    """Commit of a hub snapshot; None for a folder."""
    files: dict[InsidePath, FileFacts]
    """Every file that loading reads, by its path inside the folder."""
    architecture: str
    family: Family
    num_parameters: int
    license: str | None
    outputs: tuple[int, ...]
    """Which of its outputs stands for each of the run's labels, in their order; empty without a head for labels."""


class DistillationSettings(Document):
    """What is learned from a teacher, and how much it counts."""

    teacher: TeacherSettings
    loss: Divergence
    temperature: Real
    weight: Real
    """Share of the teacher in the loss of a target."""
    precision: Precision
    """What the teacher's weights are held in."""
    quantization: TeacherQuantization | None
    """What its linear layers are packed into; None for nothing."""
