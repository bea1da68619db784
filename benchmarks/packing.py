"""Measures packing and grouping by length: tokens a CPU second of training, beside padded batches of the same rows.

Two sets of rows: those of the demo's instruction recipe (`recipes/demo/newsdesk.yaml`), nearly all of one length, and
the same task over one to thirty sentences of each story, lengths as instruction data has them. SmolLM2-135M-Instruct,
LoRA, float32, one thread, the same rows in each step; only what is asked for changes. Runs are taken in turns, each in
a process of its own; the first step is not counted. The largest difference of the losses of a step stands beside,
which is rounding where the rows of a step are the same.

    python benchmarks/packing.py [--steps 12] [--repeats 2]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from support.processes import ONE_THREAD, follow, machine, run
from support.project import MODEL, make_project

FTC = Path(sys.executable).with_name("ftc")
DATA = MODEL.parent.parent / "data"
WAYS = {
    "padded": ["train.packing=false"],
    "packed": ["train.packing=true"],
    "packed, grouped": ["train.packing=true", "train.batching=length_grouped"],
    "padded, grouped": ["train.packing=false", "train.batching=length_grouped"],
}
RECIPE = """\
ftc: 1
name: measured
task:
  kind: generation
  system: >-
    You file news. Sections: business, entertainment, politics, sports, tech.
    Answer only with JSON, for example {{"section": "sports", "headline": "Williams wins in Melbourne"}}
data:
  source: {{path: rows.jsonl}}
  fields: {{prompt: article, completion: answer}}
  split: {{validation: 0, test: 0}}
  max_length: 1024
model: {{base: model}}
strategy: {{kind: lora, rank: 16}}
train: {{epochs: 1, max_steps: {steps}, batch_size: {batch}, learning_rate: 1e-3, precision: float32}}
budget: {{device: cpu, threads: 1}}
"""


def demo_rows() -> Iterator[dict[str, Any]]:
    """The demo's own."""
    for line in (DATA / "newsdesk.jsonl").read_text(encoding="utf-8").splitlines()[:400]:
        yield json.loads(line)


def mixed_rows() -> Iterator[dict[str, Any]]:
    """Stories of one to thirty sentences, the number drawn evenly on a logarithmic scale."""
    chance = random.Random(7)
    for line in (DATA / "bbc.jsonl").read_text(encoding="utf-8").splitlines()[:400]:
        row = json.loads(line)
        headline, _, story = row["text"].partition("\n")
        sentences = story.replace("\n", " ").split(". ")
        count = round(30 ** chance.random())
        answer = json.dumps({"section": row["label"], "headline": headline})
        yield {"article": ". ".join(sentences[:count]), "answer": answer}


def trained(recipe: Path, overrides: list[str], env: dict[str, str]) -> tuple[float, list[float]]:
    """Tokens a CPU second from the second step on, and the loss of every step."""
    flags = [part for override in overrides for part in ("--set", override)]
    run([FTC, "plan", recipe, *flags], env=env)
    lines = list(follow([FTC, "apply", "--yes", "--again", "--json", recipe, *flags], folder=recipe.parent, env=env))
    steps = [(line, json.loads(line.text)) for line in lines if '"step"' in line.text]
    steps = [(line, event) for line, event in steps if event.get("kind") == "step"]
    cpu = sum(after.cpu - before.cpu for (before, _), (after, _) in pairwise(steps))
    return sum(event["tokens"] for _, event in steps[1:]) / cpu, [float(event["loss"]) for _, event in steps]


def measure(name: str, recipe: Path, ways: dict[str, list[str]], repeats: int, env: dict[str, str]) -> None:
    """Prints a line for each way."""
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    losses: dict[str, list[float]] = {}
    for _ in range(repeats):
        for way, overrides in ways.items():
            speed, losses[way] = trained(recipe, overrides, env)
            speeds[way].append(speed)
    base = statistics.median(speeds["padded"])
    for way in ways:
        speed = statistics.median(speeds[way])
        same_rows = "grouped" not in way
        apart = max(abs(a - b) for a, b in zip(losses[way], losses["padded"], strict=True))
        beside = f"losses of a step differ by {apart:.1e} at most" if same_rows else f"last loss {losses[way][-1]:.3f}"
        print(f"{name:6} {way:18} {speed:7.1f} tokens a CPU second, {speed / base:.2f} of padded; {beside}", flush=True)


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", choices=("demo", "mixed"))
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.repeats} rounds of {arguments.steps} steps")
    for name, rows, batch in (("demo", demo_rows, 4), ("mixed", mixed_rows, 16)):
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                recipe = make_project(
                    Path(folder) / "project", RECIPE.format(steps=arguments.steps, batch=batch), rows()
                )
                env = {**ONE_THREAD, "FTC_CACHE": str(Path(folder) / "cache")}
                measure(name, recipe, WAYS, arguments.repeats, env)


if __name__ == "__main__":
    main()
