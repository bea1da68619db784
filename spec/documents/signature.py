"""A signed folder: what `ftc sign` made and what `ftc verify` found to hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document
from ftc.spec.version import VERSION

__all__ = ["SignedFolder"]


class SignedFolder(Document):
    """A folder whose signature holds, `ftc verify --json`."""

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
