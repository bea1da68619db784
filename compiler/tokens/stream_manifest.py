"""What a folder of the stream cache says of itself: a second plan needs no library that reads rows or tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError

from ftc.compiler.resolve.files.digests import DigestCache, digests_of
from ftc.spec import canonical
from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.lockfile import ImagesLock, SourceLock
from ftc.spec.documents.loss_settings import TargetScale
from ftc.spec.documents.plan import Check, Plan
from ftc.spec.documents.prompted import PromptBaseline
from ftc.spec.documents.quality import QualityReport
from ftc.spec.documents.reward_models import FrameFacts
from ftc.spec.documents.streams import SplitReport
from ftc.spec.names import InsidePath
from ftc.spec.storage.atomic_write import sweep
from ftc.spec.storage.cache import Cache, distrust
from ftc.spec.storage.cached import DIGESTS
from ftc.spec.storage.paths import cache_folder, streams_folder
from ftc.spec.storage.reading import parse_json, read_regular

if TYPE_CHECKING:
    from ftc.spec.language.source import Source

__all__ = [
    "KeptFinding",
    "Manifest",
    "StreamKey",
    "TextProbe",
    "keep_manifest",
    "keep_unpacked",
    "kept_manifest",
    "kept_streams",
    "made_from_of",
    "read_manifest",
    "stream_key",
]

StreamKey = Mapping[str, Any]
"""All that token streams are made from, as JSON values: recipe, files, tokenizer, and the code that reads them."""


def stream_key(made_from: StreamKey) -> str:
    """Name of the folder of streams that are made from this."""
    return canonical.digest(dict(made_from))[:32]


class KeptFinding(Document):
    """A warning as the cache keeps it: places in the recipe are looked up again, since lines move."""

    code: str
    summary: str
    help: tuple[str, ...]
    notes: tuple[str, ...]
    path: str | None
    severity: Severity
    rows: tuple[str, ...] = ()
    remedy: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, found: Diagnostic) -> Self:
        """What is kept of a warning."""
        return cls(
            code=found.code,
            summary=found.summary,
            help=found.help,
            notes=found.notes,
            path=found.path,
            severity=found.severity,
            rows=found.rows,
            remedy=found.remedy,
        )

    def placed(self, source: Source) -> Diagnostic:
        """The warning with its place in the recipe as it is now."""
        return diagnostic(
            self.code,
            self.summary,
            source.span(self.path) if self.path else None,
            help=self.help,
            notes=self.notes,
            path=self.path,
            severity=self.severity,
            rows=self.rows,
            remedy=self.remedy,
        )


class TextProbe(Document):
    """How tokenizer and template behave with the libraries at hand; see `ftc.compiler.tokens.make_streams`."""

    tokenizer_sha256: str
    template_sha256: str | None


class Manifest(Document):
    """What a folder of the cache holds."""

    labels: tuple[str, ...]
    scales: tuple[TargetScale, ...] = ()
    """What each number is measured by, for tasks of numbers."""
    columns: dict[str, str]
    """Column by part of the task."""
    columns_reason: str
    prompt: tuple[str, str] | None
    """A prompt made of the columns, and the reason for it; None where the recipe has one, or the task has none."""
    splits: dict[str, SplitReport]
    sources: dict[str, SourceLock]
    quality: QualityReport
    groups: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Test rows by group, by the columns that results are told apart by."""
    groups_sha256: str | None = None
    """Digest of `groups.json`; None where there is none."""
    retention_sha256: str | None = None
    """Digest of `retention.arrow`; None where there is none."""
    swaps_sha256: str | None = None
    """Digest of `swaps.arrow` with `swaps.json`; None where there are none."""
    taught_sha256: str | None = None
    """Digest of `taught.arrow`; None where there is none."""
    frames: dict[str, FrameFacts] = Field(default_factory=dict)
    """The text around each answer for reward models, by role; each has a file."""
    baselines: tuple[PromptBaseline, ...] = ()
    """Prompts that the base model is measured with, each with a stream of its name."""
    probe: TextProbe
    findings: tuple[KeptFinding, ...]
    checks: tuple[Check, ...]
    files: dict[InsidePath, FileFacts] = Field(default_factory=dict)
    """Every other file of the folder, by its name."""
    images: ImagesLock | None = None
    """The image files that rows name; None where they name none."""
    image_files: dict[str, FileFacts] = Field(default_factory=dict)
    """Each of them by its path in the project."""
    pixels_sha256: str | None = None
    """What the model's processor makes of the first images; None where it wasn't asked."""
    pixels_problem: str = "no row has images"
    """Why it wasn't asked."""


_NAME = "manifest.json"
_UNPACKED = "unpacked.json"
"""In its place where the streams came in a package: no plan takes those for what its own rows would give."""


def keep_manifest(folder: Path, made_from: StreamKey, manifest: Manifest) -> None:
    """Writes what a folder holds, behind all of its files.

    Raises:
        OSError: A file can't be read.
    """
    sweep(folder)  # of a process that was killed, whose work another one did
    paths = sorted(folder.iterdir())
    digests = digests_of(paths)
    files = {one.name: FileFacts(size=one.stat().st_size, sha256=digests[one]) for one in paths}
    Cache(folder).keep(_NAME, dict(made_from), manifest.model_copy(update={"files": files}).to_json())


def kept_manifest(folder: Path, key: str) -> Manifest | None:
    """What the folder of a plan's streams says of itself; None where there is none, or it can't be believed.

    Args:
        folder: The streams.
        key: The plan's `stream_key`.
    """
    for name in (_NAME, _UNPACKED):
        try:
            if (made_from := made_from_of(folder, key, name)) is not None:
                return Manifest.model_validate_json(json.dumps(Cache(folder).recall(name, made_from)))
        except ValidationError:
            continue
    return None


def made_from_of(folder: Path, key: str, name: str = "") -> StreamKey | None:
    """What a folder's streams are made from, by its own word, where that gives the key of a plan.

    Args:
        folder: The streams.
        key: The plan's `stream_key`.
        name: One of the two files that say so; either, where left out.
    """
    for one in (name,) if name else (_NAME, _UNPACKED):
        try:
            made_from: StreamKey = parse_json(read_regular(folder / one))["key"]
            if stream_key(made_from) == key:
                return made_from
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return None


def keep_unpacked(folder: Path, made_from: StreamKey, manifest: Manifest) -> None:
    """Writes what a folder of streams holds that came in a package; its files have been compared."""
    Cache(folder).keep(_UNPACKED, dict(made_from), manifest.to_json())


def kept_streams(plan: Plan) -> Path | None:
    """Folder of a plan's token streams; None where the cache has none, or not as this user's `ftc plan` made them.

    Whatever a finished run needs of its rows comes through here. A stream's digest covers what a model reads, not the
    names and numbers of rows, so the bytes of each file are compared with the authenticated manifest.
    """
    folder, digests = streams_folder(plan.stream_key), DigestCache(DIGESTS.under(cache_folder()))
    made = kept_manifest(folder, plan.stream_key)
    if made is None or any(f"{name}.arrow" not in made.files for name in plan.data):
        return None
    return folder if _is_whole(folder, made, digests) else None


def read_manifest(folder: Path, made_from: StreamKey, digests: DigestCache, root: Path | None) -> Manifest | None:
    """What a complete folder holds; None where there is none, parts of it are gone, or it can't be believed.

    Args:
        folder: The streams.
        made_from: What they have to be made from.
        digests: Remembers digests, so that a warm call hashes no stream.
        root: What paths of image files begin at; None where no data file is on disk.
    """
    kept = Cache(folder).recall(_NAME, made_from)
    try:
        manifest = Manifest.model_validate_json(json.dumps(kept))
    except ValidationError:
        return None
    try:
        if any(root is None or digests.file(root / name) != facts for name, facts in manifest.image_files.items()):
            return None  # an image changed, or another project has such rows
    except OSError:
        return None
    return manifest if _is_whole(folder, manifest, digests) else None


def _is_whole(folder: Path, manifest: Manifest, digests: DigestCache) -> bool:
    for name, facts in manifest.files.items():
        try:
            found = digests.file(folder / name)
        except OSError:
            return False
        if found != facts:
            distrust(folder / name, "it has other bytes than when it was made")
            return False
    return True
