"""Measures what it costs to be able to audit a run, and the audit itself, on the demo's classification recipe.

The overhead is counted inside of one run: CPU seconds of its main thread in all that the step log, the digests of
batches and the digest of the code add, divided by CPU seconds of all threads in the rest of training. Two whole runs
with and without them would differ by more than that from chance. Then the run is audited from the command line: static,
warm; its first 20 steps again; and with one thread more, which is inconclusive and, when forced, names a step.

    python benchmarks/audit.py [PROJECT]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.processes import attempt, machine

FTC = Path(sys.executable).with_name("ftc")
PROJECT = Path(__file__).parents[1] / "recipes" / "demo"
RECIPE = "bbc-news.yaml"


class Meter:
    """Adds up what wrapped functions cost.

    Attributes:
        own: CPU seconds of the calling thread, by name.
        all: CPU seconds of the process, by name.
    """

    def __init__(self) -> None:
        self.own: dict[str, float] = {}
        self.all: dict[str, float] = {}

    def wrap(self, owner: Any, name: str, title: str) -> None:
        """Puts a measured function in the place of an attribute."""
        setattr(owner, name, self.measured(getattr(owner, name), title))

    def measured(self, function: Callable[..., Any], title: str) -> Callable[..., Any]:
        """The function, which notes what it costs."""

        def call(*args: Any, **kwargs: Any) -> Any:
            own, whole = time.thread_time(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.own[title] = self.own.get(title, 0.0) + time.thread_time() - own
                self.all[title] = self.all.get(title, 0.0) + time.process_time() - whole

        return call


def overhead(project: Path) -> tuple[str, dict[str, float], float]:
    """Applies the recipe; gives the run's name, CPU seconds of each addition, and those of training without them."""
    import ftc
    from ftc.runtime.artifacts import fingerprints
    from ftc.runtime.execution import journal, session
    from ftc.runtime.training import hooks, train

    meter = Meter()
    meter.wrap(fingerprints.BatchDigest, "add", "digests of batches")
    names = {"write_step_line": "lines of the step log", "write_checksum": "checksums of the step log"}
    hooks.HOOKS = tuple(
        meter.measured(hook, names[hook.__name__]) if hook.__name__ in names else hook for hook in hooks.HOOKS
    )
    train.HOOKS = hooks.HOOKS
    meter.wrap(journal.StepLogFile, "sync", "fsync of the step log")
    meter.wrap(session.Session, "note_code", "look at the code")
    meter.wrap(train, "_run", "training")
    run = ftc.apply(ftc.plan(project / RECIPE))
    training = meter.all.pop("training")
    del meter.own["training"]
    return run.record.id, meter.own, training - sum(meter.own.values())


def audit(project: Path, run: str, *words: str) -> tuple[float, int, dict[str, Any]]:
    """Wall seconds, exit code and report of one audit."""
    cost, code, text = attempt([FTC, "audit", run, "--json", *words], folder=project)
    return cost.wall, code, json.loads(text[text.index("{") :])


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?", default=PROJECT, help="folder of bbc-news.yaml and its inputs")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary) / "demo"
        shutil.copytree(arguments.project, project, ignore=shutil.ignore_patterns(".cache", "runs"))
        (project / ".ftc").mkdir(exist_ok=True)
        os.environ["FTC_CACHE"] = str(Path(temporary) / "cache")
        run, additions, training = overhead(project)
        for title, seconds in additions.items():
            print(f"{title:22}{seconds:8.3f} CPU s{seconds / training:9.2%}")
        print(
            f"{'together':22}{sum(additions.values()):8.3f} CPU s{sum(additions.values()) / training:9.2%} of training"
        )
        audit(project, run)  # fills the caches
        threads = _threads(project, run)
        for title, words in {
            "static": (),
            "replay": ("--level", "replay", "--steps", "20"),
            "one thread more": ("--level", "replay", "--threads", str(threads + 1)),
            "the same, forced": ("--level", "replay", "--threads", str(threads + 1), "--force"),
        }.items():
            seconds, code, report = audit(project, run, *words)
            where = (report["replay"] or {}).get("first_difference") or ""
            print(f"{title:18}{seconds:7.2f} s  exit {code}  {report['verdict']}  {where}")


def _threads(project: Path, run: str) -> int:
    (record,) = project.glob(f"runs/*/{run}/record.json")
    return int(json.loads(record.read_bytes())["observed"]["threads"])


if __name__ == "__main__":
    main()
