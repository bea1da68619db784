"""One process that renders templates, for all plans of a test process: its start takes longer than most plans."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ftc.compiler.tokens import sandbox
from ftc.compiler.tokens.sandbox import TemplateRenderer

__all__ = ["one_template_process"]

Process = subprocess.Popen[bytes]
_CHILD = sandbox._CHILD


class _Spare:
    """The process of a renderer that was closed, for the next one; a fork of this process has none."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._kept: list[Process] = []

    def take(self) -> Process | None:
        """The process, where a renderer would start the same one and it still lives."""
        if os.getpid() != self._owner or sandbox._CHILD != _CHILD or not self._kept:
            return None
        process = self._kept.pop()
        if process.poll() is None:
            return process
        sandbox._end(process)
        return None

    def keep(self, process: Process) -> bool:
        """Whether it is kept: there is none yet, and no test has put another program in its place."""
        if os.getpid() != self._owner or self._kept or sandbox._CHILD != _CHILD:
            return False
        self._kept.append(process)
        return True

    def end(self) -> None:
        """Ends the process."""
        while self._kept:
            process = self._kept.pop()
            process.kill()
            sandbox._end(process)


@contextmanager
def one_template_process() -> Iterator[None]:
    """Hands the process of each renderer that is closed to the next; one that ended, or may still write, is not kept.

    A process answers one request after the other and keeps nothing of them, as those of one plan do.
    """
    spare, start, close = _Spare(), TemplateRenderer.__init__, TemplateRenderer.close
    render: Callable[..., Any] = TemplateRenderer._render_batch

    def started(self: TemplateRenderer) -> None:
        start(self)
        self._process = spare.take()

    def rendered(self: TemplateRenderer, *words: Any) -> Any:
        try:
            return render(self, *words)
        except BaseException:  # its answers are still to be read
            close(self)
            raise

    def closed(self: TemplateRenderer) -> None:
        process = self._process
        if process is not None and self._owner == os.getpid() and spare.keep(process):
            self._process = None
        close(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TemplateRenderer, "__init__", started)
        patch.setattr(TemplateRenderer, "_render_batch", rendered)
        patch.setattr(TemplateRenderer, "close", closed)
        yield
    spare.end()
