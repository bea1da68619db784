"""Says how far the work on rows is to whoever listens; without a listener nothing is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ftc.spec.stage import Stage, StageListener

__all__ = ["advance", "be_silent", "begin_stage", "with_stages"]


class _Heard:
    """A listener, and the stage that it heard of last."""

    def __init__(self, listener: StageListener) -> None:
        self.tell, self.stage = listener, Stage("")


_HEARD: ContextVar[_Heard | None] = ContextVar("heard", default=None)


@contextmanager
def with_stages(listener: StageListener) -> Iterator[None]:
    """Has a listener hear of the stages while the block runs."""
    before = _HEARD.set(_Heard(listener))
    try:
        yield
    finally:
        _HEARD.reset(before)


def be_silent() -> None:
    """For a process that works for another one: the first process counts what comes back."""
    _HEARD.set(None)


def begin_stage(name: str, total: int | None = None) -> None:
    """Ends the stage before and begins another.

    Args:
        name: What is done from now on.
        total: Rows that it is done with; None where nobody knows.
    """
    if (heard := _HEARD.get()) is not None:
        heard.stage = Stage(name, 0, total)
        heard.tell(heard.stage)


def advance(name: str, rows: int) -> None:
    """Counts rows that a stage is done with; nothing where another stage goes on.

    The same functions read, digest and rewrite rows for other ends too, which are no part of the stage's rows.
    """
    heard = _HEARD.get()
    if heard is not None and heard.stage.name == name:
        heard.stage = Stage(name, heard.stage.done + rows, heard.stage.total)
        heard.tell(heard.stage)
