"""What a user sees when a verb can't finish: findings, one line, or a note on how to report a bug. No traceback."""

from __future__ import annotations

import errno
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from ftc.spec.exit_codes import ExitCode

if TYPE_CHECKING:
    from ftc.spec.diagnostics import Refusal

__all__ = ["Restart", "flushed", "guarded", "missing_package"]

_TRAIN_PACKAGES = frozenset(("accelerate", "peft", "rouge_score", "sacrebleu", "sklearn", "torch", "transformers"))


def guarded(run: Callable[[Namespace], int], args: Namespace) -> int:
    """The exit code of a verb; whatever it raises is told on standard error."""
    try:
        return run(args)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, and knows
        return ExitCode.COULD_NOT_WORK
    except Exception as error:  # noqa: BLE001  # the last place that can turn it into words
        return _told(error, args)


def flushed(code: int) -> int:
    """The exit code, once standard output has taken everything; a reader that left early is no news."""
    if sys.stdout.closed:  # the language server closes it when its client says good-bye
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes once more on its way out, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or (ExitCode.COULD_NOT_WORK if isinstance(error, BrokenPipeError) else _told(error, Namespace()))
    return code


def _told(error: Exception, args: Namespace) -> int:
    from ftc.spec.diagnostics import Refusal

    match error:
        case Refusal():
            return _refused(error, args)
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in _TRAIN_PACKAGES:
            return _refused(missing_package(name), args)
        case OSError(errno=errno.ENAMETOOLONG, filename=str(file)):
            return _refused(_long_name(file), args)
        case OSError(filename=str(file), strerror=str(reason)):
            return _one_line(f"{file}: {reason}{_LIMITS.get(error.errno or 0, '')}")
        case FileNotFoundError() if _is_nowhere():
            return _one_line("the working folder was deleted")
        case OSError(strerror=str(reason)):
            return _one_line(reason)
        case OSError():
            return _one_line(str(error) or type(error).__name__)
        case MemoryError():
            return _one_line("not enough memory; with a smaller file, or on a machine with more, it may do")
        case _:
            return _bug(error, args)


_LIMITS = {
    errno.EFBIG: " (a limit on the size of files; `ulimit -f` shows it)",
    errno.EDQUOT: " (the disk quota of this account is used up)",
    errno.ENOSPC: " (the disk is full)",
}
"""What an error of the system comes from, where its own words leave that open."""


def _is_nowhere() -> bool:
    """Whether the folder that the process was started in was deleted since."""
    from pathlib import Path

    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def missing_package(name: str) -> Refusal:
    """An `ftc` without its training extra is no bug."""
    from ftc.spec.diagnostics import Refusal, diagnostic

    summary = f"`{name}` is not installed"
    help = "`pip install 'ftc[train]'` installs all that training needs"
    return Refusal([diagnostic("FTC650", summary, help=help)])


def _refused(error: Refusal, args: Namespace) -> int:
    from ftc.cli.terminal import show_diagnostics, write
    from ftc.spec.storage.processes import is_follower
    from ftc.views.diagnostics import render_json

    # The first process shows what all of them find; this one's own word is one line.
    if is_follower(os.environ) and not _speaks_now():
        sys.stderr.write(f"rank {os.environ['RANK']}: {error}\n")
    elif getattr(args, "json", False):
        write(render_json(error.diagnostics))
    else:
        show_diagnostics(error.diagnostics, getattr(error, "sources", {}), args)
    if error.exit_code == ExitCode.PROCESS_LOST:
        from ftc.runtime.execution.lost_processes import note_spoken

        note_spoken()
    return error.exit_code


def _speaks_now() -> bool:
    """Whether this process speaks in the place of the first one, which was lost: the next one does."""
    watch = sys.modules.get("ftc.runtime.execution.end_watch")
    return watch is not None and os.environ["RANK"] == "1" and watch.first_is_lost()


def _long_name(file: str) -> Refusal:
    """A path with a name that no file can have, which most often is a text in the place of a file."""
    from pathlib import PurePath  # `ftc --help` does without

    from ftc.spec.diagnostics import Refusal, diagnostic
    from ftc.spec.language.safe_repr import quoted

    longest = max(PurePath(file).parts, key=len)
    summary = f"{quoted(file)} can be no file: a part of the path has {len(longest):,} characters"
    return Refusal([diagnostic("FTC300", summary, help="name a file; most systems allow 255 bytes in a name")])


def _one_line(text: str) -> int:
    from ftc.views.page import escaped

    sys.stderr.write(f"error: {escaped(text)}\n")
    return ExitCode.COULD_NOT_WORK


def _bug(error: Exception, args: Namespace) -> int:
    """Says that it is our fault, and keeps what a report needs."""
    import traceback

    trace = "".join(traceback.format_exception(error))
    if os.environ.get("FTC_TRACEBACK") == "1":
        sys.stderr.write(trace)
        return ExitCode.COULD_NOT_WORK
    sys.stderr.write(
        f"error: `ftc {args.verb}` met a bug in ftc ({type(error).__name__}); your files are not at fault.\n"
        f"Please report it with what you ran and with {_kept(trace)}\n"
    )
    return ExitCode.COULD_NOT_WORK


def _kept(trace: str) -> str:
    """Path of a new file that holds the traceback; only its owner can read it."""
    import platform
    import tempfile

    import ftc

    with tempfile.NamedTemporaryFile("w", prefix="ftc-bug-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(f"ftc {ftc.__version__}, Python {platform.python_version()}, {platform.platform()}\n\n{trace}")
    return file.name


class Restart(BaseException):
    """Raised by a verb before it has done anything: its environment has to be another one from the start.

    Args:
        environment: Variables that have to be set.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(", ".join(environment))
        self.environment = environment

    def follow(self) -> int:
        """Starts the command again in place of this process; only where a system can't do that does it come back."""
        command = [sys.executable, *sys.orig_argv[1:]]
        environment = {**os.environ, **self.environment}
        if os.name == "posix":
            os.execve(sys.executable, command, environment)  # noqa: S606 - the same command, with words as they were
        import subprocess

        return subprocess.run(command, env=environment, check=False).returncode
