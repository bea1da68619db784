"""A saved plan with everything that its run needs, in one file: what is in it, and where each file belongs.

Where a file belongs follows from the plan alone, so a package can't put anything where the plan doesn't name it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from ftc.spec import canonical
from ftc.spec.base import Document
from ftc.spec.companions import COMPANIONS, Role, recipes_name
from ftc.spec.documents.facts import FileFacts
from ftc.spec.names import FileName, InsidePath

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan

__all__ = [
    "LIST_FILE",
    "PROJECT",
    "STREAMS",
    "STREAMS_FILE",
    "Models",
    "PackReport",
    "Package",
    "PackedModel",
    "UnpackReport",
    "is_plain",
    "packed_models",
    "unpacked_place",
]

LIST_FILE = "package.json"
"""The list of all files, which is the first file of a package."""
STREAMS_FILE = "streams.json"
"""What the token streams are made from, and what was found in the rows."""
PROJECT, STREAMS = "project/", "streams/"
"""What the names of files begin with that belong into the project, and into ftc's cache."""

Models = Literal["all", "local", "none"]
"""Which models a package holds: all that the run needs, those that aren't on the hub, or none."""

_ODD = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|]|[. ]$")


class Package(Document):
    """Everything that is in a package, but this list itself. It has no clock in it."""

    schema_: Literal["ftc.package/1"] = Field(default="ftc.package/1", alias="schema")
    ftc_version: str
    name: FileName
    """Name of the recipe's job."""
    plan: InsidePath
    """The plan's file, relative to the project."""
    plan_sha256: str
    job_sha256: str
    layers: tuple[InsidePath, ...]
    """Recipe files that the recipe extends, relative to the project."""
    models: Models
    files: dict[InsidePath, FileFacts]
    """By name in the package."""

    @property
    def order(self) -> tuple[str, ...]:
        """The files in their order: the plan first, by which the others are judged."""
        plan = PROJECT + self.plan
        return (plan, *sorted(self.files.keys() - {plan}))


class PackedModel(NamedTuple):
    """A model of a plan, and where an unpacked project has it."""

    role: Role | Literal["base"]
    name: str
    """As the recipe names it."""
    commit: str | None
    """Of the hub; None for a folder."""
    folder: InsidePath
    """Relative to the project."""
    files: dict[InsidePath, FileFacts]

    @property
    def words(self) -> str:
        """The model, for messages."""
        return f"{'model' if self.role == 'base' else self.role.replace('_', ' ')} `{self.name}`"


class PackReport(Document):
    """What was packed."""

    schema_: Literal["ftc.pack/1"] = Field(default="ftc.pack/1", alias="schema")
    file: str
    sha256: str
    """Digest of the package's list, and so of every byte in it."""
    name: str
    plan_sha256: str
    job_sha256: str
    files: int
    size: int
    """Bytes of the package."""
    stream_bytes: int
    model_bytes: int
    left_out: tuple[str, ...]
    """Models that the run needs and that the package doesn't hold."""


class UnpackReport(Document):
    """What was unpacked."""

    schema_: Literal["ftc.unpack/1"] = Field(default="ftc.unpack/1", alias="schema")
    status: Literal["unpacked", "up to date"]
    folder: str
    plan: str
    """The plan's file, relative to the folder."""
    sha256: str
    """Digest of the package's list, and so of every byte in it."""
    name: str
    plan_sha256: str
    job_sha256: str
    files: int
    size: int
    """Bytes of all files."""
    missing: tuple[str, ...]
    """Models that the run needs, and that are neither in the package nor on this machine, in words."""


def packed_models(plan: Plan) -> Iterator[PackedModel]:
    """Every model that a plan's run loads, the base model first."""
    base, locked = plan.settings.model.base, plan.lock.model
    yield PackedModel("base", base, locked.commit, _place(plan, base, locked.commit, locked.files), locked.files)
    for card in COMPANIONS:
        asked, pinned = card.asked(plan.recipe), card.pinned(plan.settings)
        if asked is not None and pinned is not None:
            named = recipes_name(asked, pinned, plan.recipe_file)
            place = _place(plan, named, pinned.commit, pinned.files)
            yield PackedModel(card.role, asked.base, pinned.commit, place, pinned.files)
    parent = plan.settings.model.parent
    if parent is not None and parent.continues:
        yield PackedModel("parent", f"run {parent.run_id}", None, parent.adapter, parent.files)


def unpacked_place(files: dict[InsidePath, FileFacts]) -> InsidePath:
    """Where an unpacked project has a model that lies outside of projects, such as in the hub's cache: by its files."""
    return f".ftc/models/{canonical.digest({name: one.sha256 for name, one in files.items()})[:32]}"


def is_plain(path: str) -> bool:
    """Whether a path is relative, leads through no hidden folder, and is read in the same way by every system."""
    plain = PurePosixPath(path)
    if plain.is_absolute() or plain.as_posix() != path:
        return False
    return not any(part.startswith(".") or _ODD.search(part) for part in plain.parts)


def _place(plan: Plan, base: str, commit: str | None, files: dict[InsidePath, FileFacts]) -> InsidePath:
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(plan.recipe_file), base))
    is_inside = commit is None and inside != "." and is_plain(inside)
    return inside if is_inside else unpacked_place(files)
