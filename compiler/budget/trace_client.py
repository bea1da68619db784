"""Asks a process with torch what a job allocates, and remembers the answer; itself it never loads torch.

An answer depends on the job's decisive parts and on the versions of the libraries whose code is traced, so those are
its key. Whatever keeps the trace from answering becomes a reason in words: a plan then falls back on the closed form
and says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ftc.spec import canonical
from ftc.spec.trace import TraceJob, TraceResult
from ftc.spec.version import VERSION

__all__ = ["TraceAnswer", "installed_versions", "trace_memory"]

_NEEDED = ("torch", "transformers")
_TRACED = (*_NEEDED, "peft", "bitsandbytes")
_PASSED_ON = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "VIRTUAL_ENV")
_SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """The estimate, or why there is none."""

    result: TraceResult | None
    reason: str | None = None


def installed_versions() -> dict[str, str]:
    """Versions of ftc and of the libraries that are traced, as far as they are installed."""
    found = {"ftc": VERSION}
    for name in _TRACED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def trace_memory(
    job: TraceJob, cache: Path, *, versions: Mapping[str, str] | None = None, timeout_seconds: float = 180.0
) -> TraceAnswer:
    """What a job allocates, from the cache or from a trace.

    Args:
        job: Everything that decides about memory.
        cache: Folder of earlier answers; one that can't be used costs a trace each time and fails nothing.
        versions: What is installed; looked up where it isn't given.
        timeout_seconds: How long a trace may take before it is ended.
    """
    versions = installed_versions() if versions is None else versions
    if missing := [name for name in _needed(job) if name not in versions]:
        return TraceAnswer(None, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed")
    file = cache / f"{canonical.digest({'job': job.decisive(), 'versions': dict(versions)})}.json"
    if remembered := _read(file):
        return TraceAnswer(remembered)
    answer = _ask(job, timeout_seconds)
    if answer.result is not None:
        _write(file, answer.result)
    return answer


def _needed(job: TraceJob) -> tuple[str, ...]:
    match job.settings.strategy.kind:
        case "full":
            return _NEEDED
        case "lora":
            return (*_NEEDED, "peft")
        case "qlora":
            return (*_NEEDED, "peft", "bitsandbytes")


def _ask(job: TraceJob, timeout_seconds: float) -> TraceAnswer:
    # -P: a module in the folder where somebody plans must not take the place of an installed one.
    command = [sys.executable, "-P", "-m", "ftc.runtime.trace.child"]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SETTINGS
    try:
        child = subprocess.run(
            command,
            input=job.model_dump_json(by_alias=True).encode(),
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return TraceAnswer(None, f"the trace took more than {timeout_seconds:g} s")
    except OSError as error:
        return TraceAnswer(None, f"the trace can't be started: {error}")
    return _understood(child)


def _understood(child: subprocess.CompletedProcess[bytes]) -> TraceAnswer:
    if child.returncode != 0:
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return TraceAnswer(None, f"the trace ended with status {child.returncode}{': ' if last else ''}{''.join(last)}")
    try:
        answer = json.loads(child.stdout)
        if isinstance(answer, dict) and isinstance(problem := answer.get("problem"), str):
            return TraceAnswer(None, problem)
        return TraceAnswer(TraceResult.model_validate_json(child.stdout))
    except ValueError:
        return TraceAnswer(None, "the trace gave no answer that can be read")


def _read(file: Path) -> TraceResult | None:
    try:
        return TraceResult.model_validate_json(file.read_bytes())
    except (OSError, ValueError):  # absent, or damaged: it is traced again
        return None


def _write(file: Path, result: TraceResult) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".trace-")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(result.to_text())
        os.replace(temporary, file)
