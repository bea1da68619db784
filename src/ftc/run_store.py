"""The runs of a project, as their folders tell: found, read, and matched with plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.places import RunFolder, runs_folder

if TYPE_CHECKING:
    from ftc.compiler.draft import PastRun
    from ftc.spec.plan import Plan
    from ftc.spec.record import Evaluation, RunRecord

__all__ = ["FINISHED", "Run", "find_run", "load_run", "past_runs", "run_of", "runs"]

FINISHED = ("finished", "gate_failed")
"""Statuses of a run that has done all of its plan."""

_MOST_PAST_RUNS = 20
"""Newest runs that a time estimate looks at; older ones say less about today's machine."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, finished or not, as its folder tells.

    Attributes:
        folder: The run's folder.
        plan: The plan that it executes.
        record: What happened.
        evaluation: The measurement on the test split; None until it is made.
    """

    folder: Path
    plan: Plan
    record: RunRecord
    evaluation: Evaluation | None

    @property
    def root(self) -> Path:
        """The project that the run belongs to."""
        return self.folder.resolve().parents[2]

    def _repr_html_(self) -> str:
        from ftc.views.html import run_html

        return run_html(self.plan, self.record, self.evaluation)


def load_run(folder: Path) -> Run:
    """Reads a run's folder.

    Raises:
        Refusal: A document in it can't be read (FTC524).
    """
    from pydantic import ValidationError

    from ftc.spec.plan import Plan
    from ftc.spec.record import Evaluation, RunRecord

    place = RunFolder(folder)
    try:
        evaluation = place.evaluation.read_bytes() if place.evaluation.exists() else None
        return Run(
            folder=folder,
            plan=Plan.model_validate_json(place.plan.read_bytes()),
            record=RunRecord.model_validate_json(place.record.read_bytes()),
            evaluation=Evaluation.model_validate_json(evaluation) if evaluation else None,
        )
    except (ValidationError, OSError) as problem:
        note = str(problem).splitlines()[0]
        summary = f"run `{folder.name}` can't be read"
        raise Refusal([diagnostic("FTC524", summary, help="restore its files from a copy", notes=note)]) from None


def runs(folder: Path | str = ".") -> tuple[Run, ...]:
    """All runs that can be read of the project that a folder belongs to, newest first."""
    from ftc.compiler.resolve.paths import project_root

    root = project_root(Path(folder) / "recipe")
    found = list(_readable((root / "runs").glob("*/*")))
    return tuple(sorted(found, key=_started_at, reverse=True))


def find_run(text: str, folder: Path | str = ".") -> Run:
    """A run by its folder or by the beginning of its name.

    Raises:
        Refusal: There is none, or there are several (FTC520), or it can't be read (FTC524).
    """
    if (Path(text) / "record.json").exists():
        return load_run(Path(text))
    found = runs(folder)
    exact = [run for run in found if run.folder.name == text]
    matches = exact or [run for run in found if text and run.folder.name.startswith(text)]
    if len(matches) == 1:
        return matches[0]
    notes = [f"{run.folder.name} of {run.record.name}" for run in matches[:5]]
    summary = f"several runs begin with `{text}`" if matches else f"no run `{text}` in this project"
    raise Refusal([diagnostic("FTC520", summary, help="`ftc runs` lists them", notes=notes)])


def run_of(root: Path, plan: Plan) -> Run | None:
    """The latest run of exactly this job, if there is one that can be read."""
    same = _readable(runs_folder(root, plan.name).glob(f"{plan.run_id}*"))
    return max(same, key=_started_at, default=None)


def past_runs(root: Path) -> tuple[PastRun, ...]:
    """What the newest finished runs of a project tell about speed."""
    from ftc.compiler.draft import PastRun

    folders = sorted((root / "runs").glob("*/*"), key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
    return tuple(
        PastRun(
            run_id=run.record.id,
            device=run.plan.device.name,
            model=run.plan.model.name,
            strategy=run.plan.settings.strategy.kind,
            tokens_per_second=run.record.tokens / run.record.train_seconds,
        )
        for run in _readable(iter(folders[:_MOST_PAST_RUNS]))
        if run.record.status in FINISHED and run.record.train_seconds > 0
    )


def _readable(folders: Iterator[Path]) -> Iterator[Run]:
    """A run that can't be read says nothing about the others; naming it tells what is wrong with it."""
    for folder in folders:
        if RunFolder(folder).record.exists():
            try:
                yield load_run(folder)
            except Refusal:
                continue


def _started_at(run: Run) -> str:
    return run.record.segments[0].started_at if run.record.segments else ""
