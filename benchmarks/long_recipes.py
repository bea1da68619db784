"""Measures `ftc validate` on recipes of 500 to 8,000 lines: what a long one costs, and whether the cost grows linearly.

The lines are labels of a classification, every third with a comment of its own line above it: as many values as a text
of that length can hold, which is what reading costs. Fresh processes in turns, medians, start and end of the
interpreter included.

    python benchmarks/long_recipes.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.processes import ONE_THREAD, Command, alternate, machine, median

FTC = Path(sys.executable).with_name("ftc")
LENGTHS = (500, 1000, 2000, 4000, 8000)
HEAD = "ftc: 1\nname: long\ndata: {source: {path: rows.csv}}\nmodel: {base: ./model}\nstrategy: {kind: lora}\n"


def recipe_of(num_lines: int) -> str:
    """A valid recipe of so many lines."""
    head = f"{HEAD}task:\n  kind: classification\n  labels:\n"
    return head + "".join(_lines(num_lines - head.count("\n")))


def _lines(number: int) -> Iterator[str]:
    for line in range(number):
        yield "    # what follows is another group\n" if line % 3 == 2 else f"    - label_{line}\n"


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands: dict[str, Command] = {}
        for length in (10, *LENGTHS):
            recipe = Path(folder) / f"{length}.yaml"
            recipe.write_text(recipe_of(length), encoding="utf-8")
            commands[f"{length:,} lines"] = [FTC, "validate", recipe]
        print(f"{machine()}; {arguments.repeats} rounds")
        medians = {
            name: median(found) for name, found in alternate(commands, arguments.repeats, env=ONE_THREAD).items()
        }
    start = medians["10 lines"].cpu
    for name, cost in medians.items():
        length = int(name.split()[0].replace(",", ""))
        rate = f"{(cost.cpu - start) / length * 1e6:8.1f} µs a line more" if length > 10 else ""
        print(f"{name:14}{cost.cpu:8.3f} CPU s{cost.wall:8.3f} s{rate}")


if __name__ == "__main__":
    main()
