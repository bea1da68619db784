"""What a tracker has to be able to do, and what is sent to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord

__all__ = ["About", "Backend", "Point", "SentFile"]


class Point(NamedTuple):
    """One value."""

    name: str
    """Such as `train/loss`."""
    step: int
    time: float
    """Seconds since 1970, UTC."""
    value: float


class SentFile(NamedTuple):
    """A file that is sent."""

    folder: str
    """Folder that it gets in the tracker; empty for none."""
    path: Path


@dataclass(frozen=True, slots=True)
class About:
    """The run.

    Attributes:
        plan: Its plan.
        folder: The run's folder.
        root: The project's folder.
        parameters: Every setting by its dotted name.
        tags: Digests, versions and others that identify it.
        started: When it began, in seconds since 1970.
    """

    plan: Plan
    folder: Path
    root: Path
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    started: float

    @property
    def run_id(self) -> str:
        """Name of the run's folder."""
        return self.folder.name


class Backend(Protocol):
    """A run in a tracker, which may have it already: what is sent again must not be there twice."""

    def log(self, points: Sequence[Point]) -> None:
        """Takes values by step."""

    def flush(self) -> None:
        """Returns when all that was logged has arrived."""

    def finish(self, record: RunRecord, tags: Mapping[str, str], files: Sequence[SentFile]) -> str:
        """Takes files and how the run ended; gives where the run is found, in words."""
        ...
