"""Reports how far the work on rows is to a listener; without one nothing is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ftc.spec.stage import Stage, StageListener

__all__ = ["advance", "also_reporting", "be_silent", "begin_stage", "read_listener", "reporting_reads", "with_stages"]


class _Progress:
    """A listener, and the stage that was reported last."""

    def __init__(self, listener: StageListener) -> None:
        self.listener, self.stage = listener, Stage("")

    def report(self, stage: Stage) -> None:
        """Passes a stage to the listener."""
        self.stage = stage
        self.listener(stage)


_PROGRESS: ContextVar[_Progress | None] = ContextVar("progress", default=None)


@contextmanager
def with_stages(listener: StageListener) -> Iterator[None]:
    """Reports the stages to a listener while the block runs."""
    before = _PROGRESS.set(_Progress(listener))
    try:
        yield
    finally:
        _PROGRESS.reset(before)


@contextmanager
def also_reporting(listener: StageListener) -> Iterator[None]:
    """Reports the stages to a listener beside the one that there is."""
    before = _PROGRESS.get()

    def report(stage: Stage) -> None:
        if before is not None:
            before.listener(stage)
        listener(stage)

    with with_stages(report):
        yield


_READS: ContextVar[Callable[[], None] | None] = ContextVar("reads", default=None)


@contextmanager
def reporting_reads(listener: Callable[[], None]) -> Iterator[None]:
    """Calls a listener for each MiB of a file that is digested while the block runs, in whichever thread."""
    before = _READS.set(listener)
    try:
        yield
    finally:
        _READS.reset(before)


def read_listener() -> Callable[[], None] | None:
    """What is called for each MiB that is digested; None where nobody waits."""
    return _READS.get()


def be_silent() -> None:
    """For a process that works for another one: the first process counts what comes back."""
    _PROGRESS.set(None)
    _READS.set(None)


def begin_stage(name: str, total: int | None = None) -> None:
    """Ends the stage before and begins another.

    Args:
        name: What is done from now on.
        total: Rows that it is done with; None where nobody knows.
    """
    if (progress := _PROGRESS.get()) is not None:
        progress.report(Stage(name, 0, total))


def advance(name: str, rows: int) -> None:
    """Counts rows that a stage is done with; nothing where another stage goes on.

    The same functions read, digest and rewrite rows for other ends too, which are no part of the stage's rows.
    """
    progress = _PROGRESS.get()
    if progress is not None and progress.stage.name == name:
        progress.report(Stage(name, progress.stage.done + rows, progress.stage.total))
