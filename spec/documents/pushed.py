"""What of a run was pushed to a repository of the hub: the list by which `ftc run pull` brings it back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ftc.spec.base import Document
from ftc.spec.documents.facts import FileFacts
from ftc.spec.model_formats import HubKind
from ftc.spec.names import FileName, InsidePath
from ftc.spec.storage.reading import LARGEST_DOCUMENT, read_regular

__all__ = [
    "CARD",
    "EVALUATION",
    "LIST_FILE",
    "PLAN",
    "PULLED_FILE",
    "RECORD",
    "WAIVABLE",
    "PulledRun",
    "PushReport",
    "Pushed",
    "Target",
    "What",
    "read_pulled",
]

CARD = "README.md"
PLAN, RECORD, EVALUATION = "ftc/plan.json", "ftc/record.json", "ftc/eval.json"
"""A run's documents in the repository."""
LIST_FILE = "ftc/pushed.json"
"""The list of a repository's files, in the repository."""
PULLED_FILE = "pulled.json"
"""The same list in the folder of a run that was pulled."""

What = Literal["adapter", "model"] | HubKind
"""What was pushed: what the run itself left, or what was made of it."""
WAIVABLE = ("license", "gated-base", "audit", "personal-data")
"""What may be passed over by name, beside gates, which have the names of their metrics."""


class Target(Document):
    """Where a model goes, for its card."""

    repo: str
    """`owner/name`."""
    what: What
    languages: tuple[str, ...] = ()
    """Codes such as `en`, as the user named them: no document of a run says which languages its rows are in."""


class Pushed(Document):
    """Everything that one push put into a repository, but this list itself. It has no clock in it."""

    schema_: Literal["ftc.pushed/1"] = Field(default="ftc.pushed/1", alias="schema")
    ftc_version: str
    what: What
    """`adapter` and `model` are what the run itself left; the others were made of it."""
    run_id: FileName
    name: FileName
    """Name of the recipe's job."""
    job_sha256: str
    record_sha256: str
    files: dict[InsidePath, FileFacts]
    """By path in the repository."""
    without_rows: tuple[str, ...]
    """Documents whose texts of rows were taken out, so that they have another checksum than the run left them with."""
    left_out: tuple[str, ...]
    """Files of the run that were not pushed."""
    waived: tuple[str, ...] = ()
    """What was passed over, by name."""

    @property
    def is_run(self) -> bool:
        """Whether the run can be brought back: what was made of it lacks what was trained."""
        return self.what in ("adapter", "model")

    def in_run(self, path: str) -> str:
        """Where a file of the repository lies in the run's folder."""
        return {PLAN: "plan.json", RECORD: "record.json", EVALUATION: "eval.json", CARD: CARD}.get(
            path, f"{self.what}/{path}"
        )

    def left_behind(self, name: str) -> FileFacts | None:
        """What a document of the run became when its rows were taken out, by its name in the run's folder."""
        path = {"plan.json": PLAN, "eval.json": EVALUATION}.get(name, "")
        return self.files.get(path) if name in self.without_rows else None


class PushReport(Document):
    """What a push did, or would do."""

    schema_: Literal["ftc.push/1"] = Field(default="ftc.push/1", alias="schema")
    status: Literal["dry run", "up to date", "pushed"]
    run_id: str
    repo: str
    what: What
    commit: str | None
    """The commit at which the repository has these files; None in a dry run."""
    parent: str | None
    """The commit that it stands on; None where none was made."""
    is_private: bool
    files: dict[str, FileFacts]
    deleted: tuple[str, ...] = ()
    """Files of an earlier push that went."""
    without_rows: tuple[str, ...]
    """Documents whose texts of rows were taken out."""
    left_out: tuple[str, ...]
    """Files of the run that stay here."""
    waived: tuple[str, ...]
    notes: tuple[str, ...] = ()


class PulledRun(Document):
    """What a pull did."""

    schema_: Literal["ftc.pull/1"] = Field(default="ftc.pull/1", alias="schema")
    status: Literal["up to date", "pulled"]
    run_id: str
    name: str
    repo: str
    commit: str
    folder: str
    """The run's folder, relative to the project."""
    files: int
    size: int
    """Bytes of all of them."""
    base: str
    base_is_here: bool
    without_rows: tuple[str, ...]
    left_out: tuple[str, ...]


def read_pulled(folder: Path) -> Pushed | None:
    """The list by which a run was pulled; None for a run that was trained here, or where it can't be read."""
    file = folder / PULLED_FILE
    try:
        return Pushed.model_validate_json(read_regular(file, LARGEST_DOCUMENT)) if file.exists() else None
    except (ValidationError, OSError):
        return None
