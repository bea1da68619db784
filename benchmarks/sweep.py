"""Measures `ftc sweep` of the demo's classes beside a search by hand, a script of Optuna, transformers and peft.

Both have the same model, 400 training rows, space, sampler, startup trials and number of trials, and one thread; each
draws points of its own. CPU seconds are those of a whole process; in ftc's they are also counted by part, so that what
a sweep adds to its trials is measured apart from the trials: plans, drawn points and the journal. A sweep trains the
recipe's own values too, and compares both at its end. For each search the best loss on the validation rows is shown,
and the script appends everything to `results/sweep.jsonl`.

    python recipes/demo/fetch.py
    python benchmarks/sweep.py [--trials 16] [--seed 17]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.processes import ONE_THREAD, attempt, machine, run
from support.project import MODEL, make_project

HERE = Path(__file__).parent
HAND = HERE / "support" / "hand_search.py"
RESULTS = HERE / "results" / "sweep.jsonl"
DEMO = MODEL.parent.parent
ROWS = {"train": 400, "validation": 206, "test": 206}
RECIPE = """\
ftc: 1
name: sections
task: {kind: classification}
data:
  source: {path: rows.jsonl}
  split: {validation: {path: validation.jsonl}, test: {path: test.jsonl}}
  max_length: 64
  quality: {allow_overlap: 1}
model: {base: model}
strategy: {kind: lora, rank: 16}
train: {epochs: 1, batch_size: 16, learning_rate: 1e-3, precision: float32}
eval: {metrics: [accuracy]}
budget: {device: cpu, threads: 1}
"""
SWEEP = """\
ftc_sweep: 1
recipe: recipe.yaml
objective: {metric: val_loss}
space:
  train: {learning_rate: {log: [3e-4, 3e-2], digits: 2}}
  strategy: {rank: [4, 8, 16, 32], dropout: {uniform: [0, 0.2], step: 0.1}}
search: {kind: tpe, trials: TRIALS, startup: 8, seed: SEED}
"""
Figures = dict[str, Any]


def project(folder: Path, trials: int, seed: int) -> Path:
    """The demo's model with its rows divided into three files, a recipe and a sweep; gives the sweep's path."""
    lines = (DEMO / "data" / "bbc.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in sorted(lines, key=lambda line: hashlib.sha256(line.encode()).digest())]
    recipe = make_project(folder, RECIPE, rows[: ROWS["train"]], MODEL.parent / "minilm")
    start = ROWS["train"]
    for part in ("validation", "test"):
        chosen = rows[start : start + ROWS[part]]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chosen), encoding="utf-8")
        start += ROWS[part]
    sweep = recipe.with_name("sections.sweep.yaml")
    sweep.write_text(SWEEP.replace("TRIALS", str(trials)).replace("SEED", str(seed)), encoding="utf-8")
    return sweep


def by_hand(folder: Path, trials: int, seed: int) -> Figures:
    """The search by hand: CPU and wall seconds, and its best loss."""
    command = [sys.executable, HAND, folder / "model", folder / "rows.jsonl", folder / "validation.jsonl", trials, seed]
    cost, code, text = attempt([str(part) for part in command], folder=folder, env=ONE_THREAD)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    if code or "best" not in lines[-1]:
        raise RuntimeError(text)
    each = sum(line["cpu"] for line in lines[:-1]) / trials
    return {"cpu": cost.cpu, "wall": cost.wall, "best": lines[-1]["best"], "cpu_of_a_trial": each}


def by_sweep(sweep: Path, folder: Path) -> Figures:
    """`ftc sweep apply` after its plan: CPU and wall seconds, and what `ftc sweep show` says."""
    env = {**ONE_THREAD, "FTC_CACHE": str(folder / "cache")}
    ftc = Path(sys.executable).with_name("ftc")
    planned = run([ftc, "sweep", "plan", sweep], folder=sweep.parent, env=env)
    parts = folder / "parts.json"
    cost, code, text = attempt([sys.executable, __file__, "--metered", sweep, parts], folder=sweep.parent, env=env)
    if code not in (0, 8):
        raise RuntimeError(text)
    _, _, shown = attempt([ftc, "sweep", "show", sweep, "--json"], folder=sweep.parent, env=env)
    report = json.loads(shown)
    return {
        "cpu": cost.cpu,
        "wall": cost.wall,
        "planned_cpu": planned.cpu,
        "best": float(report["trials"][report["best"][0]]["values"][0]),
        "verdict": report["verdict"],
        "exit": code,
        **json.loads(parts.read_bytes()),
    }


def metered(sweep: str, parts: str) -> int:
    """`ftc sweep apply`, which also writes down CPU seconds by part."""
    from ftc import api
    from ftc.cli.main import main as cli
    from ftc.sweep import planning, results, trials
    from ftc.sweep.study import Study

    spent: dict[str, list[float]] = {}

    def measured(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent.setdefault(name, []).append(time.process_time() - started)

        return call

    api.apply = measured(api.apply, "training")
    trials.plan_trial = measured(trials.plan_trial, "plan")
    for name in ("ask", "note", "watch", "end", "trial"):
        setattr(Study, name, measured(getattr(Study, name), "study"))
    results._compared = measured(results._compared, "verdict")
    planning.plan_sweep = measured(planning.plan_sweep, "corners")
    code = cli(["sweep", "apply", sweep, "--yes", "--quiet"])
    figures = {name: {"calls": len(all_), "cpu": sum(all_)} for name, all_ in spent.items()}
    Path(parts).write_text(json.dumps({"parts": figures, "process_cpu": time.process_time()}), encoding="utf-8")
    return code


def report(hand: Figures, ftc: Figures, trials: int) -> None:
    """Prints both, with ratios."""
    parts = ftc["parts"]
    trained, added = parts["training"], sum(parts[name]["cpu"] for name in ("corners", "plan", "study"))
    each = trained["cpu"] / trained["calls"]
    print(f"by hand   best val_loss {hand['best']:.4f}; {hand['cpu']:.0f} CPU s, {hand['wall']:.0f} s")
    print(f"ftc sweep best val_loss {ftc['best']:.4f}; {ftc['cpu']:.0f} CPU s, {ftc['wall']:.0f} s; {ftc['verdict']}")
    print(f"a training: {each:.1f} CPU s, {each / hand['cpu_of_a_trial']:.2f} of the hand's, with its proofs and files")
    print(f"a sweep adds {added / (trials + 1):.2f} CPU s to it, {added / trained['cpu']:.2%}")
    print(f"whole: {ftc['cpu'] / hand['cpu']:.2f} of the hand's CPU s, {ftc['wall'] / hand['wall']:.2f} of its wall s")


def main() -> int:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--metered", nargs=2, metavar=("SWEEP", "PARTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.metered:
        return metered(*arguments.metered)
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sweep = project(folder / "project", arguments.trials, arguments.seed)
        found = by_sweep(sweep, folder)
        hand = by_hand(sweep.parent, arguments.trials, arguments.seed)
    line = {"machine": machine(), "trials": arguments.trials, "seed": arguments.seed, "hand": hand, "ftc": found}
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    report(hand, found, arguments.trials)
    return 0


if __name__ == "__main__":
    sys.exit(main())
