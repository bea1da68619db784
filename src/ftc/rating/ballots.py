"""A rater's decisions: one line each, on disk before the page hears that it was taken."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.outcomes import Choice, Rating
from ftc.spec.storage.atomic_write import sync_folder

__all__ = ["Ballot", "ballots", "open_ballot"]

_NAME = re.compile(r"[\w.-]{1,60}")


@dataclass(slots=True)
class Ballot:
    """What one rater said so far."""

    rater: str
    file: Path
    latest: dict[int, Rating] = field(default_factory=dict)
    """The rating that counts, by row, in the order in which the rows were rated."""

    def rate(self, row: int, choice: Choice | None, left: Literal["first", "second"]) -> Rating:
        """Writes a decision down; it is on the disk when this returns.

        Raises:
            OSError: The disk refused; nothing is counted.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        rating = Rating(row=row, choice=choice, left=left, at=at)
        line = json.dumps(rating.to_json(), sort_keys=True).encode() + b"\n"
        is_new = not self.file.exists()
        with self.file.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self.file.parent)
        self._count(rating)
        return rating

    def _count(self, rating: Rating) -> None:
        self.latest.pop(rating.row, None)
        if rating.choice is not None:
            self.latest[rating.row] = rating


def open_ballot(folder: Path, rater: str) -> Ballot:
    """A rater's ballot, with all that was said before; made where there is none.

    Raises:
        Refusal: The rater's name can't be a file's (FTC682).
        OSError: The folder can't be written.
    """
    if not _NAME.fullmatch(rater):
        help = "use letters, digits, `_`, `.` and `-`, at most 60"
        raise Refusal([diagnostic("FTC682", f"`{rater}` can't be a rater's name", help=help)])
    folder.mkdir(parents=True, exist_ok=True)
    ballot = Ballot(rater, folder / f"{rater}.ndjson")
    if ballot.file.exists():
        _cut_torn_line(ballot.file)
        for rating in _ratings(ballot.file.read_bytes().splitlines()):
            ballot._count(rating)
    return ballot


def ballots(folder: Path) -> list[Ballot]:
    """All raters' ballots of a contest, by name."""
    return [open_ballot(folder, file.stem) for file in sorted(folder.glob("*.ndjson"))]


def _cut_torn_line(file: Path) -> None:
    """A line without an end was being written when the machine died; nobody was told that it counts."""
    content = file.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(file, content.rfind(b"\n") + 1)


def _ratings(lines: Iterable[bytes]) -> Iterable[Rating]:
    for line in lines:
        try:
            yield Rating.model_validate_json(line)
        except ValidationError:  # written by somebody else; the others still count
            continue
