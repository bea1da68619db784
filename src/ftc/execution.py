"""From a plan to a finished run's folder: the runtime executes, then the report and the model card are written.

The only module beside the runtime that knows the runtime; `ftc.api` imports it when something is to be executed.
"""

from __future__ import annotations

from pathlib import Path

from ftc.planned import Planned
from ftc.run_store import FINISHED, Run, load_run, pages, predecessor
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.durable import write_text
from ftc.spec.events import EventListener
from ftc.spec.places import RunFolder, runs_folder, streams_folder

__all__ = ["execute_planned"]


def execute_planned(planned: Planned, *, listen: EventListener, again: bool) -> Run:
    """Executes a plan, or goes on with it where it stopped.

    Raises:
        Refusal: Packages are missing (FTC650), inputs moved, or the run could not go on.
    """
    if planned.run is not None and planned.run.record.status in FINISHED and not again:
        return planned.run
    missing = planned.compiled.environment.missing
    if missing:
        note = f"missing: {', '.join(missing)}"
        raise Refusal(
            [diagnostic("FTC650", "`apply` needs more packages", help="pip install 'ftc[train]'", notes=note)]
        )
    from ftc.runtime.execute import Inputs, execute

    going_on = planned.run if not again else None
    plan = going_on.plan if going_on else planned.plan  # the same job; its estimates may have moved since
    folder = going_on.folder if going_on else _new_folder(planned, again)
    inputs = Inputs(
        model_folder=planned.compiled.model_folder,
        streams_folder=streams_folder(plan.stream_key),
        environment=planned.compiled.environment,
        previous=predecessor(folder),
    )
    record = execute(plan, inputs, RunFolder(folder), listen)
    run = load_run(folder)
    assert run.record == record, "the record on disk is the one that the runtime returned"
    for name, text in pages(run).items():
        write_text(folder / name, text)
    return run


def _new_folder(planned: Planned, again: bool) -> Path:
    """Where a run begins: the folder of its job, or for a repetition the first free one with a number behind it."""
    parent, name = runs_folder(planned.root, planned.plan.name), planned.plan.run_id
    if not again or not (parent / name).exists():
        return parent / name
    return next(path for number in range(2, 10**6) if not (path := parent / f"{name}-{number}").exists())
