"""Calls into libraries that are written in other languages and read files of strangers.

Such a library fails in more ways than Python's own: a panic of Rust is no `Exception` and prints its own stack to the
process's error output, a recursion or an allocation ends in errors of other kinds. Here each of them becomes one
exception that carries the library's own line, so that a caller can name the file.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import BinaryIO, ParamSpec, TypeVar, cast

__all__ = ["LibraryFault", "native"]

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_REASON = 200
_NO_FAULTS = (KeyboardInterrupt, SystemExit, GeneratorExit)
_ERROR_OUTPUT = 2
_LOCK = threading.RLock()
"""One call at a time holds the error output back."""


class LibraryFault(Exception):
    """A library failed on what it was given. The message is its own first line.

    Attributes:
        cause: What it raised.
    """

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(_words(cause))


def native(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a library's function gives.

    Raises:
        LibraryFault: It failed, in whatever way.
    """
    with _error_output_held_back():
        try:
            return call(*args, **kwargs)
        except _NO_FAULTS:
            raise
        except BaseException as error:  # a panic is no Exception
            raise LibraryFault(error) from error


def _words(cause: BaseException) -> str:
    if isinstance(cause, MemoryError):
        return "it needs more memory than there is"
    if isinstance(cause, RecursionError):
        return "it is nested too deeply"
    first = str(cause).strip().partition("\n")[0]
    return first[:_LONGEST_REASON] or type(cause).__name__


@contextmanager
def _error_output_held_back() -> Iterator[None]:
    """Keeps what a native library prints from the screen; it is printed after all where nothing failed."""
    with _LOCK:
        try:
            kept, held = os.dup(_ERROR_OUTPUT), _held()
        except OSError:  # there is no error output, or no folder for temporary files
            yield
            return
        os.dup2(held.fileno(), _ERROR_OUTPUT)
        try:
            yield
        except BaseException:
            os.dup2(kept, _ERROR_OUTPUT)
            raise
        else:
            os.dup2(kept, _ERROR_OUTPUT)
            held.seek(0)
            while piece := held.read(1 << 16):
                os.write(_ERROR_OUTPUT, piece)
        finally:
            os.close(kept)
            held.seek(0)
            held.truncate()


@cache
def _held() -> BinaryIO:
    """What takes the place of the error output; one file for all calls, since opening one costs more than a call."""
    held = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - closed when the process ends
    atexit.register(held.close)
    return held
