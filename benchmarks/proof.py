"""Measures what it costs to prove, at each checkpoint, that frozen weights and rows are unchanged: the demo's classes.

The cost is counted inside of one run, in every call that proves, and divided by the run's training without it. The run
is done twice: where the file system keeps change times, so that stamps prove it, and as if it kept none, so that files
are hashed again as long as that stays below a hundredth of training. The proof before a result counts hashes in any
case there, and is shown by itself.

    python benchmarks/proof.py [PROJECT] [--every STEPS] [--rows ROWS]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.processes import machine

PROJECT = Path(__file__).parents[1] / "recipes" / "demo"
RECIPE = "bbc-news.yaml"


@dataclass
class Clock:
    """CPU and wall seconds of each call of a function."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def around(self, function: Any, *args: Any) -> Any:
        """Calls it and notes what it took."""
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            return function(*args)
        finally:
            self.cpu.append(time.process_time() - cpu)
            self.wall.append(time.perf_counter() - wall)

    def __str__(self) -> str:
        calls = len(self.cpu)
        if not calls:
            return "never"
        each = f"{sum(self.cpu) / calls * 1e3:.2f} ms of CPU, {sum(self.wall) / calls * 1e3:.2f} ms"
        return f"{calls} times, each {each}; largest {max(self.wall) * 1e3:.2f} ms"


def measured(project: Path, every: int, rows: int) -> tuple[Clock, Clock, float, str]:
    """Applies the recipe; gives proofs at checkpoints, those in any case, CPU seconds of training, and the method."""
    import ftc
    from ftc.runtime.execution.session import Session
    from ftc.runtime.training import train

    at_checkpoints, in_any_case, training = Clock(), Clock(), Clock()
    prove, whole = Session.prove_inputs, train._run

    def proved(session: Session, training_seconds: float | None = None) -> bool:
        clock = in_any_case if training_seconds is None else at_checkpoints
        return bool(clock.around(prove, session, training_seconds))

    Session.prove_inputs = proved  # type: ignore[method-assign]
    train._run = lambda *args: training.around(whole, *args)
    changes = [f"train.evaluate_every={every}", f"data.max_rows={rows}"]
    try:
        run = ftc.apply(ftc.plan(project / RECIPE, overrides=changes))
    finally:
        Session.prove_inputs, train._run = prove, whole  # type: ignore[method-assign]
    return at_checkpoints, in_any_case, sum(training.cpu), run.record.proved_by


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?", default=PROJECT, help="folder of bbc-news.yaml and its inputs")
    parser.add_argument("--every", type=int, default=5, metavar="STEPS", help="steps between checkpoints")
    parser.add_argument("--rows", type=int, default=1200, help="rows that are trained on")
    arguments = parser.parse_args()
    print(machine())
    from ftc.runtime.execution import file_stamps

    keeps = file_stamps.keeps_change_times
    for title, kept in (("change times are kept", keeps), ("they are not", lambda *_: False)):
        file_stamps.keeps_change_times = kept
        with tempfile.TemporaryDirectory(dir=arguments.project) as temporary:
            project = Path(temporary) / "demo"
            shutil.copytree(arguments.project, project, ignore=shutil.ignore_patterns(".cache", "runs", "tmp*"))
            (project / ".ftc").mkdir(exist_ok=True)
            os.environ["FTC_CACHE"] = str(Path(temporary) / "cache")
            at_checkpoints, in_any_case, training, method = measured(project, arguments.every, arguments.rows)
        share = sum(at_checkpoints.cpu) / (training - sum(at_checkpoints.cpu))
        print(f"{title}: {method}")
        print(f"  at checkpoints: {at_checkpoints}; {share:.4%} of training's {training:.1f} CPU s")
        print(f"  in any case:    {in_any_case}")


if __name__ == "__main__":
    main()
