"""The lock: what the recipe asked for beside what that stood for, so that next year it stands for the same.

It holds no clock, host, user or absolute path, and one seal for each section, so that edits of different sections
merge and the same inputs give the same bytes anywhere.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ftc.spec import canonical
from ftc.spec.base import Document
from ftc.spec.facts import EnvironmentFacts, FileFacts

__all__ = ["SECTIONS", "DataLock", "Lock", "LockedSplit", "ModelLock", "SourceLock", "TextLock", "TrainLock", "sealed"]

SECTIONS = ("model", "text", "data", "train", "platforms")
"""Sections in the order in which they are shown."""


class ModelLock(Document):
    """The base model's files."""

    asked: dict[str, Any]
    """`base` and `revision` as the recipe has them."""
    commit: str | None
    files: dict[str, FileFacts]
    num_parameters: int
    license: str | None


class TextLock(Document):
    """How text becomes tokens."""

    asked: dict[str, Any]
    """`task` as the recipe has it."""
    chat_template_sha256: str | None
    """Digest of the template's text."""
    max_length: int
    labels: tuple[str, ...]
    tokenizer_files: dict[str, str]
    """sha256 by file name."""


class SourceLock(Document):
    """One data file."""

    asked: dict[str, Any]
    """The source as the recipe has it."""
    commit: str | None
    file: FileFacts
    rows: int
    rows_sha256: str
    """Digest over the rows in their order, whatever the file format."""


class LockedSplit(Document):
    """One part of the data, as the run sees it."""

    rows: int
    tokens: int
    stream_sha256: str
    """Digest over token ids, mask and boundaries."""


class DataLock(Document):
    """The data's files, rows and token streams."""

    asked: dict[str, Any]
    """`data` as the recipe has it."""
    sources: dict[str, SourceLock]
    """By use: `rows` for the main source, `validation` and `test` for files of their own."""
    splits: dict[str, LockedSplit]


class TrainLock(Document):
    """Every value of the run that can change its result."""

    asked: dict[str, Any]
    """`strategy`, `train` and `eval` as the recipe has them."""
    settings: dict[str, Any]
    """The values that these stood for."""


class Lock(Document):
    """The lock file, `NAME.lock.json` beside the recipe."""

    schema_: Literal["ftc.lock/1"] = Field(default="ftc.lock/1", alias="schema")
    model: ModelLock
    text: TextLock
    data: DataLock
    train: TrainLock
    platforms: dict[str, EnvironmentFacts]
    """Interpreter and packages by platform tag; one lock serves several machines."""
    seals: dict[str, str] = Field(default_factory=dict)
    """sha256 of each section's canonical form."""

    def expected_seals(self) -> dict[str, str]:
        """The seals that the sections' contents call for."""
        sections = self.to_json()
        return {name: canonical.digest(sections[name]) for name in SECTIONS}


def sealed(lock: Lock) -> Lock:
    """A copy with right seals."""
    return lock.model_copy(update={"seals": lock.expected_seals()})
