"""Measures what `ftc plan` takes of memory and CPU seconds as rows become more: made-up talks of 18 to 118 words.

No two rows are alike, so that every check does all of its work. Each size is planned in a fresh process with a fresh
cache, with each number of jobs in turns. Memory is the peak of what all its processes hold by themselves, looked at ten
times a second, a page that several share counted once; beside it stands the peak with pages of files that they have
mapped, which the system takes back when it needs them, and the largest process as `/usr/bin/time` reports it.

    python benchmarks/plan_many_rows.py [--model FOLDER_OF_SMOLLM2] [--rows 50000 200000] [--jobs 1 2]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support.processes import ONE_THREAD, held_by, machine
from support.project import MODEL, make_project

FTC = Path(sys.executable).with_name("ftc")
RECIPE = """\
ftc: 1
name: measured
task: {kind: chat}
data: {source: {path: rows.jsonl}, split: {validation: 0.01, test: 0.01}}
model: {base: model}
strategy: {kind: lora}
budget: {device: cpu}
"""


class Taken(NamedTuple):
    """What one plan took: seconds, of CPUs by the process tree, and bytes of memory at the peak."""

    cpu: float
    wall: float
    memory: int
    with_files: int
    largest: int


def conversations(count: int, model: Path) -> Iterator[dict[str, Any]]:
    """A question and an answer of words whose weights fall with their rank; the same on each run."""
    vocabulary = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    words = [word[1:] for word in vocabulary if word.startswith("Ġ") and word[1:].isascii() and word[1:].isalpha()]
    words = [word for word in words if len(word) > 2][:20_000]
    weights = list(itertools.accumulate((rank + 5) ** -0.8 for rank in range(len(words))))
    draw = random.Random(1)

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, cum_weights=weights, k=draw.randrange(least, most)))

    for _ in range(count):
        turns = (("user", text(8, 40)), ("assistant", text(10, 80)))
        yield {"messages": [{"role": role, "content": content} for role, content in turns]}


def planned(recipe: Path, cache: Path, jobs: int) -> Taken:
    """Plans a recipe with nothing in the cache.

    Raises:
        RuntimeError: It could not be planned.
    """
    environment, begin = {**os.environ, **ONE_THREAD, "FTC_CACHE": str(cache)}, time.monotonic()
    command = [FTC, "plan", recipe, "--jobs", str(jobs)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    own, with_files, pid = 0, 0, 0
    while not pid:
        held = held_by(process.pid)
        own, with_files = max(own, held.own), max(with_files, held.with_files)
        time.sleep(0.1)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"ftc plan exited with {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return Taken(cpu, time.monotonic() - begin, own, with_files, usage.ru_maxrss * 1024)


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    print(machine())
    before: dict[int, tuple[int, Taken]] = {}
    for count in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            rows = conversations(count, arguments.model)
            recipe = make_project(Path(folder) / "project", RECIPE, rows, arguments.model)
            size = recipe.with_name("rows.jsonl").stat().st_size
            print(f"{count:9,} rows, {size / 2**20:,.0f} MiB", flush=True)
            for jobs in arguments.jobs:
                taken = planned(recipe, Path(folder) / f"cache-{jobs}", jobs)
                _show(count, jobs, taken, before.get(jobs))
                before[jobs] = count, taken


def _show(count: int, jobs: int, taken: Taken, before: tuple[int, Taken] | None) -> None:
    grown = ""
    if before is not None:
        rows = count - before[0]
        more = (taken.memory - before[1].memory) / rows, (taken.largest - before[1].largest) / rows
        grown = f"; {more[0]:,.0f} bytes ({more[1]:,.0f} in the largest process)"
        grown += f" and {(taken.cpu - before[1].cpu) / rows * 1e6:,.0f} CPU µs a row more"
    mebibytes = [f"{one / 2**20:,.0f}" for one in (taken.memory, taken.with_files, taken.largest)]
    print(
        f"{jobs:9} jobs: {mebibytes[0]} MiB, with files {mebibytes[1]}, largest process {mebibytes[2]};"
        f" {taken.wall:,.1f} s, {taken.cpu:,.1f} CPU s, {count / taken.cpu:,.0f} rows per CPU s{grown}",
        flush=True,
    )


if __name__ == "__main__":
    main()
