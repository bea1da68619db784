"""A process of a run that is gone: which one, why, and what it wrote last. It costs no heavy import to say it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ftc.runtime.execution.last_words import as_text, dismiss_witnesses
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.exit_codes import ExitCode

__all__ = ["ask_about_losses", "end_now", "how_it_ended", "loss_of_companion", "lost", "may_be_retried", "refusal_of"]

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
        f"{who} of this run was lost: {why}",
        notes=[f"its output: {line}" for line in output[-_LAST_LINES:]],
        help="apply the plan again; it continues from the last checkpoint",
    )


def how_it_ended(returncode: int) -> str:
    """An exit status in words: a signal by its name."""
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


def end_now(finding: Diagnostic, code: int = ExitCode.PROCESS_LOST, *, traces: bool = False) -> NoReturn:
    """Ends this process, whose main thread waits for one that will never answer.

    Args:
        finding: Why.
        code: What the process exits with.
        traces: Whether to show where each thread stands.
    """
    import faulthandler
    import os

    dismiss_witnesses()
    sys.stderr.write(as_text(finding))
    if traces:
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(code)
