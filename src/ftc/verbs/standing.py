"""Where an unfinished run of a plan stands: the step from which the next `apply` really continues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal
from ftc.spec.storage.paths import RunFolder, runs_folder

if TYPE_CHECKING:
    from ftc.spec.documents.interruption import Standing
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.runs import Run

__all__ = ["as_left", "left_words", "note_of_saved", "standing_of"]


def left_words(run: Run) -> tuple[str, str | None] | None:
    """Why a run's process is gone, with a code where one names it; None where it runs, or its record says so itself."""
    if not run.record.is_open:
        return None
    from ftc.runtime.execution.last_words import said_nothing
    from ftc.runtime.execution.state import is_held

    place = RunFolder(run.folder)
    return None if is_held(place) else said_nothing(place, len(run.record.segments))


def as_left(run: Run) -> Run:
    """A run as the next process will find it: a record that still says `running` is one of a process that is gone.

    The record's checksum is no longer that of its content; this one is for showing.
    """
    left = left_words(run)
    if left is None:
        return run
    from ftc.spec.documents.interruption import Interruption

    record = run.record
    limit = (record.proved_step or 0) if left[1] == "FTC515" else None
    one = Interruption(
        at=record.segments[-1].started_at,
        segment=len(record.segments),
        kind="lost",
        code=left[1],
        reason=left[0],
        step=record.steps_done,
        usable_step=limit,
    )
    changes = {"status": "interrupted", "interruptions": (*record.interruptions, one)}
    return replace(run, record=record.model_copy(update=changes))


def standing_of(root: Path, plan: Plan, run: Run | None) -> Standing | None:
    """How a plan's run stands; None where there is none, or it is over. Checkpoints are checked as the run does it."""
    folder = runs_folder(root, plan.name)
    if run is None and not folder.is_dir():
        return None
    place = RunFolder(run.folder if run else folder / plan.run_id)
    run = as_left(run) if run else None
    if run.record.is_finished if run else not place.checkpoints.is_dir():
        return None
    from ftc.runtime.artifacts.checkpoint_files import newest, witnessed_log
    from ftc.spec.documents.interruption import Standing, usable_step

    words, limit = f"run {place.path.name} is to be recovered: its plan.json or record.json can't be read", None
    if run is not None:
        record = run.record
        reason = record.interruptions[-1].reason if record.interruptions and record.status != "running" else ""
        words = f"run {record.id} is {record.status}" + (f" ({reason})" if reason else "")
        limit = usable_step(run.record.interruptions, run.record.proved_step)
    log = witnessed_log(place)
    job = (run.plan if run else plan).job_sha256()
    found = newest(place.checkpoints, job, lambda _: None, log, below=None if limit is None else limit + 1)
    return Standing(words, found.progress.step if found else 0)


def note_of_saved(root: Path, saved: Plan) -> str:
    """In what the recipe of a saved plan that has run is another one by now; empty where it is the same."""
    changes = _recipe_changes(root, saved)
    if changes is None:
        return f"note: `{saved.recipe_file}`, which this plan was made of, is no longer there or has errors\n"
    if not changes:
        return ""
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return (
        f"note: the saved plan has run as it is; `{saved.recipe_file}` has changed since it was planned:\n"
        f"      {'; '.join(changes[:3])}{more}\n"
        f"      `ftc apply {saved.recipe_file}` runs the recipe as it is now\n"
    )


def _recipe_changes(root: Path, saved: Plan) -> tuple[str, ...] | None:
    from ftc.compiler.lock.lockfile import differences
    from ftc.compiler.resolve.files.safe_files import UnsafePath, read_recipe, safe_path
    from ftc.compiler.rules.check import check_recipe

    try:
        file = safe_path(root, saved.recipe_file)
        now = check_recipe(read_recipe(file), file.name, path=file, overrides=saved.overrides).recipe
    except (OSError, UnsafePath, Refusal):
        return None
    if now is None:
        return None
    before, after = saved.recipe.to_json(), now.to_json()
    return tuple(
        line for name in sorted({*before, *after}) for line in differences(name, before.get(name), after.get(name))
    )
