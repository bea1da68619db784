"""From a plan to a finished run's folder: the runtime executes, then the report and the model card are written.

The only module beside the runtime that knows the runtime; `ftc.api` imports it when something is to be executed.
"""

from __future__ import annotations

from pathlib import Path

from ftc.api import Planned
from ftc.run_store import FINISHED, Run, load_run
from ftc.spec.diagnostics import Refusal, diagnostic
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

    folder = _folder(planned, again)
    inputs = Inputs(
        model_folder=planned.compiled.model_folder,
        streams_folder=streams_folder(planned.plan.stream_key),
        environment=planned.compiled.environment,
    )
    record = execute(planned.plan, inputs, RunFolder(folder), listen)
    run = load_run(folder)
    assert run.record == record
    return run


def _folder(planned: Planned, again: bool) -> Path:
    """The folder of the run that goes on, or a new one; a repeated job gets a number behind its id."""
    parent = runs_folder(planned.root, planned.plan.name)
    first = parent / planned.plan.run_id
    if planned.run is not None and not again:
        return planned.run.folder
    if not first.exists():
        return first
    return next(path for number in range(2, 10**6) if not (path := parent / f"{planned.plan.run_id}-{number}").exists())
