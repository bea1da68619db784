"""Runs commands and tells what they cost, in CPU seconds of the whole process tree and in wall seconds."""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

__all__ = [
    "ONE_THREAD",
    "Command",
    "Cost",
    "Held",
    "Line",
    "alternate",
    "attempt",
    "follow",
    "held_by",
    "machine",
    "median",
    "run",
]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Environment in which CPU seconds and the wall seconds of an idle machine are the same."""

Command = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process and its descendants took, in seconds."""

    cpu: float
    wall: float


class Held(NamedTuple):
    """Bytes of memory that processes hold together, a page that several share counted once."""

    own: int
    """In pages of their own."""
    with_files: int
    """With pages of files that they have mapped, which the system takes back when it needs them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a process printed, and the seconds that it had taken by then."""

    text: str
    cpu: float
    wall: float


def run(command: Command, *, folder: Path | None = None, env: Mapping[str, str] | None = None) -> Cost:
    """Runs a command to its end.

    Raises:
        RuntimeError: It failed; the message holds what it wrote to standard error.
    """
    cost, code, output = attempt(command, folder=folder, env=env)
    if code:
        raise RuntimeError(f"{command} exited with {code}\n{output}")
    return cost


def attempt(
    command: Command,
    *,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> tuple[Cost, int, str]:
    """Runs a command that may fail, and gives its exit code, 124 where it was stopped, and all that it wrote."""
    before, started = _children_cpu(), time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as written:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment(env or {}),
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        wall = time.perf_counter() - started
        written.seek(0)
        return Cost(_children_cpu() - before, wall), code, written.read()


def follow(command: Command, *, folder: Path, env: Mapping[str, str]) -> Iterator[Line]:
    """Runs a command and gives each line of its standard output as it comes.

    Raises:
        RuntimeError: It failed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=_environment(env)
        ) as process:
            assert process.stdout is not None
            for text in process.stdout:
                wall = time.perf_counter() - started
                yield Line(text.rstrip("\n"), _tree_cpu(process.pid), wall)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{command} exited with {process.returncode}\n{errors.read()}")


def alternate(
    commands: Mapping[str, Command], repeats: int, *, folder: Path | None = None, env: Mapping[str, str] | None = None
) -> dict[str, list[Cost]]:
    """Costs of each command, run in turns, so that what else the machine does strikes all of them alike.

    A first round, which fills the file system's cache, is not counted.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            cost = run(command, folder=folder, env=env)
            if turn:
                costs[name].append(cost)
    return costs


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(statistics.median(cost.cpu for cost in costs), statistics.median(cost.wall for cost in costs))


def held_by(pid: int) -> Held:
    """What a process and all that it has started hold now."""
    try:
        below = [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        below = []
    each = [*map(_shares, (pid, *below))]
    return Held(sum(one.own for one in each), sum(one.with_files for one in each))


def _shares(pid: int) -> Held:
    """What a process holds, its share of what it shares."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:  # it has ended
        return Held(0, 0)
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss")}
    return Held(sizes.get("Pss_Anon:", 0), sizes.get("Pss:", 0))


def machine() -> str:
    """The machine in a few words, and how busy it was in the last minute."""
    names = [line for line in _cpu_lines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else "a CPU"
    return f"{os.cpu_count()} cores of {name}; load {os.getloadavg()[0]:.1f}"


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with some values more; compiled modules are kept, as in any installation."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}, **extra}


def _cpu_lines() -> list[str]:
    table = Path("/proc/cpuinfo")
    return table.read_text(encoding="utf-8").splitlines() if table.exists() else []


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree_cpu(pid: int) -> float:
    """CPU seconds so far of a live process, its live descendants, and those that it has waited for."""
    try:
        root = psutil.Process(pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)
