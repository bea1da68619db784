"""What the formats have in common: addresses of what was used, moments, and the text of the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ftc.spec.companions import Pinned
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord

__all__ = [
    "as_text",
    "base_address",
    "companion_address",
    "ended_at",
    "known",
    "result_files",
    "source_address",
    "source_files",
    "started_at",
]

_RESULTS = ("adapter/", "model/")


def as_text(document: dict[str, Any]) -> str:
    """The text of a document's file: the same facts give the same bytes."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def known(**values: Any) -> dict[str, Any]:
    """The values that are there: no None, no empty text, list or mapping."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def started_at(record: RunRecord) -> str | None:
    """When the run began, in UTC as RFC 3339."""
    return _moment(record.segments[0].started_at) if record.segments else None


def ended_at(record: RunRecord) -> str | None:
    """When the run ended, in UTC as RFC 3339; None where a crash kept it from telling."""
    return _moment(record.segments[-1].ended_at) if record.segments else None


def _moment(text: str | None) -> str | None:
    return text.replace("+00:00", "Z") if text else None


def base_address(plan: Plan) -> str:
    """The base model: `hf://OWNER/NAME@COMMIT` of the hub, or its folder as the plan has it."""
    base, commit = plan.settings.model.base, plan.lock.model.commit
    return f"hf://{base}@{commit}" if commit else base


def companion_address(pinned: Pinned) -> str:
    """A model beside it, in the same form."""
    return f"hf://{pinned.base}@{pinned.commit}" if pinned.commit else pinned.base


def source_address(source: SourceLock) -> str:
    """A source: `hf://datasets/OWNER/NAME@COMMIT/FILE` of the hub, or its path as the recipe has it. Of several files
    of the hub it is the data set's address.
    """
    asked = source.asked
    if "hub" not in asked:
        return str(asked.get("path", ""))
    data_set = f"hf://datasets/{asked['hub']}@{source.commit}"
    return data_set if source.files else f"{data_set}/{source.file_in_repository}"


def source_files(use: str, source: SourceLock) -> Iterator[tuple[str, str, FileFacts]]:
    """Every file of a source: its id among all, its address, and its own size and digest.

    The id is the use, with the file's name where there are several.
    """
    address = source_address(source)
    if not source.files:
        yield use, address, source.file
    for name, facts in source.files.items():
        yield f"{use}/{name}", f"{address}/{name}" if "hub" in source.asked else name, facts


def result_files(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Path in the run's folder and sha256 of every file of the tuned model or adapter."""
    for name, facts in sorted(record.outputs.items()):
        if name.startswith(_RESULTS):
            yield name, facts.sha256
