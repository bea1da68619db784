"""Holds the time that a plan tells against what its run took, phase by phase, on this machine's device.

For each of the demo's recipes: `ftc device calibrate`, then a plan, then the run, then the plan again, which now knows
an earlier run. Nothing is repeated, since a run takes minutes; on a busy machine the two are apart by what changed
between them, so the load of the last minute stands beside.

    python benchmarks/times.py [RECIPE ...]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from support.processes import machine, run
from support.project import copy_project

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord

FTC = Path(sys.executable).with_name("ftc")
DEMO = Path(__file__).parents[1] / "recipes" / "demo"
RECIPES = ("bbc-news", "newsdesk")


def measure(project: Path, name: str, threads: int) -> None:
    """Calibrates, plans, runs and plans again, and prints what was expected beside what was taken."""
    env = {"FTC_CACHE": str(project / "cache")}
    run([FTC, "calibrate", "--threads", str(threads)], env=env)
    recipe, saved = project / f"{name}.yaml", project / f"{name}.plan.json"
    flags = ["--set", f"budget.threads={threads}"]
    run([FTC, "plan", recipe, *flags, "-o", saved], env=env)
    before = os.getloadavg()[0]
    run([FTC, "apply", saved, "--yes"], env=env)
    plan = Plan.model_validate_json(saved.read_bytes())
    file = next((project / "runs" / plan.name).glob("*/record.json"))
    _print(name, plan, RunRecord.model_validate_json(file.read_bytes()), before)
    run([FTC, "plan", recipe, *flags, "-o", saved], env=env)
    again = json.loads(saved.read_bytes())["time"]
    print(f"  then: {float(again['low_seconds']):.0f} to {float(again['high_seconds']):.0f} s, {again['method']}")


def _print(name: str, plan: Plan, record: RunRecord, load: float) -> None:
    print(f"{name}: by {plan.time.method if plan.time else 'nothing'}; load {load:.1f} before")
    low = expected = high = taken = 0.0
    for one in record.time_by_phase:
        if one.planned is None:
            continue
        low, expected, high = low + one.planned.low, expected + one.planned.expected, high + one.planned.high
        taken += one.seconds
        _line(one.phase, one.planned.low, one.planned.expected, one.planned.high, one.seconds)
    _line("all", low, expected, high, taken)


def _line(name: str, low: float, expected: float, high: float, taken: float) -> None:
    place = "within" if low <= taken <= high else "outside"
    print(f"  {name:10}{low:8.1f}{expected:8.1f}{high:8.1f} s  taken{taken:8.1f} s  {taken / expected:5.2f}  {place}")


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=RECIPES, metavar="RECIPE", help="of the demo")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.threads} thread(s); low, expected and high seconds, then those taken")
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "project", DEMO / f"{RECIPES[0]}.yaml").parent
        shutil.rmtree(project / "runs", ignore_errors=True)
        for lock in project.glob("*.lock.json"):
            lock.unlink()
        for name in arguments.recipes:
            measure(project, name, arguments.threads)


if __name__ == "__main__":
    main()
