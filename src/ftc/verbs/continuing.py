"""`ftc apply PLAN --from RUN`: a run that stopped goes on with its work shared among other processes.

The plan's run gets a folder of its own, which begins with what the other run left: its segments, its step log and
events, and its newest checkpoint. Rows keep their order, since that is a function of the seed and the step. Sums are
added up in another order from there on, so no bits are claimed, and the record says whose the first steps are.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.continued import Continued, free_to_change
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.interruption import usable_step
from ftc.spec.documents.record import DeterminismSeen
from ftc.spec.storage.atomic_write import building_folder, write_text
from ftc.spec.storage.checkpoint_tensors import OPTIMIZER, STATE, WEIGHTS
from ftc.spec.storage.ignored import make_ignored
from ftc.spec.storage.paths import RunFolder, runs_folder
from ftc.verbs.runs import Run, find_run, load_run
from ftc.verbs.standing import as_left

if TYPE_CHECKING:
    from ftc.runtime.artifacts.checkpoint_files import WholeCheckpoint
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.plan import Planned

__all__ = ["begin_from"]

_MOST_LINES = 6


def begin_from(planned: Planned, source: Run | str) -> Planned:
    """Makes the run of a plan out of what another run has done of the same work; where it was made before, it stays.

    Args:
        planned: The plan, which shares each step among other processes than the other run did, or in another way.
        source: A run of the plan's project that stopped before its end, or its name.

    Returns:
        The plan with its run, which `apply` continues.

    Raises:
        Refusal: The run is over, is at work, has no checkpoint, or does other work (FTC714).
        OSError: The disk refused; nothing is left behind.
    """
    from ftc.runtime.execution.state import refuse_held

    plan, root = planned.plan, planned.root.resolve()
    source = find_run(source, root) if isinstance(source, str) else source
    if planned.run is not None:
        if any(one.run_id == source.record.id for one in planned.run.record.continued):
            return planned
        raise _refused(
            f"run `{planned.run.record.id}` of this plan has begun by itself",
            "`ftc apply PLAN` continues it; move its folder away to begin from the other run",
        )
    if not source.folder.resolve().is_relative_to(root):
        raise _refused(f"run `{source.record.id}` is in another project", "copy its folder into `runs/` of this one")
    if source.record.is_finished:
        raise _refused(f"run `{source.record.id}` is over", "`model.base: run:NAME` begins another run from its model")
    if plan.settings.train.determinism.asked == "bitwise":
        help = "write `train: {determinism: best_effort}` for runs that may move between machines"
        raise _refused("the plan asks for the same bits, which another number of processes doesn't give", help)
    if differences := _differences(source.plan, plan):
        raise _refused(
            f"run `{source.record.id}` does other work than this plan",
            "only `budget.devices`, `budget.nodes` and how a step is shared among them may differ",
            *differences,
        )
    place, left = RunFolder(source.folder), as_left(source)
    refuse_held(place)
    found, best = _checkpoints(left)
    folder = runs_folder(root, plan.name) / plan.run_id
    make_ignored(root / "runs")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with building_folder(folder) as made:
        target = RunFolder(made)
        for file in (place.events, place.step_log, place.answers, place.judged):
            if file.is_file():
                shutil.copyfile(file, made / file.name)
        for one in (found, *best):
            _copy_checkpoint(one, target.checkpoints / one.folder.name, plan)
        write_text(target.plan, plan.to_text())
        record = left.record.model_copy(update=_changes(left, plan, found, folder, root)).sealed()
        write_text(target.record, record.to_text())
    return replace(planned, run=load_run(folder))


def _differences(before: Plan, after: Plan) -> list[str]:
    """In what two plans do other work, a line each."""
    from ftc.compiler.lock.lockfile import changed_leaves

    free = {*free_to_change(before.job()), *free_to_change(after.job())}
    changed = [one for one in changed_leaves(before.job(), after.job())[0] if one[0] not in free]
    lines = [f"{path.removeprefix('settings.')}: {old} → {new}" for path, old, new in changed[:_MOST_LINES]]
    if before.job_sha256() == after.job_sha256():
        return ["both are the same job: `ftc apply PLAN` continues it without `--from`"]
    return [*lines, f"and {len(changed) - _MOST_LINES} more"] if len(changed) > _MOST_LINES else lines


def _checkpoints(run: Run) -> tuple[WholeCheckpoint, tuple[WholeCheckpoint, ...]]:
    """The newest checkpoint that may be continued, and the best one so far where that is another.

    Raises:
        Refusal: There is none (FTC714).
    """
    from ftc.runtime.artifacts.checkpoint_files import newest, verified, witnessed_log

    place, job = RunFolder(run.folder), run.plan.job_sha256()
    limit = usable_step(run.record.interruptions, run.record.proved_step)
    below, log = None if limit is None else limit + 1, witnessed_log(place)
    found = newest(place.checkpoints, job, lambda _: None, log, below=below)
    if found is None:
        help = "`ftc apply PLAN` trains from the first step"
        raise _refused(f"run `{run.record.id}` has no checkpoint that may be continued", help)
    step = found.progress.selection.best_step
    best = None if step in (None, found.progress.step) else verified(place.checkpoints, step, job, lambda _: None, log)
    return found, (best,) if best else ()


def _copy_checkpoint(one: WholeCheckpoint, target: Path, plan: Plan) -> None:
    """Copies a checkpoint's tensors; its state names the plan's job."""
    from ftc.runtime.artifacts.checkpoint_files import MANIFEST, Manifest, State

    target.mkdir(parents=True)
    for file in (*one.files(WEIGHTS), *one.files(OPTIMIZER)):
        shutil.copyfile(file, target / file.name)
    write_text(target / STATE, State(job_sha256=plan.job_sha256(), progress=one.progress).to_text())
    files = {
        path.name: FileFacts(size=path.stat().st_size, sha256=file_digest(path)) for path in sorted(target.iterdir())
    }
    write_text(target / MANIFEST, Manifest(schema="ftc.checkpoint/1", files=files).to_text())


def _changes(run: Run, plan: Plan, found: WholeCheckpoint, folder: Path, root: Path) -> Mapping[str, Any]:
    """What the record of the new run says otherwise than that of the run that it goes on from."""
    from ftc.spec.documents.step_log import read_step_log

    record, before, step = run.record, run.plan.settings.train, found.progress.step
    continued = Continued(
        run_id=record.id,
        folder=run.folder.resolve().relative_to(root).as_posix(),
        job_sha256=run.plan.job_sha256(),
        plan_sha256=run.plan.sha256,
        record_sha256=record.sha256,
        step=step,
        weights_sha256=read_step_log(RunFolder(run.folder).step_log).checksums[step].weights_sha256,
        segments=len(record.segments),
        world_size=before.world_size,
        nodes=before.nodes,
        sharding=before.sharding,
    )
    detail = f"run {record.id} did the first {step} steps, on {before.world_size} processes: no bits are claimed"
    return {
        "id": folder.name,
        "plan_sha256": plan.sha256,
        "status": "interrupted" if record.status == "running" else record.status,
        "steps_done": step,
        "selected_step": None,
        "determinism": DeterminismSeen(level="D0", proof_steps=0, detail=detail),
        "outputs": {},
        "findings": (),
        "trackers": (),
        "memory_by_phase": (),
        "peak_memory_bytes": None,
        "continued": (*record.continued, continued),
    }


def _refused(summary: str, help: str, *notes: str) -> Refusal:
    return Refusal([diagnostic("FTC714", summary, help=help, notes=notes)])
