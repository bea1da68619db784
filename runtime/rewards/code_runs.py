"""Runs code that a model wrote beside tests, in a process that has given up all but computing; see `code_child`."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, cast

from ftc.runtime.rewards import code_child
from ftc.spec.code_tests import CANDIDATE, read_code_tests
from ftc.spec.diagnostics import Refusal, diagnostic

__all__ = ["code_in", "run_tests"]

_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_WALL_SHARE, _WALL_SECONDS = 10, 20
"""A test that waits rather than works is ended after so many times its CPU seconds, and so many seconds more."""
_FLAGS = ("-P", "-s", "-S", "-B", "-X", "utf8")
"""No packages, no folder of the project, nothing written; only the standard library can be imported."""


def code_in(answer: str) -> str:
    """The code of an answer: its last fenced block, or all of it where it has none."""
    blocks = _FENCED.findall(answer)
    return blocks[-1] if blocks else answer


def run_tests(code: str, reference: str, cpu_seconds: int, memory_bytes: int) -> float:
    """Share of a row's tests that code passes; once one ends by a limit, it and those after it count as failed.

    Args:
        code: What an answer consists of.
        reference: The row's tests, as `ftc.spec.code_tests` reads them.
        cpu_seconds: What a test may take of the CPU.
        memory_bytes: What it may take of memory.

    Raises:
        Refusal: The system can't confine code (FTC455).
    """
    tests = read_code_tests(reference)
    every = [(one, "", "") for one in tests.tests] + [(None, given, wanted) for given, wanted in tests.cases]
    found = _child().asked(
        {
            "code": code,
            "candidate": CANDIDATE,
            "mark": secrets.token_hex(16),
            "cpu_seconds": cpu_seconds,
            "memory_bytes": memory_bytes,
            "wall_seconds": _WALL_SHARE * cpu_seconds + _WALL_SECONDS,
            "tests": every,
        }
    )
    return found.count("passed") / len(every)


class _Child:
    """The process; it starts at the first request, and again after a fault."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="ftc-code-")
        self._one_at_a_time = threading.Lock()
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the process with all that it started."""
        if (process := self._process) is not None:
            self._process = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def asked(self, request: Mapping[str, object]) -> list[str]:
        """What became of the tests of a request.

        Raises:
            Refusal: The system can't confine code (FTC455).
        """
        with self._one_at_a_time:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, *_FLAGS, str(Path(code_child.__file__).resolve())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={"PYTHONHASHSEED": "0"},
                    cwd=self._folder.name,
                    start_new_session=True,
                    text=True,
                    encoding="utf-8",
                )
            process = self._process
            try:
                source = cast(IO[str], process.stdin)
                source.write(json.dumps(request) + "\n")
                source.flush()
                return [str(one) for one in json.loads(cast(IO[str], process.stdout).readline())]
            except (OSError, ValueError):
                code = process.wait()
                self.close()
            except BaseException:  # interrupted: the next question must not get this one's answer
                self.close()
                raise
        why = "" if code == code_child.UNCONFINED else f"; the process that runs it ended (code {code})"
        summary, help = f"this system can't confine code that a model wrote{why}", "run it on Linux, x86-64 or arm64"
        raise Refusal([diagnostic("FTC455", summary, help=help, path="task.rewards")])


@cache
def _child() -> _Child:
    return _Child()
