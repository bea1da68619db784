"""A run's adapter as part of its base model's weights: what was merged, what came out, and how alike both answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from ftc.spec.base import Document, Real
from ftc.spec.documents.facts import FileFacts
from ftc.spec.names import InsidePath
from ftc.spec.precisions import NUMBER_TYPES, TypeName

__all__ = ["MERGE_FILE", "Agreement", "Held", "MergedModel", "Room", "WeightType"]

MERGE_FILE = "merge.json"
"""Where the document lies, in the merged model's folder."""

WeightType: TypeAlias = TypeName
"""Type of the merged model's weights."""

if TYPE_CHECKING:
    Held = str
else:
    _ROUNDED = (f"rounded to {one.name}" for one in NUMBER_TYPES if one.size < NUMBER_TYPES[0].size)
    _WHOLE = (f"dequantized to {one.name}" for one in NUMBER_TYPES)
    Held = Literal[("as stored", *_ROUNDED, *_WHOLE, "unpacked from nf4", "unpacked from fp4", "unpacked from int8")]
"""What the adapter was added to: the base model's weights, as the run had them."""


class Agreement(Document):
    """How far what was written says what the base says with the adapter beside it.

    Both answer the same rows by the run's own scorer and in the run's own precision, one after the other.
    """

    split: Literal["train", "validation", "fixed texts"]
    """Whose rows they are; test rows stay sealed. A run that was pulled came without, and is asked fixed texts."""
    rows: int
    scores: int
    """Scores, of the head's outputs at each place where something is predicted, that were compared."""
    largest_difference: Real
    """Of two scores of one output at one place."""
    spread: Real
    """Largest score of the base with its adapter less the smallest: what a difference is held against."""
    share: Real
    """The largest difference by the spread."""
    allowed: Real
    """The most that the share may be."""
    choices: int
    """Places at which one output is the highest, or each output of several labels."""
    same_choices: int

    @property
    def holds(self) -> bool:
        """Whether the merged model may stand for the other."""
        return self.share <= self.allowed


class Room(Document):
    """What a merge takes, from sizes that are known before."""

    memory_bytes: int
    """Memory of its own that the process takes at its peak."""
    mapped_bytes: int
    """Weights that are read from their file where they are needed, which the system drops when it needs room."""
    disk_bytes: int


class MergedModel(Document):
    """A merged model, `merge.json` in its folder. It has no clock in it: equal merges give equal bytes."""

    schema_: Literal["ftc.merge/1"] = Field(default="ftc.merge/1", alias="schema")
    ftc_version: str
    """What merged it."""
    packages: dict[str, str]
    """Versions of the libraries that did."""
    name: str
    """Name of the recipe's job."""
    run_id: str
    job_sha256: str
    record_sha256: str
    """The record of the run whose adapter it is."""
    strategy: str
    adapter_sha256: str
    """Digest of the adapter's tensors, which the record names."""
    base: str
    """The base model as the recipe has it."""
    base_commit: str | None
    base_content_sha256: str
    """Digest of the base model's tensors, which the lock names."""
    added_to: Held
    weight_type: WeightType
    num_parameters: int
    content_sha256: str
    """Digest of the merged tensors, however they are divided among files."""
    files: dict[InsidePath, FileFacts]
    """Every file of the folder but this one and the card."""
    agreement: Agreement
    notes: tuple[str, ...] = ()
    """What somebody who uses it should know."""

    @property
    def weight_files(self) -> dict[InsidePath, FileFacts]:
        """Those that hold weights."""
        return {name: facts for name, facts in self.files.items() if name.endswith(".safetensors")}

    @property
    def weight_bytes(self) -> int:
        """Size of all of them."""
        return sum(facts.size for facts in self.weight_files.values())
