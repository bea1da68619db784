"""Renders templates in a child process that has no secrets, no files and hard limits; see `sandbox_child`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self, cast, get_args

from ftc.compiler.tokens import sandbox_child

__all__ = ["ProblemKind", "TemplateKind", "TemplateProblem", "TemplateRenderer"]

ProblemKind = Literal["syntax", "security", "limit", "raised", "undefined"]

TemplateKind = Literal["chat", "prompt"]
"""The model's template of conversations, or the recipe's of a prompt."""

CPU_SECONDS = 3
"""CPU time of one batch."""
WALL_SECONDS = 30
"""Time until a batch's child is ended, for the case that it waits rather than works."""
MAX_CHARS = 1_000_000
"""Longest rendering, in characters."""
MAX_TEMPLATE_CHARS = 200_000
MAX_ROW_BYTES = 8_000_000
_BATCH_ROWS = 512
_BATCH_BYTES = 8_000_000
_CHILD = Path(sandbox_child.__file__).resolve()


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """Why a template gave no text.

    Attributes:
        kind: `syntax`: it can't be read. `security`: it reached for Python's internals. `limit`: it used too much
            memory or time, or wrote too much. `raised`: it refused the row itself. `undefined`: it uses a name that
            isn't there.
        message: What happened, in one line.
        line: Line of the template, from 1, where it is known.
        template: Which template it was.
    """

    kind: ProblemKind
    message: str
    line: int | None = None
    template: TemplateKind = "chat"


class TemplateRenderer:
    """A child that renders templates; it starts at the first use and again after a fault. Use it in a `with`.

    Faults are values of the result and never exceptions. Once a row reaches a limit, the later rows of the same call
    are not tried, so that a bomb costs seconds however many rows there are.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child."""
        if (process := self._process) is None:
            return
        self._process = None
        process.kill()
        _end(process)

    def render(
        self, template: str, variables: Sequence[Mapping[str, Any]], *, strict: bool = False
    ) -> list[str | TemplateProblem]:
        """One text, or problem, for each dict of variables, which must be JSON values.

        Args:
            template: Jinja source.
            variables: Names that the template sees, for each rendering.
            strict: Whether an unknown name is a problem; otherwise it is empty text, as in chat templates.
        """
        if len(template) > MAX_TEMPLATE_CHARS:
            return [_limit(f"the template is longer than {MAX_TEMPLATE_CHARS:,} characters")] * len(variables)
        texts: list[str | TemplateProblem] = []
        for batch in _batches(variables):
            texts += self._render_batch(template, batch, strict)
            if any(isinstance(text, TemplateProblem) and text.kind == "limit" for text in texts[-len(batch) :]):
                break
        return texts + [_limit("not rendered, because an earlier row reached a limit")] * (len(variables) - len(texts))

    def _render_batch(self, template: str, rows: list[bytes], strict: bool) -> list[str | TemplateProblem]:
        if any(len(row) > MAX_ROW_BYTES for row in rows):
            return [_limit(f"the row is larger than {MAX_ROW_BYTES:,} bytes")] * len(rows)
        if self._owner != os.getpid():  # a fork of the process whose child it is
            self._process, self._owner = None, os.getpid()
        process = self._process = self._process or subprocess.Popen(
            [sys.executable, "-I", "-B", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        limits = {"cpu_seconds": CPU_SECONDS, "max_chars": MAX_CHARS}
        header = json.dumps({"template": template, "rows": len(rows), "strict": strict, **limits}).encode("ascii")
        timer = threading.Timer(WALL_SECONDS, process.kill)
        timer.start()
        try:
            texts = list(_exchange(process, header, rows))
        finally:
            timer.cancel()
            timer.join()  # a process with one thread can be forked
        if len(texts) < len(rows):
            self._process = None
            problem = _end(process)
            texts += [problem] * (len(rows) - len(texts))
        return texts


def _batches(variables: Sequence[Mapping[str, Any]]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for row in variables:
        body = json.dumps(row).encode("ascii")
        if batch and (len(batch) == _BATCH_ROWS or size + len(body) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch


def _exchange(process: subprocess.Popen[bytes], header: bytes, rows: list[bytes]) -> Iterator[str | TemplateProblem]:
    """Sends a batch and yields the answers until the child ends or talks nonsense."""
    source, output = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
    try:
        for body in (header, *rows):
            sandbox_child.write_message(source, body)
        source.flush()
        for _ in rows:
            if (reply := sandbox_child.read_message(output, MAX_CHARS * 12 + 10_000)) is None:
                return
            answer = json.loads(reply)
            if isinstance(text := answer.get("text"), str):
                yield text
                continue
            kind, message, line = answer["problem"]
            if kind not in get_args(ProblemKind) or not isinstance(message, str) or not isinstance(line, int | None):
                return
            yield TemplateProblem(kind, message, line)
    except (AttributeError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return


def _end(process: subprocess.Popen[bytes]) -> TemplateProblem:
    """Waits for a child that stopped answering and says why it ended."""
    try:
        code = process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was still to be written has no reader any more
            cast(BinaryIO, pipe).close()
    if code == -signal.SIGXCPU:
        return _limit(f"the template took more than {CPU_SECONDS} s of CPU time")
    return _limit(f"the process that renders templates ended (code {code})")


def _limit(message: str) -> TemplateProblem:
    return TemplateProblem("limit", message)
