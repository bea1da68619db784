"""Shows the other processes of a run that one makes progress before they meet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from ftc.spec.storage.processes import is_one_of_several

__all__ = ["with_heartbeat"]


@contextmanager
def with_heartbeat() -> Iterator[None]:
    """Sends a heartbeat with each step of work on rows, and with what is digested of files, to those that wait for this
    process, if there are any.

    Raises:
        Refusal: The process that they meet at was lost (FTC644).
    """
    if not is_one_of_several(os.environ):
        yield
        return
    from ftc.compiler.stages import also_reporting, reporting_reads
    from ftc.runtime.execution.meeting_store import heartbeat

    one_at_a_time = Lock()  # files are digested in several threads

    def beat(_: object = None) -> None:
        with one_at_a_time:
            heartbeat()

    with also_reporting(beat), reporting_reads(beat):
        yield
