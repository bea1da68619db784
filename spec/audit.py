"""The verdict on a past run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document, Real

__all__ = ["AuditReport", "Finding"]


class Finding(Document):
    """One thing that is not as the record says."""

    code: str
    subject: str
    """The file, package, row or field concerned."""
    expected: str
    found: str
    hint: str


class AuditReport(Document):
    """What an audit looked at and what it found."""

    schema_: Literal["ftc.audit/1"] = Field(default="ftc.audit/1", alias="schema")
    run_id: str
    level: Literal["static"]
    verdict: Literal["CONSISTENT", "TAMPERED", "INCONCLUSIVE"]
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    """What was compared, in words, such as `12 model files`."""
    checked_files: int
    checked_bytes: int
    seconds: Real
    not_checked: tuple[str, ...]
    """What this level or this machine can't say anything about; never empty by silence."""
    exit_code: int
