"""Measures the defaults: recipes that set nothing beside the best of a grid of learning rate, epochs and rank.

Each task of `support/beginner_tasks.py` is trained with a recipe that names task, data, model and strategy alone, and
with the twelve points of a grid, and is evaluated on a test part of hundreds of rows. The best of the grid is chosen on
the test rows themselves, so it is flattered; the defaults are not. Beside them: for classes the largest class, and
TF-IDF with logistic regression on the same rows; for written answers and embeddings, the untuned model.

    python recipes/demo/fetch.py
    nice -n 15 python benchmarks/defaults.py --grid coarse     as many runs as are missing, one after the other
    python benchmarks/defaults.py --set KEY=VALUE ... --seeds 3   other defaults: the same recipes with these settings
    python benchmarks/defaults.py --table                      what is known so far, and nothing is run

Results are lines of `results/defaults.jsonl`, written as they come, and a run whose line is there isn't done again: the
grid's by its point, that of the defaults by everything that they stand for. Scores are percent: macro F1, F1 of
entities, rank correlation, reciprocal rank among the first ten, recall at 1, and for written answers 100 exp(-loss),
the geometric mean of the right tokens' probabilities.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from support.beginner_tasks import PACKAGES, TASKS, BeginnerTask, Rows

HERE = Path(__file__).parent
CACHE = HERE / ".cache" / "defaults"
RESULTS = HERE / "results" / "defaults.jsonl"
RECIPE = """\
ftc: 1
name: {task.name}
task: {task.task}
data:
  source: {{path: rows.jsonl}}
  split: {{test: {{path: test.jsonl}}}}
  max_length: {task.max_length}
  quality: {{allow_overlap: 1}}
model: {{base: model}}
strategy: {{kind: {task.strategy}}}
eval: {{metrics: [{metric}], baseline: {baseline}, samples: 0}}
budget: {{device: cpu, threads: 1}}
"""
RATES = {"lora": ("5e-4", "1.5e-3", "5e-3"), "full": ("5e-5", "1e-4", "3e-4", "1e-3")}
EPOCHS = {"lora": ("8", "28"), "full": ("6", "12", "28")}
RANKS = {"lora": ("8", "32"), "full": ("",)}
COARSE = {
    "lora": (("1.5e-3", "28", "32"), ("5e-4", "28", "32"), ("1.5e-3", "8", "8"), ("5e-3", "8", "32")),
    "full": (("1e-4", "28", ""), ("3e-4", "12", ""), ("1e-4", "12", ""), ("1e-3", "6", "")),
}
"""Four of each grid's twelve points, for a first look."""

Line = dict[str, Any]
Point = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Job:
    """One training: a task, a point of the grid or the defaults, a seed, and what other defaults would set."""

    task: BeginnerTask
    point: Point | None
    seed: int
    tried: tuple[str, ...] = ()

    @property
    def overrides(self) -> list[str]:
        """What the recipe sets beside what it says."""
        found = [f"train.seed={self.seed}", *self.tried]
        if self.point is not None:
            names = ("train.learning_rate", "train.epochs", "strategy.rank")
            found += [f"{name}={value}" for name, value in zip(names, self.point, strict=True) if value]
        return found

    @property
    def key(self) -> str:
        """By which a line of the grid, or of other defaults, is known."""
        return f"{self.task.name} {self.task.strategy} {' '.join(self.tried) or self.point} {self.seed}"


def grid(task: BeginnerTask, size: str) -> Sequence[Point]:
    """The grid's points: `full`, `coarse`, or none."""
    kind = task.strategy
    every = tuple(product(RATES[kind], EPOCHS[kind], RANKS[kind]))
    return {"full": every, "coarse": COARSE[kind], "none": ()}[size]


def jobs(names: Sequence[str], size: str, seeds: int, tried: tuple[str, ...] = ()) -> Iterator[Job]:
    """The defaults of every task first, then the grids; where settings are tried, every task with them alone."""
    chosen = [task for task in TASKS if not names or task.name in names]
    for seed in range(17, 17 + seeds):
        yield from (Job(task, None, seed, tried) for task in chosen)
    if tried:
        return
    for seed in range(17, 17 + seeds):
        yield from (Job(task, point, seed) for task in chosen for point in grid(task, size))


def packages() -> Path:
    """The folder of the packages that the rows are read from; installed where it is missing."""
    target = CACHE / "packages"
    if not target.exists():
        pins = [f"{name}=={version}" for name, version in PACKAGES.items()]
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", target, *pins], check=True)
    return target


def project(task: BeginnerTask) -> Path:
    """The task's project, with its rows and its recipe."""
    folder = CACHE / f"{task.name}-{task.strategy}"
    if not (folder / "rows.jsonl").exists():
        (folder / ".ftc").mkdir(parents=True, exist_ok=True)
        copy_layers(task.model, folder / "model", task.layers)
        rows = task.rows(packages())
        for name, some in (("test", rows.test), ("rows", rows.train)):
            text = "".join(json.dumps(row) + "\n" for row in some)
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    metric, baseline = ("loss" if task.score == "token_probability" else task.score), str(task.has_untuned).lower()
    (folder / "recipe.yaml").write_text(RECIPE.format(task=task, metric=metric, baseline=baseline), encoding="utf-8")
    return folder / "recipe.yaml"


def copy_layers(source: Path, target: Path, layers: int) -> None:
    """Copies a model with its first layers alone."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    if layers == config["num_hidden_layers"]:
        return
    (target / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}), encoding="utf-8")
    place = re.compile(r"\.?layers?\.(\d+)\.")
    tensors = load_file(target / "model.safetensors")
    kept = {name: one for name, one in tensors.items() if not ((at := place.search(name)) and int(at[1]) >= layers)}
    save_file(kept, target / "model.safetensors", {"format": "pt"})


def trained(job: Job, done: set[str]) -> Line | None:
    """What came of a job; None where its line is there already."""
    import ftc

    planned = ftc.plan(project(job.task), overrides=job.overrides, trace=False)
    settings = planned.plan.settings
    key = job.key if job.point or job.tried else f"{job.key} {settings.train.digest()[:12]}"
    if key in done:
        return None
    started = time.process_time()
    run = ftc.apply(planned, again=True)
    assert run.evaluation is not None, "each task has test rows"
    metrics = dict(run.evaluation.tuned.metrics)
    said = [json.loads(line) for line in (run.folder / "predictions.ndjson").read_text(encoding="utf-8").splitlines()]
    line: Line = {
        "key": key,
        "task": job.task.name,
        "strategy": job.task.strategy,
        "point": job.point,
        **({"tried": job.tried} if job.tried else {}),
        "seed": job.seed,
        "score": round(percent(job.task, metrics), 2),
        "learning_rate": settings.train.learning_rate,
        "steps": run.record.steps_done,
        "selected_step": run.record.selected_step,
        "findings": sorted({one.code for one in run.record.findings}),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    if job.task.is_classification:
        answers = {one["tuned"]["text"] for one in said}
        line["never_predicted"] = len({one["expected"] for one in said} - answers)
    if run.evaluation.base is not None:
        line["untuned"] = round(percent(job.task, dict(run.evaluation.base.metrics)), 2)
    shutil.rmtree(run.folder)
    return line


def percent(task: BeginnerTask, metrics: dict[str, float]) -> float:
    """A result's score."""
    if task.score == "token_probability":
        return 100 * math.exp(-metrics["loss"])
    return 100 * metrics[task.score]


def without_training(task: BeginnerTask) -> Line | None:
    """The largest class, and TF-IDF with logistic regression, by scikit-learn; None for other tasks."""
    if not task.is_classification:
        return None
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline

    rows: Rows = task.rows(packages())
    texts, labels = ([row[part] for row in rows.train] for part in ("text", "label"))
    models = {
        "majority": DummyClassifier(),
        "tfidf": make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000)
        ),
    }
    line: Line = {"key": f"{task.name} without training", "task": task.name}
    for name, model in models.items():
        guessed = model.fit(texts, labels).predict([row["text"] for row in rows.test])
        score = f1_score([row["label"] for row in rows.test], guessed, average="macro", zero_division=0)
        line[name] = round(100 * float(score), 2)
    return line


def load() -> list[Line]:
    """The lines that are known, in the order in which they came."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def note(line: Line) -> None:
    """Writes a line and shows it."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(line, flush=True)


def table(lines: Iterable[Line]) -> Iterator[str]:
    """A row a task: the defaults by the last line of each seed, beside everything else.

    Means of the seeds with which the whole grid was run, or the first seed alone where it was with none.
    """
    known = list(lines)
    titles = "task strategy majority TF-IDF untuned defaults grid's_best points seeds behind".split()
    yield f"| {' | '.join(titles).replace('_', ' ')} |"
    yield "|---" * len(titles) + "|"
    for task in TASKS:
        own = [line for line in known if line["task"] == task.name]
        plain = next((line for line in own if "majority" in line), {})
        runs = [line for line in own if "score" in line and "tried" not in line]
        grids, usual = ([one for one in runs if (one["point"] is None) is flag] for flag in (False, True))
        if not usual:
            continue
        last = {one["seed"]: one for one in usual}
        known_at = {seed: {tuple(one["point"]): one["score"] for one in grids if one["seed"] == seed} for seed in last}
        seeds = [seed for seed, points in known_at.items() if points.keys() >= {*grid(task, "full")}] or [*last][:1]
        common = set.intersection(*(set(known_at[seed]) for seed in seeds))
        by_point = {point: _mean(known_at[seed][point] for seed in seeds) for point in common}
        best = max(by_point.values(), default=math.nan)
        now = _mean(last[seed]["score"] for seed in seeds)
        untuned = next((f"{one['untuned']:.1f}" for one in usual if "untuned" in one), "")
        cells = (
            *(task.name, task.strategy, *(f"{plain[name]:.1f}" if plain else "" for name in ("majority", "tfidf"))),
            *(untuned, f"{now:.1f}", f"{best:.1f}" if by_point else "–", str(len(by_point)), str(len(seeds))),
            f"{max(0.0, best - now):.1f}" if by_point else "–",
        )
        yield f"| {' | '.join(cells)} |"


def by_rate(lines: Iterable[Line]) -> Iterator[str]:
    """A row a task: the defaults by the learning rate that they had, or that was tried in its place.

    Means of the seeds with which each of the task's rates was run; tasks with one rate are left out.
    """
    rates = ("train.learning_rate=", "train.head_learning_rate=")
    runs = [line for line in lines if "score" in line and line["point"] is None]
    runs = [line for line in runs if all(one.startswith(rates) for one in line.get("tried", ()))]
    for task in TASKS:
        known = defaultdict[float, dict[int, float]](dict)
        for one in (line for line in runs if line["task"] == task.name):
            known[one["learning_rate"]][one["seed"]] = one["score"]
        if len(known) < 2:
            continue
        seeds = set.intersection(*(set(scores) for scores in known.values()))
        means = (f"{rate:g}: {_mean(scores[seed] for seed in seeds):.1f}" for rate, scores in sorted(known.items()))
        yield f"{task.name}, {len(seeds)} seeds: {', '.join(means)}"


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def main() -> None:
    """Runs what is missing, or prints what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", choices=("none", "coarse", "full"), default="full")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 17 on")
    parser.add_argument("--limit", type=int, default=10**6, help="at most this many runs")
    parser.add_argument("--only", nargs="*", default=(), metavar="TASK")
    parser.add_argument("--set", nargs="+", default=(), metavar="KEY=VALUE", help="other defaults to try")
    parser.add_argument("--table", action="store_true", help="print what is known, and run nothing")
    asked = parser.parse_args()
    if asked.table:
        print("\n".join([*table(load()), "", *by_rate(load())]))
        return
    done = {line["key"] for line in load()}
    for task in TASKS:
        line = without_training(task) if f"{task.name} without training" not in done else None
        if line is not None:
            note(line)
    left = asked.limit
    for job in jobs(asked.only, asked.grid, asked.seeds, tuple(asked.set)):
        if left == 0:
            break
        if job.key in done:
            continue
        with contextlib.redirect_stdout(sys.stderr):
            found = trained(job, done)
        if found is not None:
            note(found)
            left -= 1


if __name__ == "__main__":
    main()
