"""A process that plans mutants, one after the other, and writes what a user would have seen of each as a line of JSON.

It reads numbers from its input. File descriptors 1 and 2 are what the verb writes to, so that a native library's own
words are seen as well; answers go to a copy of the real output.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MEMORY_BYTES = 6 * 2**30
"""Address space: what a library maps and never touches counts, so it is more than a plan takes."""


def main() -> None:
    """Answers each number of the input with a line."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    home = Path(tempfile.mkdtemp(prefix="ftc-fuzz-"))
    os.environ["FTC_CACHE"] = str(home / "cache")
    seen = (home / "seen").open("w+b")
    for descriptor in (1, 2):
        os.dup2(seen.fileno(), descriptor)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    from ftc.compiler.memory.trace_client import Tracer
    from ftc.spec.documents.memory_trace import TraceAnswer

    Tracer._ask = lambda *_: TraceAnswer(None, "no traces in tests", for_every_job=True)  # type: ignore[method-assign]
    try:
        for line in sys.stdin:
            answers.write(json.dumps(_answer(int(line), home, seen)) + "\n")
            answers.flush()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _peak_mib() -> int:
    """The most that this program had in memory. The kernel's `ru_maxrss` counts what began it as well."""
    import resource

    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    (line,) = [line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


def _answer(number: int, home: Path, seen: Any) -> dict[str, Any]:
    from tests.fuzz.file_mutations import mutant

    one = mutant(number)
    project = home / "project"
    shutil.rmtree(project, ignore_errors=True)
    (project / ".ftc").mkdir(parents=True)
    for name, data in one.files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(data)
    os.chdir(project)
    seen.seek(0)
    seen.truncate()
    started = time.monotonic()
    code, raised = _plan()
    sys.stdout.flush()
    sys.stderr.flush()
    seen.seek(0)
    return {
        "number": number,
        "damaged": one.damaged,
        "exit": code,
        "raised": raised,
        "text": seen.read().decode("utf-8", "backslashreplace"),
        "seconds": time.monotonic() - started,
        "peak_mib": _peak_mib(),
    }


def _plan() -> tuple[int, str | None]:
    import traceback

    from ftc.cli.main import main as ftc

    os.environ["FTC_TRACEBACK"] = "1"
    try:
        return ftc(["plan", "recipe.yaml", "--offline"]), None
    except BaseException:  # noqa: BLE001  # a panic of a native library is no Exception
        return -1, traceback.format_exc()


if __name__ == "__main__":
    main()
