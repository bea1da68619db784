"""Work on many rows in several processes, with the same results in the same order for any number of them.

A process is a fork of this one: it has the rows, the tokenizer and all else without being told of them, and its results
come back through a pipe as bytes. Where a fork isn't safe, as beside other threads, or isn't worth it, this process
does all of the work itself. It also does what another one could not, so that an error is the one that a single process
would have met first.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate, pairwise
from typing import Any, BinaryIO, NamedTuple, TypeVar

from ftc.compiler.resolve.machine.local import usable_threads
from ftc.compiler.stages import be_silent

__all__ = ["ROWS_AT_ONCE", "found_in", "frame", "num_jobs", "ranges", "spread", "unframed", "with_jobs"]

_Row = TypeVar("_Row")

ROWS_AT_ONCE = 1024
"""Rows whose results are one piece."""
_FEWEST_PIECES = 4
_SIZE = struct.Struct("<q")
_PIPE_BYTES = 1 << 20
_JOBS: ContextVar[int | None] = ContextVar("jobs", default=None)


@contextmanager
def with_jobs(jobs: int | None) -> Iterator[None]:
    """Has rows worked on in so many processes; None for one on each core that this process may use."""
    before = _JOBS.set(jobs)
    try:
        yield
    finally:
        _JOBS.reset(before)


def num_jobs() -> int:
    """How many processes work on rows where there are enough of them."""
    if sys.platform != "linux" or threading.active_count() > 1:  # a lock that another thread holds would stay so
        return 1
    return _JOBS.get() or usable_threads()


def ranges(count: int, at_once: int | None = None) -> list[range]:
    """The numbers of so many rows in pieces."""
    at_once = at_once or ROWS_AT_ONCE
    return [range(begin, min(count, begin + at_once)) for begin in range(0, count, at_once)]


def found_in(rows: Sequence[_Row], look: Callable[[_Row], Any]) -> Iterator[tuple[int, Any]]:
    """What is found in rows, each with the row's number, in their order.

    Args:
        rows: The rows.
        look: What it finds in a row, as a JSON value; None where it finds nothing. It leaves the row as it is.
    """
    pieces = ranges(len(rows))

    def work(which: range) -> Iterator[bytes]:
        for piece in (pieces[number] for number in which):
            numbered = zip(piece, rows[piece.start : piece.stop], strict=True)
            yield json.dumps([(number, one) for number, row in numbered if (one := look(row)) is not None]).encode()

    for data in spread(len(pieces), work):
        yield from map(tuple, json.loads(data))


def spread(
    count: int, work: Callable[[range], Iterator[bytes]], *, fewest: int = _FEWEST_PIECES
) -> Generator[bytes, None, None]:
    """The results of so many pieces of work, in their order.

    Args:
        count: Pieces of work.
        work: Gives the result of each of some pieces, one after the other.
        fewest: Pieces from which several processes are worth it.
    """
    jobs = min(num_jobs(), count) if count >= fewest else 1
    done = 0
    if jobs > 1:
        with _started(jobs, count, work) as workers:
            while workers and done < count and (result := workers[done % jobs].result()) is not None:
                yield result
                done += 1
    yield from work(range(done, count))


class _Worker(NamedTuple):
    """A process and what it writes."""

    pid: int
    output: BinaryIO

    def result(self) -> bytes | None:
        """Its next result; None where it ended without one."""
        if len(size := self.output.read(_SIZE.size)) < _SIZE.size:
            return None
        (length,) = _SIZE.unpack(size)
        found = self.output.read(length)
        return found if len(found) == length else None


@contextmanager
def _started(jobs: int, count: int, work: Callable[[range], Iterator[bytes]]) -> Iterator[list[_Worker]]:
    """Processes, each of which does every so many-th piece; none where the system doesn't allow them."""
    workers: list[_Worker] = []
    try:
        for number in range(jobs):
            source, target = os.pipe()
            try:
                pid = os.fork()
            except OSError:  # the system allows no more processes, and this one does all of the work
                os.close(source)
                os.close(target)
                break
            if not pid:
                read_here = [source, *(worker.output.fileno() for worker in workers)]
                _work(target, work(range(number, count, jobs)), read_here)
            os.close(target)
            workers.append(_Worker(pid, os.fdopen(source, "rb")))
        yield workers if len(workers) == jobs else []
    finally:
        for worker in workers:
            worker.output.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)


def _work(target: int, results: Iterator[bytes], not_ours: Sequence[int]) -> None:
    """Writes results and ends this process; at an error, without a word.

    Args:
        target: Where to.
        results: What is written.
        not_ours: Ends of pipes from which the first process reads. Held open here they would keep a process that
            writes waiting forever for one that was killed.
    """
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        be_silent()
        for end in not_ours:
            os.close(end)
        import fcntl

        with contextlib.suppress(OSError):  # a worker goes on while the other's result is waited for
            fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with os.fdopen(target, "wb") as output:
            for result in results:
                output.write(_SIZE.pack(len(result)))
                output.write(result)
                output.flush()
    finally:
        os._exit(0)


def frame(facts: Any, parts: Sequence[bytes]) -> bytes:
    """Facts that are JSON values, and bytes, as one."""
    head = json.dumps([facts, [len(part) for part in parts]]).encode("ascii")
    return b"".join([_SIZE.pack(len(head)), head, *parts])


def unframed(data: bytes) -> tuple[Any, list[bytes]]:
    """What `frame` was given."""
    begin = _SIZE.size + _SIZE.unpack_from(data)[0]
    facts, lengths = json.loads(data[_SIZE.size : begin])
    ends = [*accumulate(lengths, initial=begin)]
    return facts, [data[start:end] for start, end in pairwise(ends)]
