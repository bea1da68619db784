"""A project's run folders by the names that people give runs: looked up and read, never guessed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.paths import SWEEP_JOURNAL, RunFolder, sweeps_folder
from ftc.spec.storage.reading import LARGEST_DOCUMENT, parse_json, read_regular

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ftc.spec.base import Document
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord

__all__ = ["beginning_of", "named_run", "read_document", "recorded_runs", "unreadable"]

AnyDocument = TypeVar("AnyDocument", bound="Document")


def recorded_runs(root: Path) -> list[Path]:
    """Folders with a record below a project's runs.

    Raises:
        OSError: The folder of all runs is there and can't be listed; a pattern alone would find nothing in it.
    """
    place = root / "runs"
    if not place.is_dir():
        return []
    next(place.iterdir(), None)
    return [folder for folder in place.glob("*/*") if os.path.lexists(folder / "record.json")]


def named_run(text: str, root: Path) -> Path:
    """A run's folder by its id or the beginning of that, or the newest one of a recipe by the recipe's name.

    Trials that a sweep left count only where the recipe has no other run, and runs that can't be read where it has no
    trial either: naming one says what is wrong with it.

    Raises:
        Refusal: There is none, or there are several (FTC520).
    """
    folders = recorded_runs(root)
    matches = [found for found in folders if found.name == text]
    if not matches and (named := [found for found in folders if found.parent.name == text]):
        return _newest(named, root) if len(named) > 1 else named[0]
    matches = matches or sorted(found for found in folders if text and found.name.startswith(text))
    if len(matches) == 1:
        return matches[0]
    notes = [f"{found.name} of {found.parent.name}" for found in matches[:5]]
    summary = f"several runs start with `{text}`" if matches else f"no run `{text}` in this project"
    raise Refusal([diagnostic("FTC520", summary, help=_instead(text, bool(folders)), notes=notes)])


def _newest(folders: Sequence[Path], root: Path) -> Path:
    """The run of a recipe that began last, one of its own before all trials.

    A trial that was picked is the recipe's own from then on, whatever began since the sweep.
    """
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord

    noted = _noted_trials(root)

    def rank(folder: Path) -> tuple[int, str, int]:
        place = RunFolder(folder)
        try:
            plan, record = read_document(place.plan, Plan), read_document(place.record, RunRecord)
        except Refusal:
            return 0, "", 0
        if _is_left_trial(plan, record, noted):
            return 1, *beginning_of(folder, record)
        if record.id in noted and record.segments:
            return 2, record.segments[-1].started_at, 1
        return 2, *beginning_of(folder, record)

    return max(folders, key=rank)


def beginning_of(folder: Path, record: RunRecord) -> tuple[str, int]:
    """When a run began itself; the first segments of one that continues another run are that run's.

    Records count whole seconds. Of repetitions that begin in the same one, the number behind a folder's name decides.
    """
    segments, continued = record.segments, record.continued
    own = continued[-1].segments if continued else 0
    began = segments[min(own, len(segments) - 1)].started_at if segments else ""
    _, _, number = folder.name.partition("-")
    return began, int(number) if number.isdecimal() else 1


def _is_left_trial(plan: Plan, record: RunRecord, noted: Collection[str]) -> bool:
    """Whether a run is one of the recipe's variations that a sweep tried, and did not go on after its training.

    A trial that was picked goes on, and the recipe's own values are no variation. Where the sweep's folder is gone, the
    run itself may say so: no other run is pruned, and few others pause when they are trained.
    """
    is_trained = record.final_weights_sha256 is not None
    has_ended_early = record.status == "pruned" or (record.status == "paused" and is_trained)
    return bool(plan.overrides) and (has_ended_early or (record.id in noted and not is_trained))


def _noted_trials(root: Path) -> frozenset[str]:
    """Ids of the runs that the sweeps of a project note as trials, as far as their journals can be read.

    A journal is no part of a run: `ftc sweep show` reports what is wrong with it.
    """
    found: set[str] = set()
    with suppress(OSError):
        for journal in sweeps_folder(root).glob(f"*/{SWEEP_JOURNAL}"):
            with suppress(OSError):
                found.update(*map(_noted_runs, read_regular(journal).splitlines()))
    return frozenset(found)


def _noted_runs(line: bytes) -> Iterable[str]:
    """The runs of a trial, as a line of Optuna's journal notes them; none of another line."""
    if b'"runs"' not in line:
        return ()
    try:
        runs = parse_json(line)["user_attr"]["runs"]
    except (ValueError, LookupError, TypeError):
        return ()
    return [one for one in runs if isinstance(one, str)] if isinstance(runs, list) else ()


def _instead(text: str, has_runs: bool) -> str:
    """What helps somebody who named no run."""
    if Path(text).suffix in (".yaml", ".yml"):
        return f"`ftc plan {text}` shows the plan of a recipe; runs are named by id or folder"
    if text and os.path.isdir(text) and has_runs:  # noqa: PTH112 - a path refuses names that are too long
        return "the folder has no record; `ftc run list` lists the runs of this project"
    return "`ftc run list` lists them" if has_runs else "there are no runs yet; `ftc apply RECIPE` starts one"


def read_document(file: Path, kind: type[AnyDocument]) -> AnyDocument:
    """A document of a run's folder.

    Raises:
        Refusal: It can't be read (FTC524).
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate_json(read_regular(file, LARGEST_DOCUMENT))
    except (ValidationError, OSError) as problem:
        raise unreadable(file, problem) from None


def unreadable(file: Path, problem: ValidationError | OSError) -> Refusal:
    """What is said of a document that can't be read (FTC524)."""
    from ftc.spec.storage.outputs import reason_of

    summary = f"`{file.name}` of run `{file.parent.name}` can't be read"
    help = "restore the file from a copy, or move the run's folder away"
    return Refusal([diagnostic("FTC524", summary, help=help, notes=reason_of(problem))])
