"""Measures what each stage of `ftc plan` takes with many made-up talks: CPU seconds of the first process and of those
that it starts, and the most memory that they have held until the stage ended.

What the first process does while others wait for it limits how much faster several processes are: `at_most_times` is
how many times as fast the plan is at best, where the others share the rest evenly and wait for nothing. `most_mib` is
the first process's `VmHWM`, pages of mapped files included, as `/usr/bin/time` reports it. `all_mib` is what all
processes hold by themselves, looked at ten times a second, a page that several share counted once;
`all_with_files_mib` has the pages of files that they have mapped, which the system takes back when it needs them.

    python benchmarks/plan_stages.py [--model FOLDER_OF_SMOLLM2] [--rows 200000] [--jobs 2]
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

from plan_many_rows import RECIPE, conversations
from support.processes import Held, held_by, machine
from support.project import MODEL, make_project

_PEAKS = struct.Struct("<qq")
"""Bytes of memory, as `Held` has them, between the process that plans and the one that watches."""


class Stages:
    """Says at the end of each stage what it took.

    Args:
        asked: What the command was asked for, which stands in each line.
        peaks: What another process has seen of the memory.
    """

    def __init__(self, asked: dict[str, int], peaks: mmap.mmap) -> None:
        self.asked, self.name, self.peaks = asked, "start", peaks
        self.before = (time.monotonic(), 0.0, 0.0)

    def begin(self, name: str) -> None:
        """Ends the stage before."""
        used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        now = (time.monotonic(), *(one.ru_utime + one.ru_stime for one in used))
        seconds = [round(after - first, 1) for after, first in zip(now, self.before, strict=True)]
        figures = dict(zip(("wall_s", "first_cpu_s", "others_cpu_s"), seconds, strict=True))
        own, with_files = _PEAKS.unpack_from(self.peaks)
        memory = {"most_mib": _most() >> 20, "all_mib": own >> 20, "all_with_files_mib": with_files >> 20}
        line = {**self.asked, "stage": self.name, **figures, **memory}
        print(json.dumps(line), file=sys.stderr, flush=True)
        self.name, self.before = name, now

    def end(self) -> None:
        """Ends the last stage, and says what all of them took."""
        self.begin("end")
        first, others = self.before[1:]
        each = round(self.asked["rows"] / (first + others))
        total = {"first_cpu_s": round(first, 1), "all_cpu_s": round(first + others, 1), "rows_per_cpu_s": each}
        total["at_most_times"] = round((first + others) / (first + others / self.asked["jobs"]), 2)
        print(json.dumps({**self.asked, "stage": "all", **total}), file=sys.stderr, flush=True)


def _watch(pid: int, peaks: mmap.mmap) -> None:
    """Keeps the most memory that a process and those below it have held, until it ends."""
    most = Held(0, 0)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        now = held_by(pid)
        most = Held(max(most.own, now.own), max(most.with_files, now.with_files))
        _PEAKS.pack_into(peaks, 0, *most)
        time.sleep(0.1)


def _most() -> int:
    """Bytes that this process has held at most."""
    (line,) = (one for one in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if "VmHWM" in one)
    return int(line.split()[1]) * 1024


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = conversations(arguments.rows, arguments.model)
        recipe = make_project(Path(folder) / "project", RECIPE, rows, arguments.model)
        os.environ["FTC_CACHE"] = str(Path(folder) / "cache")
        peaks = mmap.mmap(-1, _PEAKS.size)
        if pid := os.fork():  # so that what making the rows took counts for nothing
            _watch(pid, peaks)
            return
        print(machine(), file=sys.stderr)
        stages = Stages({"rows": arguments.rows, "jobs": arguments.jobs}, peaks)
        from ftc.compiler import stages as told

        begin = told.begin_stage

        def begin_stage(name: str, total: int | None = None) -> None:
            stages.begin(name)
            begin(name, total)

        told.begin_stage = begin_stage
        from ftc.cli.main import console

        sys.argv = ["ftc", "plan", str(recipe), "--jobs", str(arguments.jobs)]
        try:
            console()
        except SystemExit as ended:  # as a command ends
            stages.end()
            sys.stdout.flush()
            os._exit(0 if ended.code is None else int(ended.code))


if __name__ == "__main__":
    main()
