"""Follows runs from outside: their events as they are written, what their process takes, and all runs of a project."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import read_regular
from ftc.verbs.runs import Run, find_run, load_events, load_run, newest_run, runs
from ftc.verbs.standing import as_left

if TYPE_CHECKING:
    from ftc.runtime.tracking.system import Machine
    from ftc.spec.documents.events import Event
    from ftc.views.report.runs import Listed
    from ftc.views.watch import Watched

__all__ = ["Follower", "follower", "listed_runs"]

_HELD_SECONDS = 5.0
"""How often it is asked whether the process is still there: asking takes the run's lock for a moment."""


@dataclass(slots=True)
class Follower:
    """One run that is watched.

    Attributes:
        folder: Its folder.
    """

    folder: Path
    _events: tuple[Event, ...] = ()
    _stamp: tuple[int, int] = (-1, -1)
    _asked: float = 0.0
    _left: Run | None = None
    _machine: Machine | None = field(default=None)

    def look(self) -> Watched:
        """The run now.

        Raises:
            Refusal: A document of it can't be read (FTC524).
        """
        from ftc.views.run import wall_seconds
        from ftc.views.watch import Watched

        run = load_run(self.folder)
        now = time.monotonic()
        if run.record.is_open and (now - self._asked >= _HELD_SECONDS or self._left is None):
            self._asked, self._left = now, as_left(run)
        if run.record.is_open and self._left is not None and self._left.record.status != "running":
            run = self._left
        file = RunFolder(self.folder).events
        stat = file.stat() if file.exists() else None
        stamp = (stat.st_size, stat.st_mtime_ns) if stat else (0, 0)
        if stamp != self._stamp:
            self._stamp, self._events = stamp, load_events(self.folder)
        return Watched(
            plan=run.plan,
            record=run.record,
            events=self._events,
            machine=self._sample() if run.record.status == "running" else {},
            seconds=_since_start(run) if run.record.status == "running" else wall_seconds(run.record),
        )

    def _sample(self) -> dict[str, float]:
        """What the run's process takes, where it is one of this machine."""
        from ftc.runtime.tracking.system import Machine
        from ftc.spec.documents.machine import Holder

        if self._machine is None:
            try:
                holder = Holder.model_validate_json(read_regular(RunFolder(self.folder).holder))
            except (OSError, ValueError):
                return {}
            if holder.host != platform.node() or holder.pid == os.getpid():
                return {}
            self._machine = Machine(holder.pid)
        return self._machine.sample()


def _since_start(run: Run) -> float | None:
    """Seconds since the segment that goes on began."""
    if not run.record.segments:
        return None
    began = datetime.fromisoformat(run.record.segments[-1].started_at)
    return max(0.0, (datetime.now(UTC) - began).total_seconds())


def follower(name: str | None = None, folder: Path | str = ".") -> Follower:
    """What follows a run: the one of this name, or the newest of the project.

    Raises:
        Refusal: There is no such run, or none at all (FTC520).
    """
    return Follower((newest_run(folder) if name is None else find_run(name, folder)).folder)


def listed_runs(folder: Path | str = ".") -> tuple[Listed, ...]:
    """All runs of a project as a page lists them, newest first."""
    from ftc.views.report.runs import Listed

    return tuple(
        Listed(
            plan=run.plan,
            record=as_left(run).record,
            evaluation=run.evaluation,
            events=load_events(run.folder),
            report=report if (report := RunFolder(run.folder).report).exists() else None,
        )
        for run in runs(folder)
    )
