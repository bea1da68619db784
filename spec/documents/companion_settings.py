"""Models beside the trained one that read written answers, and a list of synonyms, with nothing left open."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field

from ftc.spec.architectures import Family
from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.documents.facts import FileFacts, ModelFacts
from ftc.spec.documents.reward_models import StepReading
from ftc.spec.names import InsidePath

__all__ = ["ClassifierSettings", "CompanionModel", "RewardModelSettings", "WordnetSettings"]


class CompanionModel(Document):
    """A language model that is loaded beside the trained one."""

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

    @classmethod
    def of(cls, model: ModelFacts, **own: Any) -> Self:
        """The settings of a model, with what its role adds to them."""
        return cls(
            base=model.name,
            commit=model.commit,
            files=model.files,
            architecture=model.architecture,
            family=model.family,
            num_parameters=model.num_parameters,
            license=model.license,
            **own,
        )


class ClassifierSettings(Document):
    """Which classifier looks at written answers, and what of it counts."""

    base: str
    """Folder in the project, or id on the hub."""
    commit: str | None
    """Commit of a hub snapshot; None for a folder."""
    files: dict[InsidePath, FileFacts]
    """Every file that loading reads, by its path inside the folder."""
    label: str
    label_id: int
    """Place of the label among the classifier's outputs."""
    num_labels: int
    single: bool
    """Whether an answer has the likeliest label alone; else each label whose probability is at least a half."""
    max_length: int
    """Longest answer that it can read, in tokens; of a longer one it reads the beginning."""
    pad_id: int | None
    """None where it can't read answers of several lengths at once."""


class RewardModelSettings(CompanionModel, SparseDocument):
    """The reward model as it is loaded."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("run", "mean", "spread", "steps")

    run: str | None = None
    """Id of the run that trained it; absent where it is named by its folder or id."""
    mean: Real = 0.0
    """What its score is above the model's output times `spread`: the mean of the numbers that it was trained on. Absent
    where the output is the score."""
    spread: Real = Field(default=1.0, gt=0)
    """What the output is multiplied by: the standard deviation of these numbers. Absent as above."""
    steps: StepReading | None = None
    """How it scores an answer by its steps; absent for one that scores whole answers."""
    max_length: int
    """Longest row that it can read, in tokens; of a longer one it reads the end."""
    frames_sha256: str
    """Digest of the text around the answers, as its own template writes it."""


class WordnetSettings(Document):
    """Which WordNet METEOR takes synonyms from."""

    release: str
    """WordNet's release, such as `3.0`; empty where its files don't state it."""
    sha256: str
    """Digest of its files."""
