"""The process that runs code which a model wrote. It is run as a file, without site packages, by
`ftc.runtime.rewards.code_runs`; nothing of ftc is imported.

Each test runs in a process of its own, forked from this one, which first gives up everything that it doesn't need:
limits on CPU time, memory and files, no other open file, and a filter of the Linux kernel (seccomp) that lets only
calls through that compute, and that read files. So the code can't start a process or a thread, send a signal, wait,
reach a network, or write, rename or delete a file; the filter can't be taken off again. What it still can do is read
files that its user may read, which it can tell nobody.

A request is a line of JSON on standard input, its answer a line on standard output: what became of each test, in order.
A test that ends by a limit is the last one that runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import random
import resource
import select
import signal
import struct
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["main"]

UNCONFINED = 3
"""Exit code where this system has no such filter."""
_MOST_PRINTED = 1 << 20
"""Bytes of output that are compared; a program that prints more has failed."""
_OPEN_FILES = 32
_PAUSE_SECONDS = 0.0005
"""Before asking again whether a process that has closed its output has ended, which it usually does at once."""
_LOAD, _EQUAL, _ABOVE, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
"""Instructions of the kernel's filters: load a word, jump if equal, jump if at least, and, return."""
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
"""What a filter returns: the call happens, it gives EPERM, the process ends."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ONLY = {"fcntl": (1, (0, 1, 2, 3, 1030)), "ioctl": (1, (0x5401, 0x5413, 0x5450, 0x5451))}
"""By call: which argument says what it does, and what may be done: duplicate, flags, and whether it is a terminal."""
_OPENS = {"open": 1, "openat": 2}
"""Calls that open a file, and which argument has the flags."""
_X86 = """read 0 write 1 open 2 close 3 stat 4 fstat 5 lstat 6 poll 7 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12
rt_sigaction 13 rt_sigprocmask 14 rt_sigreturn 15 ioctl 16 pread64 17 readv 19 writev 20 access 21 select 23
sched_yield 24 mremap 25 madvise 28 dup 32 dup2 33 getpid 39 exit 60 uname 63 fcntl 72 getcwd 79 readlink 89
gettimeofday 96 getrlimit 97 getrusage 98 sysinfo 99 times 100 getuid 102 getgid 104 geteuid 107 getegid 108
getppid 110 sigaltstack 131 gettid 186 futex 202 sched_getaffinity 204 getdents64 217 set_tid_address 218
clock_gettime 228 clock_getres 229 exit_group 231 openat 257 newfstatat 262 readlinkat 267 faccessat 269
pselect6 270 ppoll 271 set_robust_list 273 dup3 292 pipe2 293 getrandom 318 membarrier 324 statx 332 rseq 334
faccessat2 439"""
_ARM = """getcwd 17 dup 23 dup3 24 fcntl 25 ioctl 29 faccessat 48 openat 56 close 57 pipe2 59 getdents64 61 lseek 62
read 63 write 64 readv 65 writev 66 pread64 67 pselect6 72 ppoll 73 readlinkat 78 newfstatat 79 fstat 80 exit 93
exit_group 94 set_tid_address 96 futex 98 set_robust_list 99 clock_gettime 113 clock_getres 114
sched_getaffinity 123 sched_yield 124 sigaltstack 132 rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139 times 153
uname 160 getrusage 165 gettimeofday 169 getpid 172 getppid 173 getuid 174 geteuid 175 getgid 176 getegid 177
gettid 178 sysinfo 179 brk 214 munmap 215 mremap 216 mmap 222 mprotect 226 madvise 233 getrandom 278 membarrier 283
statx 291 rseq 293 faccessat2 439"""
_MACHINES = {"x86_64": (0xC000003E, _X86), "aarch64": (0xC00000B7, _ARM)}
"""By machine: how the kernel names it, and the calls that code may make with their numbers."""


def _argument(place: int) -> int:
    """Where the kernel puts the low word of a call's argument."""
    return 16 + 8 * place


def _instructions() -> Iterator[tuple[int, int, int, int]]:
    """The filter: code, where to jump if true, where if not, and a value."""
    name, listed = _MACHINES[platform.machine()]
    words = listed.split()
    yield _LOAD, 0, 0, 4
    yield _EQUAL, 1, 0, name
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, 0
    yield _ABOVE, 0, 1, 0x40000000  # calls of another width, whose numbers mean something else
    yield _RETURN, 0, 0, _REFUSE
    for call, number in zip(words[::2], map(int, words[1::2]), strict=True):
        if call in _OPENS:
            yield _EQUAL, 0, 5, number
            yield _LOAD, 0, 0, _argument(_OPENS[call])
            yield _AND, 0, 0, _WRITES
            yield _EQUAL, 0, 1, 0
            yield _RETURN, 0, 0, _ALLOW
            yield _RETURN, 0, 0, _REFUSE
        elif call in _ONLY:
            place, known = _ONLY[call]
            yield _EQUAL, 0, 2 * len(known) + 2, number
            yield _LOAD, 0, 0, _argument(place)
            for value in known:
                yield _EQUAL, 0, 1, value
                yield _RETURN, 0, 0, _ALLOW
            yield _RETURN, 0, 0, _REFUSE
        else:
            yield _EQUAL, 0, 1, number
            yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _REFUSE


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _filter() -> tuple[Any, _Program]:
    """The filter as the kernel reads it, and the memory that it lies in."""
    code = b"".join(struct.pack("=HBBI", *one) for one in _instructions())
    kept = ctypes.create_string_buffer(code, len(code))
    return kept, _Program(len(code) // 8, ctypes.addressof(kept))


def _confine(cpu_seconds: int, memory_bytes: int, library: Any, program: _Program) -> None:
    """Gives up what computing doesn't need, for good."""
    limits = {
        resource.RLIMIT_CPU: (cpu_seconds, cpu_seconds + 1),
        resource.RLIMIT_AS: (memory_bytes, memory_bytes),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_NOFILE: (_OPEN_FILES, _OPEN_FILES),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NPROC: (0, 0),
    }
    for name, (soft, hard) in limits.items():
        most = resource.getrlimit(name)[1]
        most = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(name, (min(soft, most), most))
    one = ctypes.c_ulong(1)
    zero = ctypes.c_ulong(0)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) or library.prctl(
        _PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), zero, zero
    ):
        os._exit(UNCONFINED)


def _run(code: str, test: str | None, candidate: str) -> None:
    """Runs code, and a test behind it; whatever it raises is a failure."""
    module = types.ModuleType("answer" if test is not None else "__main__")
    sys.modules[module.__name__] = module
    names = module.__dict__
    random.seed(0)
    exec(compile(code, "<answer>", "exec"), names)  # noqa: S102 - what this process is for
    if test is not None:
        found = [one for one in names.values() if isinstance(one, types.FunctionType) and one.__module__ == "answer"]
        names[candidate] = found[-1] if found else None
        exec(compile(test, "<test>", "exec"), names)  # noqa: S102


class _Tester:
    """Runs the tests of one request."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._code, self._candidate, self._mark = request["code"], request["candidate"], request["mark"].encode()
        self._limits = request["cpu_seconds"], request["memory_bytes"]
        self._wall = request["wall_seconds"]
        self._library = ctypes.CDLL(None, use_errno=True)
        self._kept, self._program = _filter()

    def outcome(self, test: str | None, given: str, expected: str) -> str:
        """`passed`, `failed`, or `limit`."""
        ours, theirs = os.pipe()
        given_from, given_to = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self._child(test, theirs, given_from)
            finally:
                os._exit(1)
        os.close(theirs)
        os.close(given_from)
        until, ended, status = time.monotonic() + self._wall, 0, 0
        printed, in_time = self._talk(ours, given_to, given.encode(), until)
        while in_time and not ended and len(printed) <= _MOST_PRINTED:  # code may close its output and go on
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                time.sleep(_PAUSE_SECONDS)
                in_time = time.monotonic() < until
        if not ended:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        os.close(ours)
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == UNCONFINED:
            sys.exit(UNCONFINED)
        if len(printed) > _MOST_PRINTED:
            return "failed"
        if not in_time or ended_by in (signal.SIGXCPU, signal.SIGKILL):
            return "limit"
        if test is not None:
            return "passed" if printed == self._mark else "failed"
        is_right = _lines(printed.decode("utf-8", "replace")) == _lines(expected)
        return "passed" if is_right and status == 0 else "failed"

    def _child(self, test: str | None, output: int, given: int) -> None:
        """In the forked process; never returns."""
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(given, 0)
        os.dup2(nothing if test is not None else output, 1)
        os.dup2(nothing, 2)
        os.dup2(output, 3)
        os.closerange(4, 256)
        mark = self._mark
        self._mark = b""
        _confine(*self._limits, self._library, self._program)
        code = 1
        try:
            _run(self._code, test, self._candidate)
            code = 0
        except SystemExit as end:
            code = 0 if end.code in (None, 0) else 1
            mark = b""  # a test that was left has not passed
        except BaseException:  # noqa: BLE001 - whatever the code raises, the test has failed
            os._exit(1)
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        if test is not None and code == 0:
            os.write(3, mark)
        os._exit(code)

    def _talk(self, output: int, to: int, given: bytes, until: float) -> tuple[bytes, bool]:
        """What the process writes until it closes its output, and whether it did so in time."""
        printed = bytearray()
        os.set_blocking(to, False)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                break
            writes = [to] if given else []
            if not given and to >= 0:
                os.close(to)
                to = -1
            readable, writable, _ = select.select([output], writes, [], left)
            if writable:
                try:
                    given = given[os.write(to, given) :]
                except BrokenPipeError:
                    given = b""
            if readable:
                piece = os.read(output, 1 << 16)
                printed += piece
                if not piece or len(printed) > _MOST_PRINTED:
                    break
        if to >= 0:
            os.close(to)
        return bytes(printed), left > 0


def _lines(text: str) -> list[str]:
    """Lines without the spaces at their ends, and without empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def main() -> None:
    """Answers requests until the input ends."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        sys.exit(UNCONFINED)
    for line in sys.stdin:
        request, found = json.loads(line), list[str]()
        tester = _Tester(request)
        for test, given, expected in request["tests"]:
            found.append(tester.outcome(test, given, expected))
            if found[-1] == "limit":
                break
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
