"""What only a GPU can show, in one program that can stop anywhere and go on: `python -m benchmarks.gpu --minutes 9`.

Its parts are ordered by worth. Each runs in a process of its own with a time limit, and appends one line of JSON to the
results: figures, card, driver, versions, command and commit. A part that has a line is not run again, so that calls of
ten minutes add up. Nothing is fetched: models have random weights in a public configuration's sizes, rows are words by
a seed, and every figure comes from `ftc plan` and `ftc apply` as a user types them.

    python -m benchmarks.gpu [--minutes N] [--out FILE] [--only WORD] [--again] [--tiny]

`--tiny` takes the same way on this machine's CPU with models of two layers: it measures nothing of worth and shows that
the program works before a card is there. `benchmarks/gpu_wheels.py` collects what such a machine may lack.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.gpu_parts import PARTS, Machine, Part

_ROOT = Path(__file__).resolve().parents[1]
_LEAST_SECONDS = 20
"""No part is begun with less time than this."""
_LIBRARIES = (
    *("ftc", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "triton", "flash-attn", "liger-kernel"),
    "pydantic",
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a part's process ended."""

    figures: dict[str, Any] | None
    problem: str
    seconds: float


def main() -> None:
    """Runs the parts that have no line yet, in order, while time is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9, help="time for this call")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="results, one line a part")
    parser.add_argument("--work", type=Path, help="folder for models, kept for later calls; a new one by default")
    parser.add_argument("--only", default="", help="the part of this name, or those whose name holds it")
    parser.add_argument("--again", action="store_true", help="also those that failed before")
    parser.add_argument("--tiny", action="store_true", help="on this machine's CPU, with models of two layers")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    ends = time.monotonic() + 60 * asked.minutes
    if not asked.tiny and not _has_card():
        sys.exit("no CUDA device here; `--tiny` walks through the program on a CPU")
    with tempfile.TemporaryDirectory() as folder:
        work = (asked.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        machine = Machine("cpu" if asked.tiny else "cuda", work, ends)
        if asked.part:
            part = next(part for part in PARTS if part.name == asked.part)
            print(json.dumps(part.measure(machine)))
            return
        known = _known(asked.out, asked.again)
        named = [part for part in PARTS if part.name == asked.only]
        wanted = named or [part for part in PARTS if asked.only in part.name]
        if not wanted:
            parser.error(f"no part's name holds {asked.only!r}; there are: {', '.join(part.name for part in PARTS)}")
        for part in PARTS:
            left = ends - time.monotonic()
            if part in wanted and part.name not in known and left > _LEAST_SECONDS:
                _tell(part, ended := _run(part, min(left, part.seconds), work, asked.tiny))
                _keep(asked.out, part, ended, asked.tiny)
    missing = [part.name for part in wanted if part.name not in _known(asked.out, False)]
    print(f"{len(missing)} parts are left{': ' + ', '.join(missing) if missing else ''}")


def _run(part: Part, limit: float, work: Path, tiny: bool) -> Ended:
    """The part in a process group of its own, which is ended at its limit with all that it started."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", part.name, "--work", str(work)]
    command += ["--minutes", f"{limit / 60:.3f}", *(["--tiny"] if tiny else [])]
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return Ended(None, f"longer than {limit:.0f} s; {_last(output)}", time.monotonic() - started)
    seconds = time.monotonic() - started
    if process.returncode:
        return Ended(None, f"exit {process.returncode}; {_last(output)}", seconds)
    figures = next((found for line in reversed(output.splitlines()) if (found := _as_line(line))), None)
    return Ended(figures, "" if figures else f"no figures; {_last(output)}", seconds)


def _as_line(text: str) -> dict[str, Any] | None:
    """A line of JSON; None for another, such as a library's last warning, or one that was cut off in writing."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _last(output: str) -> str:
    return " / ".join(line.strip() for line in output.splitlines()[-8:])


def _keep(file: Path, part: Part, ended: Ended, tiny: bool) -> None:
    line = {
        "part": part.name,
        "seconds": round(ended.seconds, 1),
        "figures": ended.figures,
        "problem": ended.problem,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": "cpu, tiny models" if tiny else _card(),
        "host": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: found for name in _LIBRARIES if (found := _version(name))},
        "command": shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]]),
        "commit": _commit(),
    }
    cut_off = file.exists() and file.read_bytes()[-1:] not in (b"", b"\n")
    with file.open("a", encoding="utf-8") as lines:
        lines.write("\n" * cut_off + json.dumps(line) + "\n")


def _known(file: Path, again: bool) -> set[str]:
    """Names of the parts that have a line; with `again`, only of those that did not fail."""
    if not file.exists():
        return set()
    lines = [found for line in file.read_text(encoding="utf-8").splitlines() if (found := _as_line(line))]
    return {line["part"] for line in lines if not (again and line["problem"])}


def _tell(part: Part, ended: Ended) -> None:
    figures = (ended.figures or {}).items()
    said = ended.problem or ", ".join(
        f"{name} {value}" for name, value in figures if not isinstance(value, list | dict)
    )
    print(f"{part.name:44}{ended.seconds:7.1f} s  {said}", flush=True)


def _has_card() -> bool:
    import torch

    return torch.cuda.is_available()


def _card() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit", "--format=csv,noheader"]
    return subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The checkout's commit, or of what a machine without git was given, `FTC_COMMIT`."""
    told = os.environ.get("FTC_COMMIT", "unknown")
    if not (_ROOT / ".git").exists() or shutil.which("git") is None:  # a folder around a copy may have another history
        return told
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=_ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or told


if __name__ == "__main__":
    main()
