"""What a folder of the stream cache says of itself: a second plan needs no library that reads rows or tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError

from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.plan import Check
from ftc.spec.documents.quality import QualityReport
from ftc.spec.documents.streams import SplitReport, lengths_file
from ftc.spec.language.source import Source

__all__ = ["KeptFinding", "Manifest", "TextProbe", "read_manifest"]


class KeptFinding(Document):
    """A warning as the cache keeps it: places in the recipe are looked up anew, since lines move."""

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
    probe: TextProbe
    findings: tuple[KeptFinding, ...]
    checks: tuple[Check, ...]


def read_manifest(folder: Path) -> Manifest | None:
    """What a complete folder holds; None where there is none, or parts of it are gone."""
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, ValidationError):
        return None
    streams = [folder / f"{split}.arrow" for split in manifest.splits]
    complete = all(stream.exists() and lengths_file(stream).exists() for stream in streams)
    others = {
        "groups.json": manifest.groups_sha256,
        "retention.arrow": manifest.retention_sha256,
        "swaps.arrow": manifest.swaps_sha256,
        "swaps.json": manifest.swaps_sha256,
    }
    complete = complete and all((folder / name).exists() for name, digest in others.items() if digest is not None)
    return manifest if complete else None
