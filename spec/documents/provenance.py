"""Where weights come from, in their file's own header: what made them, so that a stray file can be traced.

The record can't stand in it, since the record holds the file's digest. The job's digest can: it is of everything that
decides about the weights, and record and ledger confirm it. It is the same for each repetition of a job, so that equal
weights stay equal bytes.

A signed folder stands here too: what `ftc run sign` made and what `ftc run verify` found to hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, ValidationError

from ftc.spec import canonical
from ftc.spec.base import Document, SparseDocument
from ftc.spec.documents.plan import Plan
from ftc.spec.version import VERSION

__all__ = ["METADATA_KEY", "Origin", "Provenance", "SignedFolder", "header_text", "provenance_of", "read_provenance"]

METADATA_KEY = "ftc"
"""Key in the header of a safetensors file; the value is canonical JSON."""


class Provenance(SparseDocument):
    """What made a file of weights."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("parent_run", "parent_weights_sha256")

    job_sha256: str
    """Digest of what was executed; its first 12 digits name the run."""
    name: str
    """Name of the recipe's job."""
    recipe_file: str
    """Path of the recipe relative to the project's root."""
    recipe_sha256: str
    """Digest of the recipe's meaning."""
    base: str
    """The base model as the recipe has it."""
    base_commit: str | None
    base_content_sha256: str
    """Digest of the base model's tensors."""
    teacher: str | None = None
    """The teacher as the recipe has it; None where rows alone taught."""
    teacher_files_sha256: dict[str, str] | None = None
    """Digest of each of the teacher's files of weights."""
    rows_sha256: dict[str, str]
    """Digest of the rows by their use."""
    adapter_sha256: str | None = None
    """Digest of the adapter's tensors that were merged into the base; None in what the run itself left."""
    parent_run: str | None = None
    """The run whose adapter was trained further, or on whose merged model this one's stands; None for a plain base."""
    parent_weights_sha256: str | None = None
    """Digest of the tensors that it left."""
    ftc_version: str

    @property
    def run_id(self) -> str:
        """Name of the run, but for a number behind it where the job was repeated."""
        return self.job_sha256[:12]


class Origin(Document):
    """Where a file of weights comes from, `ftc provenance --json`."""

    file: str
    sha256: str
    content_sha256: str
    """Digest over the tensors, whatever else the file says."""
    says: Provenance | None
    """What the file's own header says."""
    runs: tuple[str, ...]
    """Runs of this project whose record names these weights, or whose adapter was merged into them."""
    is_merged: bool = False
    """Whether the project's ledger knows them as a base model with an adapter merged into it."""
    parents: dict[str, str] = Field(default_factory=dict)
    """Runs of this project that made the base model, the teacher or the adapter that was continued, by which it is."""
    confirmed: Literal["same bytes", "same tensors", "no record here"]
    """How far the records of this project confirm it."""


def provenance_of(plan: Plan) -> Provenance:
    """What weights that a plan's run makes say of themselves."""
    return Provenance(
        job_sha256=plan.job_sha256(),
        name=plan.name,
        recipe_file=plan.recipe_file,
        recipe_sha256=plan.recipe.digest(),
        base=plan.settings.model.base,
        base_commit=plan.lock.model.commit,
        base_content_sha256=plan.lock.model.content_sha256,
        teacher=asked.teacher if (asked := plan.recipe.train.distillation) else None,
        teacher_files_sha256={
            name: file.sha256 for name, file in lesson.teacher.files.items() if name.endswith(".safetensors")
        }
        if (lesson := plan.settings.train.distillation)
        else None,
        rows_sha256={use: source.rows_sha256 for use, source in plan.lock.data.sources.items()},
        parent_run=parent.run_id if (parent := plan.settings.model.parent) else None,
        parent_weights_sha256=parent.weights_sha256 if parent else None,
        ftc_version=plan.ftc_version,
    )


def read_provenance(metadata: Mapping[str, object]) -> Provenance | None:
    """What a file's header says, or None where it says nothing that can be read."""
    text = metadata.get(METADATA_KEY)
    try:
        return Provenance.model_validate_json(text) if isinstance(text, str) else None
    except ValidationError:
        return None


def header_text(provenance: Provenance) -> str:
    """The header's value."""
    return canonical.to_bytes(provenance.to_json()).decode()


class SignedFolder(Document):
    """A folder whose signature holds, `ftc run verify --json`."""

    schema_: Literal["ftc.signature/1"] = Field(default="ftc.signature/1", alias="schema")
    ftc_version: str = VERSION
    folder: str
    """As it was named."""
    signature: str
    """The signature's file, as it was named."""
    key_sha256: str
    """Digest of the public key, by which a signature names it: of its PEM text."""
    files: int
    """Files that are signed."""
    files_sha256: str
    """Digest over the digests of all signed files."""
    not_covered: tuple[str, ...]
    """Paths in the folder that the signature leaves out, whether they are there or not."""
