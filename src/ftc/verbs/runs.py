"""The runs of a project, as their folders tell: found, read, matched with plans, and freed from a lost holder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.paths import RunFolder, runs_folder
from ftc.spec.storage.reading import read_regular
from ftc.spec.storage.run_folders import beginning_of, named_run, read_document, recorded_runs, unreadable

if TYPE_CHECKING:
    from ftc.compiler.draft import PastRun
    from ftc.spec.base import Document
    from ftc.spec.documents.estimates import Phase, Work
    from ftc.spec.documents.events import Event
    from ftc.spec.documents.machine import Holder
    from ftc.spec.documents.outcomes import Outcome
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import Evaluation, Predecessor, RunRecord
    from ftc.spec.documents.thumbnails import Thumbnail
    from ftc.verbs.predict import Model

__all__ = [
    "Run",
    "bring_base",
    "bring_model",
    "find_run",
    "load_events",
    "load_outcomes",
    "load_run",
    "load_thumbnails",
    "newest_run",
    "past_runs",
    "predecessor",
    "record_of",
    "run_of",
    "runs",
    "unlock",
    "unreadable_runs",
]

_D = TypeVar("_D", bound="Document")

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

    @property
    def is_pulled(self) -> bool:
        """Whether it came from the hub, with its documents and what was trained alone."""
        return RunFolder(self.folder).pulled.exists()

    def load(self) -> Model:
        """The run's model, ready to answer; see `ftc.load`.

        Raises:
            Refusal: The run has no result, or its base model isn't here (FTC687).
        """
        from ftc.verbs.predict import load

        return load(self)

    def _repr_html_(self) -> str:
        from ftc.views.run import run_html

        return run_html(self.plan, self.record, self.evaluation)


def load_run(folder: Path) -> Run:
    """Reads a run's folder.

    Raises:
        Refusal: A document in it can't be read (FTC524).
    """
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import Evaluation, RunRecord

    place = RunFolder(folder)
    return Run(
        folder=folder,
        plan=read_document(place.plan, Plan),
        record=read_document(place.record, RunRecord),
        evaluation=read_document(place.evaluation, Evaluation) if place.evaluation.exists() else None,
    )


def load_events(folder: Path) -> tuple[Event, ...]:
    """What a run said, in order; a last line that a crash cut off is left out.

    Raises:
        Refusal: The file can't be read (FTC524).
    """
    from ftc.spec.documents.events import read_events

    file = RunFolder(folder).events
    try:
        return read_events(file)
    except OSError as problem:
        raise unreadable(file, problem) from None


def load_outcomes(folder: Path) -> tuple[Outcome, ...]:
    """What the models of a run made of each test row; empty where nothing was measured.

    Raises:
        Refusal: A line can't be read (FTC524).
    """
    from ftc.spec.documents.outcomes import Outcome

    return _lines(RunFolder(folder).outcomes, Outcome)


def load_thumbnails(folder: Path) -> dict[str, Thumbnail]:
    """Small pictures that a run kept of images of its test rows, by the sha256 of the image; empty where it has none.

    Raises:
        Refusal: A line can't be read (FTC524).
    """
    from ftc.spec.documents.thumbnails import Thumbnail

    return {one.image: one for one in _lines(RunFolder(folder).thumbnails, Thumbnail)}


def _lines(file: Path, kind: type[_D]) -> tuple[_D, ...]:
    """The documents of a file that has one a line; none where there is no file."""
    from pydantic import ValidationError

    if not file.exists():
        return ()
    try:
        return tuple(kind.model_validate_json(line) for line in read_regular(file).splitlines())
    except (ValidationError, OSError) as problem:
        raise unreadable(file, problem) from None


def runs(folder: Path | str = ".") -> tuple[Run, ...]:
    """All runs that can be read of the project that a folder belongs to, newest first."""
    from ftc.compiler.resolve.files.safe_files import project_root

    root = project_root(Path(folder) / "recipe")
    found = list(_readable(iter(recorded_runs(root))))
    return tuple(sorted(found, key=_beginning, reverse=True))


def unreadable_runs(readable: Iterable[Run], folder: Path | str = ".") -> tuple[str, ...]:
    """Names of the run folders of a project that have a record and are not among those that could be read, sorted."""
    from ftc.compiler.resolve.files.safe_files import project_root

    root = project_root(Path(folder) / "recipe")
    return tuple(sorted(one.name for one in set(recorded_runs(root)) - {run.folder for run in readable}))


def find_run(text: str, folder: Path | str = ".") -> Run:
    """A run by its folder, by its id or the beginning of that, or the newest one of a recipe by the recipe's name.

    Trials of a sweep count only where the recipe has no other run.

    Raises:
        Refusal: There is none, or there are several (FTC520), or it can't be read (FTC524).
    """
    if os.path.lexists(Path(text) / "record.json"):
        return load_run(Path(text))
    from ftc.compiler.resolve.files.safe_files import project_root

    return load_run(named_run(text, project_root(Path(folder) / "recipe")))


def newest_run(folder: Path | str = ".") -> Run:
    """The run of a project that was begun last, whatever its recipe.

    Raises:
        Refusal: There is none that can be read (FTC520).
    """
    if found := runs(folder):
        return found[0]
    help = "`ftc apply RECIPE` starts one"
    raise Refusal([diagnostic("FTC520", "there are no runs in this project", help=help)])


def run_of(root: Path, plan: Plan) -> Run | None:
    """The latest run of exactly this job, if there is one that can be read.

    Where there is none, one of the same job by a release that took no digest of the packages' files counts.
    """
    folder = runs_folder(root, plan.name)
    if not folder.is_dir():
        return None  # a job's digest is of the whole plan
    same = list(_readable(folder.glob(f"{plan.run_id}*")))
    same = same or list(_readable(folder.glob(f"{plan.without_code_digests().run_id}*")))
    return max(same, key=_beginning, default=None)


def predecessor(folder: Path) -> Predecessor | None:
    """The run of the same recipe that was the last one to end, beside the one in `folder`.

    Only records of runs that are over count: they never change again.
    """
    from ftc.spec.documents.record import Predecessor

    others = [run for run in _readable(folder.parent.glob("*")) if run.folder != folder]
    ended = [run for run in others if run.record.is_finished]
    last = max(ended, key=lambda run: run.record.segments[-1].ended_at or "", default=None)
    return Predecessor(run_id=last.record.id, record_sha256=last.record.sha256) if last else None


def record_of(parent: Path, run_id: str) -> RunRecord | None:
    """The record of a run by its name, or None where it isn't here or can't be read."""
    found = next(_readable(iter([parent / run_id])), None)
    return found.record if found else None


def past_runs(root: Path) -> tuple[PastRun, ...]:
    """What the newest finished runs of a project tell about speed."""
    folders = sorted(recorded_runs(root), key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
    readable = _readable(iter(folders[:_MOST_PAST_RUNS]))
    return tuple(_past(run) for run in readable if run.record.is_finished and run.record.train_seconds)


def _past(run: Run) -> PastRun:
    from ftc.compiler.draft import PastRun

    settings, record = run.plan.settings, run.record
    done = record.steps_done / settings.train.num_steps  # a run that stopped early did less than was planned
    planned = run.plan.work.phases.items() if run.plan.work else ()
    work: dict[Phase, Work] = {
        phase: work.scaled(done) if phase in ("train", "validate") else work for phase, work in planned
    }
    alone = len(record.segments) == 1  # what is done again after a stop is in no plan
    seconds: dict[Phase, float] = {
        one.phase: one.seconds for one in record.time_by_phase if alone or one.phase == "train"
    }
    judged = run.evaluation.judge if run.evaluation else None
    return PastRun(
        device=run.plan.device.name,
        threads=settings.device.threads,
        model=run.plan.model.name,
        strategy=settings.strategy.kind,
        precision=settings.train.precision,
        work=work,
        seconds=seconds,
        judge_model=settings.eval.judge.model if settings.eval.judge else "",
        judge=judged.use if judged else None,
        writer=settings.train.sampling.writer if settings.train.sampling else "",
    )


def _readable(folders: Iterator[Path]) -> Iterator[Run]:
    """A run that can't be read says nothing about the others; naming it tells what is wrong with it."""
    for folder in folders:
        if RunFolder(folder).record.exists():
            try:
                yield load_run(folder)
            except Refusal:
                continue


def _beginning(run: Run) -> tuple[str, int]:
    return beginning_of(run.folder, run.record)


def unlock(lock_id: str, folder: Path | str = ".") -> str:
    """Takes a run's lock away from its holder, and notes it in the ledger.

    The kernel frees the lock of a process that ends, so that this is only for locks whose holder can't be asked: on a
    file system that keeps them beyond a crash, or on a machine that is gone.

    Args:
        lock_id: The lock's name, as `ftc apply` told it.
        folder: Any folder of the project.

    Returns:
        Name of the run that is free now.

    Raises:
        Refusal: There is no such lock (FTC513), or its holder lives on this machine (FTC514).
    """
    import platform

    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.spec.documents.ledger import Unlocked, append_entry
    from ftc.spec.documents.machine import Holder

    root = project_root(Path(folder) / "recipe")
    # A machine without the first one's disk holds its copies of a run likewise.
    for file in sorted([*(root / "runs").glob("*/*/.holder.json"), *(root / ".ftc").glob("copies/*/*/.holder.json")]):
        try:
            holder = Holder.model_validate_json(read_regular(file))
        except (OSError, ValueError):
            continue
        if holder.id == lock_id:
            if holder.host == platform.node() and _lives(holder):
                note = f"held by {holder.who}"
                help = f"stop it with `kill -INT {holder.pid}`; it saves a checkpoint and releases the lock"
                raise Refusal(
                    [diagnostic("FTC514", f"lock `{holder.id}` is held by a running process", help=help, notes=note)]
                )
            run = RunFolder(file.parent)
            append_entry(root, Unlocked, run_id=file.parent.name, lock_id=lock_id, holder=holder.who)
            run.lock.unlink(missing_ok=True)
            run.holder.unlink(missing_ok=True)
            return file.parent.name
    help = "`ftc apply` shows the name of a lock; a lock without a holder needs no unlocking"
    raise Refusal([diagnostic("FTC513", f"no run of this project is locked under `{lock_id}`", help=help)])


def _lives(holder: Holder) -> bool:
    """Whether the process exists and is older than its lock: numbers of processes are used again."""
    from datetime import datetime

    import psutil

    try:
        born = psutil.Process(holder.pid).create_time()
    except psutil.NoSuchProcess:
        return False
    return born <= datetime.fromisoformat(holder.since).timestamp() + 1


def bring_base(run: Run) -> str:
    """What to do where a run's base model is not here, whether or not its recipe is."""
    return bring_model(run, run.plan.settings.model.base, run.plan.lock.model.commit)


def bring_model(run: Run, base: str, commit: str | None) -> str:
    """What to do where a model that a run needs is not here, whether or not its recipe is.

    Args:
        run: The run.
        base: Folder of the model beside the recipe, or id on the hub.
        commit: Its commit on the hub; None for a folder.
    """
    if commit is not None:
        return f"`hf download {base} --revision {commit}` fetches it"
    place = os.path.normpath(run.root / Path(run.plan.recipe_file).parent / base)
    return f"put it at `{place}`"
