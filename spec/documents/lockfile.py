"""The lock: what the recipe asked for beside what that stood for, so that next year it stands for the same.

It holds no clock, host, user or absolute path. Each section ends in a seal over its own contents, and no line belongs
to the whole: two branches that touch different sections merge without a conflict, and the same inputs give the same
bytes anywhere. The seals catch slips; against intent there is `ftc run sign`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from ftc.spec import canonical
from ftc.spec.base import Document, SparseDocument
from ftc.spec.documents.facts import EnvironmentFacts, FileFacts
from ftc.spec.names import InsidePath

__all__ = [
    "LOCK_FORMAT",
    "SECTIONS",
    "DataLock",
    "HostedLock",
    "LengthLock",
    "Lock",
    "LockedSplit",
    "ModelLock",
    "PlatformLock",
    "Section",
    "SourceLock",
    "TextLock",
    "TrainLock",
    "is_weight_file",
    "sealed",
]

LOCK_FORMAT = "ftc.lock/2"
"""The format that this release writes; `ftc lock --migrate` brings an older one up to it."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

SECTIONS = ("model", "text", "data", "train", "length")
"""Sections that every lock has one of, in the order in which they are shown; a hosted job's and platforms come behind
them."""


def is_weight_file(name: str) -> bool:
    """Whether a model's file holds tensors or tells which file holds them: its meaning is the content digest's."""
    return name.endswith((".safetensors", ".safetensors.index.json"))


class Section(Document):
    """A part of the lock that merges by itself."""

    seal: str = ""
    """sha256 of the canonical form of what differs from the defaults, without this field: so that a lock of an earlier
    release stays whole when a section gets a field."""

    def expected_seal(self) -> str:
        """The seal that the contents call for."""
        plain = self.said()
        plain.pop("seal", None)
        return canonical.digest(plain)

    def sealed(self) -> Self:
        """A copy with the right seal."""
        return self.model_copy(update={"seal": self.expected_seal()})


class ModelLock(Section):
    """The base model."""

    asked: dict[str, Any]
    """`base` and `revision` as the recipe has them."""
    commit: str | None
    """Commit of a hub snapshot; None for a folder, whose files say all."""
    files: dict[InsidePath, FileFacts]
    """Every file that loading reads, by its path inside the folder."""
    header_sha256: str = ""
    """Digest over names, types and shapes of all tensors: the kind of model, whatever its values."""
    content_sha256: str = ""
    """Digest over names, types, shapes and bytes of all tensors. It doesn't depend on how they are spread over files,
    nor on the order or the remarks in a file's header."""
    num_parameters: int
    license: str | None
    settings: dict[str, Any] = Field(default_factory=dict)
    """How the model is loaded: architecture, head, attention and tokens that end an answer."""

    def identity(self) -> dict[str, Any]:
        """What the model is, whatever files its tensors are spread over: their content, and every other file."""
        other = {name: facts.sha256 for name, facts in self.files.items() if not is_weight_file(name)}
        return {"tensors": self.content_sha256, "files": other}


class TextLock(Section):
    """How text becomes tokens."""

    asked: dict[str, Any]
    """`task` as the recipe has it, without what it leaves to defaults."""
    chat_template_sha256: str | None
    """Digest of the template's text."""
    render_probe_sha256: str | None = None
    """Digest of what the template makes of fixed conversations; None without a template that can render them. The
    sandbox gives templates no clock, so that the day can't matter."""
    tokenizer_files: dict[str, str]
    """sha256 by file name."""
    tokenizer_probe_sha256: str = ""
    """Digest of the ids that the tokenizer gives for fixed texts: how it behaves with the library installed here."""
    special_tokens: dict[str, int | None] = Field(default_factory=dict)
    """Ids of the tokens that begin, end and pad."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Form, longest sequence, labels and what else shapes the text."""


class SourceLock(SparseDocument):
    """One data file."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("class_names",)

    asked: dict[str, Any]
    """The source as the recipe has it."""
    commit: str | None
    chosen: str | None = None
    """The file inside the hub's data set, where the recipe names none."""
    file: FileFacts
    """Of a folder or a pattern the size of all files, and a digest over their names and digests."""
    files: dict[InsidePath, FileFacts] = Field(default_factory=dict)
    """Every file of a folder or a pattern, by its name or address as rows have it; empty for a single file."""
    rows: int
    """Rows of the file, empty ones included."""
    dropped_rows: int = 0
    """Rows that `data.empty: drop` leaves out."""
    rows_sha256: str
    """Digest over the rows in their order, whatever the file format."""
    rows_unordered_sha256: str = ""
    """Digest over the same rows that doesn't depend on their order: equal for a file that was merely shuffled."""
    class_names: dict[str, tuple[str, ...]] | None = Field(default_factory=dict)
    """Names of the classes that columns hold as numbers, by column and in the order of the numbers, as the README.md of
    the commit gives them; absent from the file where it gives none. Digests are those of rows with their numbers. None
    where it wasn't here to be read, which is no matter as long as no column of a task holds numbers."""

    def each_file(self, use: str) -> Iterator[tuple[str, str, FileFacts]]:
        """Key, name and facts of every file: the key is the use, with the file's name where there are several."""
        if not self.files:
            yield use, str(self.asked.get("path") or self.asked.get("hub")), self.file
        for name, facts in self.files.items():
            yield f"{use}: {name}", name, facts

    @property
    def is_at_address(self) -> bool:
        """Whether the files are fetched from an address, such as `s3://bucket/rows.jsonl`."""
        return _ADDRESS.match(str(self.asked.get("path", ""))) is not None

    @property
    def file_in_repository(self) -> str:
        """Path of the file inside the hub's data set; empty for a file beside the recipe."""
        return str(self.asked.get("file") or self.chosen or "")


class LockedSplit(Document):
    """One part of the data, as the run sees it."""

    rows: int
    tokens: int
    truncated_rows: int = 0
    """Rows cut at the longest length."""
    dropped_rows: int = 0
    """Rows that give no tokens."""
    stream_sha256: str
    """Digest over token ids, mask and boundaries."""


class ImagesLock(Document):
    """The image files that rows name; images inside of data files are pinned with these."""

    files: int
    bytes: int
    sha256: str
    """Digest over path and sha256 of each file."""


class DataLock(Section, SparseDocument):
    """The data's files, rows and token streams."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("images",)

    asked: dict[str, Any]
    """`data` as the recipe has it, without what it leaves to defaults."""
    sources: dict[str, SourceLock]
    """By use: `rows` for the main source, `validation` and `test` for files of their own."""
    splits: dict[str, LockedSplit]
    images: ImagesLock | None = None
    """None, and absent from the file, where rows name no image files."""


class TrainLock(Section):
    """Every value of training and measuring that can change the result."""

    asked: dict[str, Any]
    """`strategy`, `train` and `eval` as the recipe has them, without what it leaves to defaults."""
    settings: dict[str, Any]
    """The values that these stood for."""


class LengthLock(Section):
    """How long training is: what follows from rows and training together, apart so that neither conflicts with the
    other's branch.
    """

    steps: dict[str, Any] = Field(default_factory=dict)
    """Steps in all, of an epoch, of the warm-up, and between evaluations."""


class PlatformLock(EnvironmentFacts, Section):
    """Interpreter and packages of one platform."""


class HostedLock(Section):
    """The service that trains in this machine's place, and what decides the result there that no digest names.

    A service is chosen when a plan is launched, so no recipe's own lock has this section. It stands in the lock of the
    hosted job, and in that of the run which takes what the job made.
    """

    provider: str
    """By its name in `ftc.spec.providers.PROVIDERS`."""
    base_url: str
    model: str
    """What the service calls the base; the section `model` pins the files that are here."""
    fixed: tuple[str, ...]
    """Settings, by their paths, that the service decides whatever the other sections say."""
    not_pinned: tuple[str, ...]
    """What decides the result and can't be named by a digest, in words."""


class Lock(SparseDocument):
    """The lock file, `NAME.lock.json` beside the recipe."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("hosted",)

    schema_: Literal["ftc.lock/2"] = Field(default="ftc.lock/2", alias="schema")
    requires_ftc: str = "0.1.0"
    """First release that reads this format."""
    model: ModelLock
    text: TextLock
    data: DataLock
    train: TrainLock
    length: LengthLock = LengthLock.usual()
    hosted: HostedLock | None = None
    """None, and absent from the file, of what is trained here."""
    platforms: dict[str, PlatformLock]
    """Interpreter and packages by platform tag; one lock serves several machines."""

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Every section with its name; a platform's is its tag."""
        for name in SECTIONS:
            yield name, getattr(self, name)
        if self.hosted is not None:
            yield "hosted", self.hosted
        yield from sorted(self.platforms.items())

    def broken_seals(self) -> tuple[str, ...]:
        """Names of the sections whose contents call for another seal."""
        return tuple(name for name, section in self.sections() if section.seal != section.expected_seal())


def sealed(lock: Lock) -> Lock:
    """A copy with right seals."""
    parts = {name: getattr(lock, name).sealed() for name in SECTIONS}
    platforms = {tag: platform.sealed() for tag, platform in lock.platforms.items()}
    parts["hosted"] = lock.hosted.sealed() if lock.hosted else None
    return lock.model_copy(update={**parts, "platforms": platforms})
