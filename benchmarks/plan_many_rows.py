"""Measures what `ftc plan` takes of memory and CPU seconds as rows become more: made-up talks of 18 to 118 words.

No two rows are alike, so that every check does all of its work. Each size is planned in a fresh process with a fresh
cache. Memory is the peak of what the process holds by itself, looked at twenty times a second; beside it stands the
peak with pages of files that it has mapped, which the system takes back when it needs them.

    python benchmarks/plan_many_rows.py [--model FOLDER_OF_SMOLLM2] [--rows 50000 200000]
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

from support.processes import ONE_THREAD, machine
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
    """What one plan took: CPU seconds of the process tree, and bytes of memory at the peak, own and with files."""

    cpu: float
    memory: int
    with_files: int


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


def planned(recipe: Path, cache: Path) -> Taken:
    """Plans a recipe with nothing in the cache.

    Raises:
        RuntimeError: It could not be planned.
    """
    environment = {**os.environ, **ONE_THREAD, "FTC_CACHE": str(cache)}
    process = subprocess.Popen([FTC, "plan", recipe], env=environment, stdout=subprocess.DEVNULL)
    memory, pid = 0, 0
    while not pid:
        status_of = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        own = [line.split() for line in status_of.splitlines() if line.startswith("RssAnon")]
        memory = max([memory, *(int(size) * 1024 for _, size, _ in own)])
        time.sleep(0.05)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"ftc plan exited with {process.returncode}")
    return Taken(usage.ru_utime + usage.ru_stime, memory, usage.ru_maxrss * 1024)


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 200_000])
    arguments = parser.parse_args()
    print(machine())
    before: tuple[int, Taken] | None = None
    for count in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            rows = conversations(count, arguments.model)
            recipe = make_project(Path(folder) / "project", RECIPE, rows, arguments.model)
            size = recipe.with_name("rows.jsonl").stat().st_size
            taken = planned(recipe, Path(folder) / "cache")
        grown = ""
        if before is not None:
            rows = count - before[0]
            grown = (
                f"; {(taken.memory - before[1].memory) / rows:,.0f} bytes and"
                f" {(taken.cpu - before[1].cpu) / rows * 1e6:,.0f} CPU µs a row more"
            )
        print(
            f"{count:9,} rows, {size / 2**20:,.0f} MiB: {taken.memory / 2**20:,.0f} MiB, with files"
            f" {taken.with_files / 2**20:,.0f}, {taken.cpu:,.1f} CPU s, {count / taken.cpu:,.0f} rows per CPU s{grown}",
            flush=True,
        )
        before = count, taken


if __name__ == "__main__":
    main()
