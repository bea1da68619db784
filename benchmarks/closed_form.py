"""How far the closed form of memory is from the trace: public architectures, strategies, with and without recomputing.

    python benchmarks/closed_form.py [NAME …]

Both are asked for the same training step in bfloat16 on a card of capability 8.0: micro-batches of 2 rows of 1,024
tokens, 256 of them supervised; of 512 tokens for encoders. A line for each point, and the largest and the median
difference at the end, by strategy too. The same for the scoring of 16 such rows, and for answers of 256 tokens to them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' small jobs are made there

from ftc.spec.documents.facts import ModelFacts
from tests.support.grid import GRID, by_form, by_trace, grid_facts, measuring_by_form, measuring_by_trace

_STRATEGIES = ("lora", "qlora", "full")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(GRID)}; all where none is given")
    names = parser.parse_args().names or list(GRID)
    if unknown := [name for name in names if name not in GRID]:
        parser.error(f"no architecture of the grid: {', '.join(unknown)}")
    gaps: dict[str, list[float]] = {strategy: [] for strategy in _STRATEGIES}
    measuring: list[float] = []
    for name in names:
        facts = grid_facts(GRID[name])
        for strategy in _STRATEGIES:
            for recomputing in (False, True):
                form = by_form(facts, strategy, recomputing)
                traced = by_trace(facts, strategy, recomputing)
                gaps[strategy].append(100 * (form.peak_bytes / traced.peak_bytes - 1))
                where = f"{name:16} {strategy:5} {'recomputing' if recomputing else '':11}"
                sizes = f"{form.peak_bytes / 2**30:8.3f} {traced.peak_bytes / 2**30:8.3f} GiB"
                print(f"{where} {sizes} {gaps[strategy][-1]:+6.1f} %  {form.phase} | {traced.phase}", flush=True)
            measuring += _print_measuring(name, facts, strategy)
    for strategy in _STRATEGIES:
        _print_summary(strategy, gaps[strategy])
    _print_summary("all", [gap for strategy in _STRATEGIES for gap in gaps[strategy]])
    _print_summary("measuring", measuring)


def _print_measuring(name: str, facts: ModelFacts, strategy: str) -> list[float]:
    form, traced = measuring_by_form(facts, strategy), measuring_by_trace(facts, strategy)
    gaps = [100 * (form[phase] / traced[phase] - 1) for phase in form]
    for phase, gap in zip(form, gaps, strict=True):
        sizes = f"{form[phase] / 2**30:8.3f} {traced[phase] / 2**30:8.3f} GiB"
        print(f"{name:16} {strategy:5} {phase:11} {sizes} {gap:+6.1f} %", flush=True)
    return gaps


def _print_summary(title: str, gaps: list[float]) -> None:
    sizes = [abs(gap) for gap in gaps]
    print(f"{title:9} {len(gaps)} points: median {statistics.median(sizes):.1f} %, largest {max(sizes):.1f} %")


if __name__ == "__main__":
    main()
