"""Measures `ftc plan` over 50,000 short conversations: the first time, and again with everything in the cache.

A first plan reads and checks the rows, divides them, looks for copies and leaks, digests model and data, renders the
model's template, tokenises, and writes the streams. A second one has to find out that nothing changed. Fresh processes
and a fresh cache each round; CPU seconds of the process tree, one thread.

    python benchmarks/plan_chat_rows.py [FOLDER_OF_SMOLLM2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from prepare_chat_rows import NUM_ROWS, conversations
from support.processes import ONE_THREAD, Cost, machine, median, run
from support.project import MODEL, make_project

FTC = Path(sys.executable).with_name("ftc")
RECIPE = """\
ftc: 1
name: measured
task: {kind: chat}
data: {source: {path: rows.jsonl}, max_length: 256}
model: {base: model}
strategy: {kind: lora}
budget: {device: cpu}
"""


def measure(folder: Path, model: Path, repeats: int) -> dict[str, list[Cost]]:
    """Plans twice a round."""
    recipe = make_project(folder / "project", RECIPE, conversations(NUM_ROWS), model)
    # Not counted: until a file is two seconds old, ftc does not trust its time stamps and hashes it again.
    run([FTC, "plan", recipe], env={**ONE_THREAD, "FTC_CACHE": str(folder / "cache")})
    costs: dict[str, list[Cost]] = {"first": [], "again": []}
    for turn in range(repeats):
        env = {**ONE_THREAD, "FTC_CACHE": str(folder / f"cache-{turn}")}
        for name, found in costs.items():
            found.append(run([FTC, "plan", recipe], env=env))
            print(f"{name:6}{found[-1].cpu:8.2f} CPU s{found[-1].wall:8.2f} s", flush=True)
    return costs


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.repeats} rounds of {NUM_ROWS:,} rows")
    with tempfile.TemporaryDirectory() as folder:
        medians = {
            name: median(found) for name, found in measure(Path(folder), arguments.model, arguments.repeats).items()
        }
    for name, cost in medians.items():
        print(f"{name:6}{cost.cpu:8.2f} CPU s{cost.wall:8.2f} s, {NUM_ROWS / cost.cpu:10,.0f} rows per CPU s")
    print(f"the second plan takes {medians['again'].cpu / medians['first'].cpu:.3f} of the first one's CPU seconds")


if __name__ == "__main__":
    main()
