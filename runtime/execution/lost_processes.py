"""A process of a run that is gone: which one, why, and what it wrote last. It costs no heavy import to say it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ftc.runtime.execution.last_words import as_text, dismiss_witnesses
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.exit_codes import ExitCode
from ftc.spec.storage.processes import is_follower

__all__ = [
    "SPOKEN",
    "ask_about_losses",
    "end_now",
    "how_it_ended",
    "loss_of_companion",
    "lost",
    "may_be_retried",
    "name_machines",
    "note_spoken",
    "process",
    "refusal_of",
]

SPOKEN = "FTC_SPOKEN"
"""Names a file that is there once a run's first process has reported a lost one, so that what started it need not."""

_LAST_LINES = 8
_KNOWN_SECONDS = 5.0
"""How long a process that was killed may take until its end is known here; its connections break at once."""


def lost(who: str, why: str, output: Sequence[str] = ()) -> Diagnostic:
    """A process of the run doesn't take part any longer.

    Args:
        who: The process in words.
        why: What is known of its end.
        output: Lines that it wrote; the last few are shown.
    """
    return diagnostic(
        "FTC644",
        f"{who} was lost: {why}",
        notes=[f"its output: {line}" for line in output[-_LAST_LINES:]],
        help="apply the plan again; it continues from the last checkpoint",
    )


_machines: dict[int, str] = {}


def name_machines(machines: Mapping[int, str]) -> None:
    """Says on which machine each process of the run is, by rank."""
    _machines.clear()
    _machines.update(machines)


def process(rank: int, machine: str | None = None) -> str:
    """A process in words, with its machine where that is known."""
    machine = machine or _machines.get(rank)
    return f"process {rank} on {machine}" if machine else f"process {rank}"


def how_it_ended(returncode: int | None) -> str:
    """An exit status in words: a signal by its name; None where nobody could ask for it."""
    if returncode is None:
        return "it ended without a word, as after SIGKILL"
    if returncode >= 0:
        return f"it ended with exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def may_be_retried(returncode: int) -> bool:
    """Whether a process's end says nothing against trying again: a signal, or another process that was lost."""
    return returncode < 0 or returncode > ExitCode.SIGNALED or returncode == ExitCode.PROCESS_LOST


_asked: list[Callable[[float], Diagnostic | None]] = []


def ask_about_losses(wait: Callable[[float], Diagnostic | None] | None) -> None:
    """Names what knows how other processes of this machine ended; None for nothing.

    Args:
        wait: Waits for so many seconds for one that failed, and says how it ended, or None.
    """
    _asked[:] = [wait] if wait else []


def loss_of_companion(seconds: float) -> Diagnostic | None:
    """How another process that this one started has failed; None where none has within so many seconds."""
    return next((found for wait in _asked if (found := wait(seconds))), None)


def refusal_of(who: str, why: str) -> Refusal:
    """The loss that an exchange with others has shown, by the name and end of the process where they are known."""
    return Refusal([loss_of_companion(_KNOWN_SECONDS) or lost(who, why)])


def note_spoken(*, is_over: bool = True) -> None:
    """Notes that a lost process was reported here, or that it wasn't yet."""
    if (file := os.environ.get(SPOKEN)) is None or is_follower(os.environ):
        return
    with suppress(OSError):
        Path(file).touch() if is_over else Path(file).unlink(missing_ok=True)


def end_now(finding: Diagnostic, code: int = ExitCode.PROCESS_LOST, *, traces: bool = False) -> NoReturn:
    """Ends this process, whose main thread waits for one that will never answer.

    Args:
        finding: Why.
        code: What the process exits with.
        traces: Whether to show where each thread stands.
    """
    import faulthandler

    from ftc.runtime.execution.end_watch import is_about_to_end

    dismiss_witnesses()
    is_about_to_end(code)
    sys.stderr.write(as_text(finding))
    note_spoken()
    if traces:
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(code)
