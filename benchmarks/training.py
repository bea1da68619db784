"""Measures training: `ftc apply` of a recipe beside a loop written by hand, on the same rows, on one thread.

SmolLM2-135M, LoRA of rank 8 on q_proj and v_proj, float32, 80 short conversations in 10 optimiser steps of 2 x 4 rows,
labels on the assistant's turn in both. ftc runs as a user runs it: one process that plans, checks, trains and saves;
the token stream and the digests are in its cache, as they are after `ftc plan`. Fresh processes in turns. CPU seconds
are those of the process tree, read when the line of a step comes out; the first step counts as start-up.

    python benchmarks/training.py [FOLDER_OF_SMOLLM2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from prepare_chat_rows import conversations
from support.processes import ONE_THREAD, Command, Line, follow, machine, run
from support.project import MODEL, make_project

FTC = Path(sys.executable).with_name("ftc")
HAND_LOOP = Path(__file__).parent / "support" / "hand_loop.py"
NUM_ROWS = 80
RECIPE = """\
ftc: 1
name: measured
task: {kind: chat}
data:
  source: {path: rows.jsonl}
  split: {validation: 0, test: 0}
  max_length: 256
model: {base: model}
strategy: {kind: lora, rank: 8, alpha: 16, targets: [q_proj, v_proj]}
train:
  epochs: 1
  batch_size: 8
  micro_batch: 4
  learning_rate: 1e-4
  schedule: {kind: linear, warmup_ratio: 0}
  precision: float32
  activation_checkpointing: false
budget: {device: cpu, threads: 1}
"""

RATIOS = {
    "cpu_per_token": "CPU seconds a supervised token",
    "wall_per_token": "wall seconds a supervised token",
    "first_step_cpu": "CPU seconds to the end of the first step",
    "first_step_wall": "wall seconds to the end of the first step",
}


@dataclass(frozen=True, slots=True)
class Trained:
    """What one run took.

    Attributes:
        first_step_cpu: CPU seconds from the start of the process to the end of the first step.
        first_step_wall: The same in wall seconds.
        cpu_per_token: CPU seconds of each later step, by supervised token.
        wall_per_token: The same in wall seconds, as the run itself measured them.
        supervised: Supervised tokens of all steps.
        tokens: Tokens of all steps, without padding.
    """

    first_step_cpu: float
    first_step_wall: float
    cpu_per_token: float
    wall_per_token: float
    supervised: int
    tokens: int


def trained(lines: Iterable[Line]) -> Trained:
    """Reads the lines that a run printed."""
    steps = [(line, json.loads(line.text)) for line in lines if '"step"' in line.text]
    steps = [(line, event) for line, event in steps if event.get("kind") == "step"]
    later = [event for _, event in steps[1:]]
    supervised = sum(int(event["supervised"]) for event in later)
    cpu = sum(after.cpu - before.cpu for (before, _), (after, _) in pairwise(steps))
    return Trained(
        first_step_cpu=steps[0][0].cpu,
        first_step_wall=steps[0][0].wall,
        cpu_per_token=cpu / supervised,
        wall_per_token=sum(float(event["seconds"]) for event in later) / supervised,
        supervised=sum(int(event["supervised"]) for _, event in steps),
        tokens=sum(int(event["tokens"]) for _, event in steps),
    )


def measure(folder: Path, model: Path, repeats: int) -> tuple[dict[str, list[Trained]], float]:
    """Runs both in turns; also gives the CPU seconds of a warm `ftc plan`, which are part of ftc's start."""
    recipe = make_project(folder / "project", RECIPE, conversations(NUM_ROWS), model)
    env = {**ONE_THREAD, "FTC_CACHE": str(folder / "cache")}
    run([FTC, "plan", recipe], env=env)
    commands: dict[str, Command] = {
        "hand": [sys.executable, HAND_LOOP, model, recipe.with_name("rows.jsonl"), folder / "adapter.safetensors"],
        "ftc": [FTC, "apply", "--yes", "--again", "--json", recipe],
    }
    results: dict[str, list[Trained]] = {way: [] for way in commands}
    for _ in range(repeats):
        for way, command in commands.items():
            result = trained(follow(command, folder=recipe.parent, env=env))
            results[way].append(result)
            print(way, result, flush=True)
    planning = statistics.median(run([FTC, "plan", recipe], env=env).cpu for _ in range(3))
    return results, planning


def report(results: dict[str, list[Trained]], planning: float) -> None:
    """Prints medians and ratios."""
    for way, found in results.items():
        figures = {name: _median(found, name) for name in RATIOS}
        print(
            f"{way:5} {1000 * figures['cpu_per_token']:6.1f} CPU ms and {1000 * figures['wall_per_token']:6.1f} ms a"
            f" supervised token; first step after {figures['first_step_cpu']:5.1f} CPU s,"
            f" {figures['first_step_wall']:5.1f} s; {found[0].supervised:,} supervised of {found[0].tokens:,} tokens"
        )
    for name, words in RATIOS.items():
        ratio = _median(results["ftc"], name) / _median(results["hand"], name)
        print(f"{words}: ftc takes {ratio:.2f} of the loop's")
    print(f"of ftc's first step, planning with a warm cache takes {planning:.2f} CPU s in a process of its own")


def _median(found: Sequence[Trained], name: str) -> float:
    values: list[float] = [getattr(one, name) for one in found]
    return statistics.median(values)


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.repeats} rounds")
    with tempfile.TemporaryDirectory() as folder:
        report(*measure(Path(folder), arguments.model, arguments.repeats))


if __name__ == "__main__":
    main()
