"""Measures what a tracker takes from a run: the demo's classes with and without one, in turns, in one process.

A tracker is served by a process beside the run, so two things are measured. What training loses is counted inside of
each run, in CPU seconds of the threads that speak to that process, and once more as the ratio of a run's CPU seconds of
training with the tracker to those of the run without it that came just before, whose median is shown with its
quartiles: it moves by some hundredths from chance. What the process beside the run takes is CPU time of its own.

    python recipes/demo/fetch.py
    nox -s trackers --install-only                     # another environment than that of the other benchmarks
    .nox/trackers/bin/python benchmarks/trackers.py [--rounds 5] [--steps 20] [TRACKER ...]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from support.processes import ONE_THREAD, machine
from support.project import MODEL, make_project

from ftc.spec.trackers import TRACKERS

RESULTS = Path(__file__).parent / "results" / "trackers.jsonl"
RECIPE = """\
ftc: 1
name: sections
task: {kind: classification}
data:
  source: {path: rows.jsonl}
  max_length: 64
  split: {validation: 0.05, test: 0.05}
  quality: {allow_overlap: 1}
model: {base: model}
strategy: {kind: lora, rank: 16}
train: {epochs: 99, max_steps: STEPS, batch_size: 16, learning_rate: 1e-3, precision: float32}
budget: {device: cpu, threads: 1}
"""


@dataclass
class Meter:
    """CPU seconds of one run.

    Attributes:
        training: Of all threads of the run's process, while it trains.
        own: Of the threads that speak to the tracker's process, in all that they do for it.
        beside: Of the tracker's process and those that it started.
    """

    training: float = 0.0
    own: float = 0.0
    beside: float = 0.0

    def next(self) -> Meter:
        """What was counted since the last call."""
        found = Meter(self.training, self.own, self.beside)
        self.training = self.own = self.beside = 0.0
        return found

    def trained(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose CPU seconds are training."""

        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.training += time.process_time() - started

        return call

    def told(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose thread speaks to the tracker's process."""

        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.own += time.thread_time() - started

        return call

    def left(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function that ends the tracker's process, which is asked before for what it took."""

        def call(reporter: Any) -> Any:
            if reporter.process is not None and reporter.process.poll() is None:
                root = psutil.Process(reporter.process.pid)
                times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
                self.beside += sum(one.user + one.system + one.children_user + one.children_system for one in times)
            return self.told(function)(reporter)

        return call


def measure(folder: Path, names: list[str], rounds: int, steps: int) -> dict[str, list[Meter]]:
    """Runs the recipe with each tracker in turns; the empty name is the run without one."""
    import ftc
    from ftc.runtime.tracking import reporters
    from ftc.runtime.training import train

    meter = Meter()
    train._run = meter.trained(train._run)
    one = reporters._Reporter
    for name in ("begin", "ask", "_read"):
        setattr(one, name, meter.told(getattr(one, name)))
    one.end = meter.left(one.end)  # type: ignore[method-assign]
    with (MODEL.parent.parent / "data" / "bbc.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, 0, 1600, 5)]
    recipe = make_project(folder / "project", RECIPE.replace("STEPS", str(steps)), rows, MODEL.parent / "minilm")
    found: dict[str, list[Meter]] = {name: [] for name in ("", *names)}
    for turn in range(rounds + 1):  # the first one loads libraries, and isn't counted
        for name, counts in found.items():
            changes = [f"track.{name}={{}}"] if name else []
            ftc.apply(ftc.plan(recipe, overrides=changes), again=True, until="train")
            counted = meter.next()
            if turn:
                counts.append(counted)
    return found


def report(found: dict[str, list[Meter]], steps: int) -> None:
    """Prints each tracker, and keeps the figures."""
    alone = found.pop("")
    step = statistics.median(one.training for one in alone) / steps
    print(f"a step takes {step:.3f} CPU s without a tracker")
    for name, runs in found.items():
        ratios = [with_it.training / without.training for without, with_it in zip(alone, runs, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        own, beside = (statistics.median(getattr(one, what) for one in runs) for what in ("own", "beside"))
        share, lost = own / steps / step, 1000 * own / steps
        print(f"{name}: {lost:.2f} ms of CPU a step from the run, {share:.2%} of it; beside the run {beside:.1f} CPU s")
        print(f"  training with it takes {middle:.3f} of training without ({low:.3f} to {high:.3f})")
        line = {"machine": machine(), "steps": steps, "tracker": name, "step": step, "ratios": ratios}
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "own": own, "beside": beside}) + "\n")


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [card.name for card in TRACKERS if find_spec(card.package)]
    parser.add_argument("trackers", nargs="*", metavar="TRACKER", help=f"of those installed: {', '.join(known)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["FTC_CACHE"] = str(Path(temporary) / "cache")
        names = arguments.trackers or known
        report(measure(Path(temporary), names, arguments.rounds, arguments.steps), arguments.steps)


if __name__ == "__main__":
    main()
