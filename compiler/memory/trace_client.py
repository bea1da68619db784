"""Asks a process with torch what jobs allocate, and remembers the answers; itself it never loads torch.

An answer depends on the job's decisive parts and on the versions of the libraries whose code is traced, so those are
its key. Whatever keeps the trace from answering becomes a reason in words: a plan then falls back on the closed form,
for ways to run the job like this one or for all of them, and says why. The process is started by the first job without
a remembered answer, and answers all of one plan.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from ftc.compiler.resolve.machine.package_code import code_digest
from ftc.spec import canonical
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob, TraceResult
from ftc.spec.optimizers import optimizer_card
from ftc.spec.storage.cache import Cache
from ftc.spec.storage.paths import cache_folder
from ftc.spec.storage.reading import parse_json
from ftc.spec.strategies import strategy_card
from ftc.spec.version import VERSION

if TYPE_CHECKING:
    from subprocess import Popen

__all__ = ["Tracer", "installed_versions"]

_NEEDED = ("torch", "transformers")
_TRACED = (*_NEEDED, "peft", "bitsandbytes")
_PASSED_ON = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "VIRTUAL_ENV")
_SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def installed_versions() -> dict[str, str]:
    """Versions of ftc's own code and of the libraries that are traced, as far as they are installed."""
    found = {"ftc": f"{VERSION}+{_own_code()}"}
    for name in _TRACED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = f"{metadata.version(name)} {code_digest(name, cache_folder())}".strip()
    return found


def _own_code() -> str:
    """Digest of the code that the trace runs, which in a checkout changes without a new version."""
    state = hashlib.sha256()
    spec = importlib.util.find_spec("ftc.runtime")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).rglob("*.py")):
            state.update(file.read_bytes())
    return state.hexdigest()[:12]


class Tracer:
    """Answers jobs from the cache or from a process that traces; as a context manager it ends that process.

    Args:
        cache: Folder of earlier answers; one that can't be used costs a trace each time and fails nothing.
        versions: What is installed; looked up where it isn't given.
        timeout_seconds: How long one trace may take before its process is ended; loading the libraries counts.
        tell: Hears, before a job is traced, how many were.
    """

    def __init__(
        self,
        cache: Path,
        *,
        versions: Mapping[str, str] | None = None,
        timeout_seconds: float = 180.0,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._cache = Cache(cache)
        self._given_versions = versions
        self._timeout_seconds = timeout_seconds
        self._tell = tell
        self._child: _Child | None = None
        self._traced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @cached_property
    def _versions(self) -> dict[str, str]:
        return installed_versions() if self._given_versions is None else dict(self._given_versions)

    def answers(self, jobs: Iterable[TraceJob]) -> dict[str, TraceAnswer]:
        """Answers by the jobs' keys."""
        return {job.key(): self.answer(job) for job in jobs}

    def answer(self, job: TraceJob) -> TraceAnswer:
        """What a job allocates, or why that isn't known."""
        if missing := [name for name in _needed(job) if name not in self._versions]:
            reason = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
            return TraceAnswer(None, reason, for_every_job=True)
        key = {"kind": "memory trace", "job": job.key(), "versions": self._versions}
        name = f"{canonical.digest(key)}.json"
        if remembered := _result(self._cache.recall(name, key)):
            return TraceAnswer(remembered)
        self._tell(self._traced)
        self._traced += 1
        answer = self._ask(job)
        if answer.result is not None:
            self._cache.keep(name, key, answer.result.to_json())
        return answer

    def _ask(self, job: TraceJob) -> TraceAnswer:
        try:
            self._child = self._child or _Child()
            text = self._child.exchange(job.model_dump_json(by_alias=True), self._timeout_seconds)
        except TimeoutError:
            self._end()
            return TraceAnswer(None, f"the memory trace took more than {self._timeout_seconds:g} s", for_every_job=True)
        except OSError as error:
            self._end()
            return TraceAnswer(None, f"the memory trace can't be started: {error}", for_every_job=True)
        if text is None:
            reason = self._child.last_words()
            self._end()
            return TraceAnswer(None, reason)
        return _understood(text)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child:
    """The process that traces: a job a line, an answer a line."""

    def __init__(self) -> None:
        import subprocess  # most plans start no process
        import tempfile

        # -P: a module in the folder where somebody plans must not take the place of an installed one.
        command = [sys.executable, "-P", "-m", "ftc.runtime.memory_trace.child"]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SETTINGS
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=environment
            )
        except OSError:
            self._errors.close()
            raise

    def exchange(self, job: str, timeout_seconds: float) -> bytes | None:
        """The answer's line; None where the process ended without one.

        Raises:
            TimeoutError: It took too long, and was ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with _killed_after(self._process, timeout_seconds) as ended:
            with contextlib.suppress(BrokenPipeError):  # it may have ended, and said why
                self._process.stdin.write(job.encode() + b"\n")
                self._process.stdin.flush()
            if line := self._process.stdout.readline():
                return line
        if ended.is_set():
            raise TimeoutError
        return None

    def last_words(self) -> str:
        """How the process ended, with the last line that it wrote."""
        status = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"the memory trace ended with status {status}{': ' if last else ''}{''.join(last)}"

    def end(self) -> None:
        """Ends the process, which has nothing to lose."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


@contextmanager
def _killed_after(process: Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Ends a process that is still at it after so many seconds; the event is set when it was."""
    ended = threading.Event()

    def end() -> None:
        ended.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield ended
    finally:
        timer.cancel()


def _needed(job: TraceJob) -> tuple[str, ...]:
    lesson = job.settings.train.distillation
    packs = lesson is not None and lesson.quantization is not None
    method = optimizer_card(job.settings.train.optimizer.kind)
    libraries = (*strategy_card(job.settings.strategy).libraries, method.package)
    return tuple(dict.fromkeys((*_NEEDED, *libraries, *(["bitsandbytes"] if packs else []))))


def _understood(text: bytes) -> TraceAnswer:
    try:
        answer = parse_json(text)
        if isinstance(answer, dict) and isinstance(problem := answer.get("problem"), str):
            return TraceAnswer(None, problem)
        return TraceAnswer(TraceResult.model_validate_json(text))
    except ValueError:
        return TraceAnswer(None, "the memory trace gave no readable answer")


def _result(remembered: object) -> TraceResult | None:
    try:
        return TraceResult.model_validate_json(json.dumps(remembered))
    except ValueError:  # absent, or of another form: it is traced again
        return None
