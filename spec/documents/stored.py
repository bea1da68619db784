"""What a site's storage holds of a run: files by digest, and a list for each state that is whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document
from ftc.spec.documents.facts import FileFacts
from ftc.spec.names import InsidePath

__all__ = ["OBJECTS", "StoredState", "list_name"]

OBJECTS = "objects"
"""Folder of the files, each named by its sha256."""


class StoredState(Document):
    """A run's folder behind a step, or at its end. The list is written once every file of it is there."""

    schema_: Literal["ftc.stored/1"] = Field("ftc.stored/1", alias="schema")
    job_sha256: str
    run_id: str
    step: int
    is_over: bool
    files: dict[InsidePath, FileFacts]
    """By their paths in the run's folder."""


def list_name(step: int, *, is_over: bool) -> str:
    """Name of a state's list; names sort by age, and the end's comes last."""
    return f"{'over' if is_over else 'going'}-{step:08d}.json"
