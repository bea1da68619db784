"""The code of model cards, run as people would: in a fresh process, from the folder that the card lies in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["CardRunner", "code_of"]

_SERVE = """
import io, json, os, sys, traceback, warnings
warnings.simplefilter("ignore")
import peft, torch, transformers
from contextlib import redirect_stdout
try:  # on some CPUs it repacks four-bit weights in blocks of 64, which are wider than the layers of tiny models
    import bitsandbytes.nn.modules
    bitsandbytes.nn.modules.has_avx512bf16 = lambda: False
except ImportError:
    pass
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
for line in sys.stdin:
    folder, code = json.loads(line)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.chdir(folder)
        said, fault = io.StringIO(), ""
        try:
            with redirect_stdout(said):
                exec(compile(code, "card", "exec"), {"__name__": "__main__"})
        except BaseException:
            fault = traceback.format_exc()
        with os.fdopen(writer, "w") as out:
            out.write(json.dumps([said.getvalue(), fault]))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as found:
        answer = found.read()
    os.wait()
    print(answer, flush=True)
"""


def code_of(card: Path) -> str:
    """The Python of a model card."""
    return card.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]


class CardRunner:
    """A process that has the libraries loaded and forks for each card: as fresh as a new one, at a tenth of the cost.

    It is offline, so that a local folder's name that is asked for on the hub is an error. Where there is no fork, each
    card has a process of its own.
    """

    def __init__(self) -> None:
        self._environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self._server: subprocess.Popen[str] | None = None

    def run(self, card: Path) -> str:
        """What a card's code prints."""
        code = code_of(card)
        assert code, "the card has code"
        said, fault = self._forked(card.parent, code) if hasattr(os, "fork") else self._alone(card.parent, code)
        assert not fault, f"{code}\n{fault}"
        return said

    def _forked(self, folder: Path, code: str) -> tuple[str, str]:
        pipe = subprocess.PIPE
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-c", _SERVE],
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.DEVNULL,
                text=True,
                env=self._environment,
            )
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([str(folder.absolute()), code]) + "\n")
        self._server.stdin.flush()
        said, fault = json.loads(self._server.stdout.readline())
        return said, fault

    def _alone(self, folder: Path, code: str) -> tuple[str, str]:
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, cwd=folder, env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout, done.stderr if done.returncode else ""

    def close(self) -> None:
        """Ends the process."""
        if self._server is not None:
            self._server.communicate(timeout=60)
