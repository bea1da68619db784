"""The project's ledger, `.ftc/ledger.ndjson`: what was run, in order, and how often a test split was evaluated.

One entry a line, appended under a lock and flushed to the disk; no entry is ever rewritten. Each carries a serial and
the digest of the line before, so that a missing or edited line shows. A tail that a crash tore is left where it is:
the next entry begins on a line of its own, and readers skip what they can't read.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ftc.spec import canonical
from ftc.spec.base import Document
from ftc.spec.documents.merged import WeightType
from ftc.spec.documents.plan import StateMark
from ftc.spec.storage.atomic_write import naming, sync_folder
from ftc.spec.storage.ignored import make_ignored
from ftc.spec.storage.paths import ledger_file
from ftc.spec.storage.reading import read_regular

__all__ = [
    "Begun",
    "Ended",
    "Entry",
    "HostedCreated",
    "Merged",
    "ModelExported",
    "NotedEvaluation",
    "Opened",
    "PagesWritten",
    "RunPulled",
    "RunPushed",
    "Unlocked",
    "append_entry",
    "broken_links",
    "evaluations_of",
    "merges_of",
    "moved_since",
    "note_evaluation",
    "read_ledger",
    "state_mark",
]


class _Entry(Document):
    serial: int
    """Number of the entry, from 0."""
    at: str
    """UTC, ISO 8601."""
    previous: str
    """sha256 of the line before, without its end; empty for the first."""


class Opened(_Entry):
    """The ledger begins."""

    kind: Literal["opened"] = "opened"
    lineage: str
    """A random name: two ledgers with one serial are the same only if they share it."""


class Begun(_Entry):
    """A run began, or went on."""

    kind: Literal["run_begun"] = "run_begun"
    name: str
    """Name of the recipe's job."""
    run_id: str
    job_sha256: str
    plan_sha256: str


class Ended(_Entry):
    """A run ended, or was left."""

    kind: Literal["run_ended"] = "run_ended"
    name: str
    run_id: str
    status: str
    """As in the run's record."""
    record_sha256: str
    """Digest of the record at that moment."""


class NotedEvaluation(_Entry):
    """An evaluation of a test split. A split that is evaluated often decides about the model, and tests nothing."""

    kind: Literal["test_look"] = "test_look"
    name: str
    run_id: str
    """The run that evaluates; empty where a person reads the rows, by `ftc tokens`."""
    stream_sha256: str
    """Digest of the test rows as tokens: the same rows under another name are the same test."""
    rows: int
    """How many were used."""
    purpose: str
    """Why, in a few words, such as `evaluate base`."""


class Merged(_Entry):
    """A run's adapter was merged into its base model."""

    kind: Literal["merged"] = "merged"
    name: str
    run_id: str
    job_sha256: str
    folder: str
    """Where the model was written: relative to the project's root, or the folder's name alone where it lies outside."""
    weight_type: WeightType
    content_sha256: str
    """Digest of the merged tensors."""
    files_sha256: dict[str, str]
    """Digest of each file of weights, by its name."""


class ModelExported(_Entry):
    """A run's model was written in another program's format."""

    kind: Literal["model_exported"] = "model_exported"
    name: str
    run_id: str
    job_sha256: str
    folder: str
    """Where it was written: relative to the project's root, or the folder's name alone where it lies outside."""
    format: str
    weight_type: str
    files_sha256: dict[str, str]
    """Digest of each file, by its name."""


class RunPushed(_Entry):
    """What a run left, or what was made of it, was committed to a repository of the hub."""

    kind: Literal["run_pushed"] = "run_pushed"
    name: str
    run_id: str
    repo: str
    commit: str
    parent: str
    """The commit that it stands on; empty where another push made it."""
    what: str
    files_sha256: dict[str, str]
    """Digest of each file, by its path in the repository."""


class RunPulled(_Entry):
    """A run came from a repository of the hub."""

    kind: Literal["run_pulled"] = "run_pulled"
    name: str
    run_id: str
    repo: str
    commit: str
    record_sha256: str


class HostedCreated(_Entry):
    """A hosted service was asked to train a plan: a job that is paid for."""

    kind: Literal["hosted_created"] = "hosted_created"
    name: str
    run_id: str
    """Name of the job's folder."""
    plan_sha256: str
    provider: str
    job: str
    """The service's name for the job."""
    rows_sha256: str
    """Digest of the rows that were sent."""


class PagesWritten(_Entry):
    """A run's pages were written: an audit compares charts by these checksums, rather than draw them again."""

    kind: Literal["pages_written"] = "pages_written"
    name: str
    run_id: str
    files_sha256: dict[str, str]
    """sha256 of each page, by its name."""


class Unlocked(_Entry):
    """Somebody took a lock away from its holder."""

    kind: Literal["unlocked"] = "unlocked"
    run_id: str
    lock_id: str
    holder: str


Entry = Annotated[
    Opened
    | Begun
    | Ended
    | NotedEvaluation
    | Merged
    | ModelExported
    | RunPushed
    | RunPulled
    | HostedCreated
    | PagesWritten
    | Unlocked,
    Field(discriminator="kind"),
]
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


@dataclass(frozen=True, slots=True)
class _Line:
    text: bytes
    entry: Entry | None


def read_ledger(root: Path) -> tuple[Entry, ...]:
    """All entries of a project that can be read, in order."""
    return tuple(line.entry for line in _lines(root) if line.entry is not None)


def append_entry(root: Path, kind: type[_Entry], **fields: Any) -> Entry:
    """Appends an entry to a project's ledger, which begins with its first one.

    Raises:
        OSError: The ledger can't be written.
    """
    file = ledger_file(root)
    with _held(file):
        lines = _lines(root)
        if not any(line.entry for line in lines):
            lines = [*lines, _write(file, lines, Opened, {"lineage": uuid.uuid4().hex})]
        entry = _write(file, lines, kind, fields).entry
    assert entry is not None
    return entry


def note_evaluation(root: Path, *, name: str, run_id: str, stream_sha256: str, rows: int, purpose: str) -> None:
    """Records an evaluation of a test split; to be called before it.

    Args:
        root: The project's root.
        name: Name of the recipe's job.
        run_id: The run that evaluates; empty where a person reads the rows.
        stream_sha256: Digest of the split's token stream.
        rows: Rows that are used.
        purpose: Why, in a few words.

    Raises:
        OSError: The ledger can't be written.
    """
    append_entry(
        root, NotedEvaluation, name=name, run_id=run_id, stream_sha256=stream_sha256, rows=rows, purpose=purpose
    )


def evaluations_of(entries: Iterable[Entry], stream_sha256: str) -> tuple[NotedEvaluation, ...]:
    """Every evaluation of the same test rows, by whichever run or recipe."""
    return tuple(one for one in entries if isinstance(one, NotedEvaluation) and one.stream_sha256 == stream_sha256)


def merges_of(entries: Iterable[Entry], run_id: str) -> tuple[Merged, ...]:
    """Every merge of a run's adapter, in order."""
    return tuple(one for one in entries if isinstance(one, Merged) and one.run_id == run_id)


def state_mark(root: Path, name: str) -> StateMark:
    """Where the runs of a recipe stand."""
    entries = read_ledger(root)
    serial = max((one.serial for one in entries if isinstance(one, Begun) and one.name == name), default=-1)
    return StateMark(lineage=_lineage(entries), serial=serial)


def moved_since(root: Path, name: str, mark: StateMark, job_sha256: str) -> tuple[str, ...]:
    """What happened to a recipe's runs since a mark, in words; nothing where only the job itself was run."""
    entries = read_ledger(root)
    if mark.lineage and (lineage := _lineage(entries)) != mark.lineage:
        return (f"state.lineage: {mark.lineage[:8]} → {lineage[:8] or 'no ledger'}",)
    others = [
        one
        for one in entries
        if isinstance(one, Begun) and one.serial > mark.serial and one.name == name and one.job_sha256 != job_sha256
    ]
    if not others:
        return ()
    last = others[-1]
    was = mark.serial if mark.serial >= 0 else "no run"
    return (f"state.serial: {was} → {last.serial}, run {last.run_id} began at {last.at}",)


def broken_links(root: Path) -> tuple[str, ...]:
    """What in a ledger is not as it was written, a line each; empty for a whole one.

    A line that can't be read was torn by a crash, and belongs to no chain; one that was made so breaks the next link.
    """
    found, before, serial = [], b"", -1
    for number, line in enumerate(_lines(root), 1):
        if line.entry is None:
            continue
        if line.entry.previous != _digest(before) or line.entry.serial != serial + 1:
            found.append(f"line {number} doesn't follow the one before it")
        before, serial = line.text, line.entry.serial
    return tuple(found)


def _lineage(entries: Iterable[Entry]) -> str:
    return next((one.lineage for one in entries if isinstance(one, Opened)), "")


def _lines(root: Path) -> list[_Line]:
    try:
        data = read_regular(ledger_file(root))
    except FileNotFoundError:
        return []
    return [_Line(text, _parsed(text)) for text in data.split(b"\n") if text]


def _parsed(text: bytes) -> Entry | None:
    try:
        return _ENTRY.validate_json(text)
    except ValidationError:
        return None


def _write(file: Path, lines: list[_Line], kind: type[_Entry], fields: dict[str, Any]) -> _Line:
    last = next((line for line in reversed(lines) if line.entry is not None), None)
    entry = kind(
        serial=last.entry.serial + 1 if last and last.entry else 0,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        previous=_digest(last.text) if last else "",
        **fields,
    )
    text = canonical.to_bytes(entry.to_json())
    _append(file, text)
    return _Line(text, _ENTRY.validate_json(text))


def _append(file: Path, text: bytes) -> None:
    """One write, so that a crash leaves the line or a torn tail, and the tail stays apart from what follows."""
    is_new = not file.exists()
    with naming(file), file.open("ab") as stream:
        stream.write(text + b"\n" if _ends_a_line(file) else b"\n" + text + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    if is_new:
        sync_folder(file.parent)


def _ends_a_line(file: Path) -> bool:
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if size == 0:
            return True
        stream.seek(size - 1)
        return stream.read(1) == b"\n"


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest() if text else ""


@contextmanager
def _held(file: Path) -> Iterator[None]:
    import filelock  # most verbs only read the ledger

    make_ignored(file.parent)
    file.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(file.with_name(".ledger.lock")):
        yield
