"""From a plan to a finished run's folder: the runtime executes, then the report and the model card are written.

The only module beside the runtime that knows the runtime; `ftc.api` imports it when something is to be executed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.events import Event, EventListener, Noticed, PhaseStarted, RunStarted
from ftc.spec.documents.ledger import Begun, Ended, append_entry, note_evaluation
from ftc.spec.documents.machine import snapshot_code
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.atomic_write import write_file, write_text
from ftc.spec.storage.ignored import make_ignored
from ftc.spec.storage.paths import RunFolder, runs_folder, streams_folder
from ftc.spec.storage.processes import is_follower, is_one_of_several, machine_name
from ftc.spec.storage.reading import read_regular
from ftc.verbs.launch import writer_site
from ftc.verbs.pages import write_missing_pages, write_pages
from ftc.verbs.plan import Planned
from ftc.verbs.register import register_asked
from ftc.verbs.runs import Run, load_run, predecessor
from ftc.verbs.storing import brought_back, store_rest, stored
from ftc.verbs.track import tracked_by

if TYPE_CHECKING:
    from ftc.runtime.execution.copies import Copies, Sight
    from ftc.runtime.execution.execute import Inputs, Steering
    from ftc.runtime.tracking.reporters import Reporters

__all__ = ["execute_planned"]


def execute_planned(
    planned: Planned,
    *,
    listen: EventListener,
    again: bool,
    until: int | Literal["train"] | None = None,
    stop: Callable[[Event], str | None] | None = None,
) -> Run:
    """Executes a plan, or goes on with it where it stopped; see `ftc.apply`.

    Raises:
        Refusal: Packages are missing (FTC650), there is no such step (FTC580), inputs moved, the run's processes differ
            (FTC701), the site's storage can't be used (FTC720), or the run could not go on.
    """
    from ftc.runtime.execution.agreement import arriving, meet
    from ftc.runtime.execution.copies import Copies, own_folder
    from ftc.runtime.execution.execute import Steering
    from ftc.runtime.execution.state import find_run, refuse_held

    doubted, rank = set[str](), int(os.environ.get("RANK") or 0)
    with ExitStack() as holding:
        with ExitStack() as meeting:
            with arriving():
                _refuse_early(planned, again, until)
                planned = planned if again else brought_back(planned, listen, doubted)
                going_on = planned.run if not again else None
                folder = going_on.folder if going_on else _new_folder(planned, again)
                sight = _sight(planned, folder, going_on, meeting)
                if sight is not None and not sight.sees_runs:
                    holding.enter_context(own_folder(planned.root, planned.plan.run_id, rank))
                elif sight is not None:  # what one process refuses is known before any waits for it
                    find_run(RunFolder(folder), planned.plan)
                    if rank == 0:
                        refuse_held(RunFolder(folder))
            sights = meet(_values(planned), sight=sight)
        copies = Copies.of(sights, rank)
        if copies.is_elsewhere:
            folder = copies.begin(planned.root, planned.plan, sights[0])
            going_on = load_run(folder) if sights[0].documents else None
        else:
            make_ignored(planned.root / "runs")
        if going_on is not None and going_on.record.is_finished:
            return _completed(going_on, listen)
        plan = going_on.plan if going_on else _begun(RunFolder(folder), planned.plan)
        return _executed(planned, plan, RunFolder(folder), listen, Steering(until, stop), copies, doubted)


def _executed(
    planned: Planned,
    plan: Plan,
    place: RunFolder,
    listen: EventListener,
    steering: Steering,
    copies: Copies,
    doubted: Collection[str],
) -> Run:
    """Executes a plan in a run's folder, and writes beside it what is made of the result."""
    from ftc.runtime.execution.execute import execute
    from ftc.runtime.tracking.reporters import Reporters

    folder = place.path
    inputs = _inputs(planned, plan, folder)
    reporters = Reporters(tracked_by(planned), planned.root, place)
    with stored(planned.root, plan, folder, listen, doubted) as storing:
        following = _Following(planned.root, plan, place, storing, planned.recipe_text, reporters)
        try:
            record = execute(plan, inputs, place, following.hear, steering, settle=reporters.settle, copies=copies)
        except BaseException:
            with suppress(OSError):  # a disk that is full must not hide why the run failed
                following.end()
                _say(reporters.finish(), listen)
            raise
        following.end()
        run = load_run(folder)
        if is_follower(os.environ):  # the first process writes the pages
            return run
        assert run.record == record, "the record on disk is the one that the runtime returned"
        _say(write_pages(run), listen)
        _say(reporters.finish(), listen)
    register_asked(run, reporters.asked, {title for title, _ in reporters.places}, listen)
    return run


def _completed(run: Run, listen: EventListener) -> Run:
    """A run that is over: the first process writes pages that are missing, and stores what isn't stored."""
    if not is_follower(os.environ):
        _say(write_missing_pages(run), listen)
        store_rest(run, listen)
    return run


def _inputs(planned: Planned, plan: Plan, folder: Path) -> Inputs:
    """Where the files of a run's plan are."""
    from ftc.runtime.execution.execute import Inputs

    return Inputs(
        model_folder=planned.compiled.model_folder,
        streams_folder=streams_folder(plan.stream_key),
        environment=planned.compiled.environment,
        previous=predecessor(folder),
        companions=planned.compiled.companions,
        writer=writer_site(planned.root, plan),
    )


def _refuse_early(planned: Planned, again: bool, until: int | Literal["train"] | None) -> None:
    """What is known to be in the way before anything heavy is loaded.

    Raises:
        Refusal: FTC580 or FTC650.
    """
    steps = planned.plan.settings.train.num_steps
    if isinstance(until, int) and not 1 <= until <= steps:
        summary, help = f"there is no step {until}", f"name a step from 1 to {steps}, or `train` for all of them"
        raise Refusal([diagnostic("FTC580", summary, help=help, path="train.max_steps")])
    if planned.run is not None and planned.run.record.is_finished and not again:
        return
    missing = planned.compiled.environment.missing
    if missing:
        note = f"missing: {', '.join(missing)}"
        raise Refusal(
            [diagnostic("FTC650", "`apply` needs more packages", help="pip install 'ftc[train]'", notes=note)]
        )
    tracked_by(planned)


def _values(planned: Planned) -> dict[str, str]:
    """What has to be the same in every process before it is worth loading anything."""
    if not is_one_of_several(os.environ):
        return {}
    from ftc.runtime.execution.agreement import environment_values

    code = snapshot_code(project=planned.root).ftc_sha256[:12]
    return {"plan": planned.plan.run_id, "ftc's code": code, **environment_values(planned.compiled.environment)}


def _sight(planned: Planned, folder: Path, going_on: Run | None, stack: ExitStack) -> Sight | None:
    """What this process sees of a run that others may get copies of; None for a process that has no others.

    Args:
        planned: The plan.
        folder: The run's folder.
        going_on: The run as it is here, where it is continued.
        stack: Keeps what the others have to see until they have met.
    """
    from ftc.runtime.execution.copies import Sight, seeing_runs

    if not is_one_of_several(os.environ):
        return None
    begun = going_on is not None and not is_follower(os.environ)
    found = [one for one in RunFolder(folder).documents if one.exists()] if begun else []
    return Sight(
        place=f"{machine_name(os.environ)}, {planned.root.resolve()}",
        sees_runs=stack.enter_context(seeing_runs(planned.root)),
        run_id=folder.name,
        steps=None if going_on is None else going_on.record.steps_done,
        status=None if going_on is None else going_on.record.status,
        documents={one.name: read_regular(one).decode() for one in found},
    )


def _say(findings: Iterable[Diagnostic], listen: EventListener) -> None:
    for one in findings:
        listen(Noticed(code=one.code, text=one.summary))


@dataclass(slots=True)
class _Following:
    """Writes into the ledger what the run says, before anybody else hears of it. Only a run that is held speaks."""

    root: Path
    plan: Plan
    folder: RunFolder
    listen: EventListener
    recipe: bytes
    reporters: Reporters
    has_begun: bool = False

    def hear(self, event: Event) -> None:
        """Notes the beginning and each evaluation on the test split."""
        match event:
            case RunStarted():
                self._begin()
            case PhaseStarted(phase="evaluate"):
                self._note(event.detail)
            case _:
                pass
        self.listen(event)

    def end(self) -> None:
        """Notes how a run that began was left."""
        if self.has_begun:
            record = load_run(self.folder.path).record
            fields = {"status": record.status, "record_sha256": record.sha256}
            append_entry(self.root, Ended, name=self.plan.name, run_id=self.folder.path.name, **fields)

    def _begin(self) -> None:
        if not self.folder.recipe.exists():
            write_file(self.folder.recipe, self.recipe)
            write_text(self.folder.recipe_lock, self.plan.lock.to_text())
        if not self.folder.test_rows.exists() and (tested := self._test_rows()):
            write_text(self.folder.test_rows, "".join(f"{one}\n" for one in sorted(tested)))
        digests = {"job_sha256": self.plan.job_sha256(), "plan_sha256": self.plan.sha256}
        append_entry(self.root, Begun, name=self.plan.name, run_id=self.folder.path.name, **digests)
        self.has_begun = True
        self.reporters.begin(live=True)

    def _test_rows(self) -> set[str]:
        """Digests of rows that no later run may be trained on: those of the plan, and of runs that it combines."""
        name, made = self.folder.test_rows.name, self.plan.settings.model.combined
        files = [streams_folder(self.plan.stream_key) / name]
        files += [self.root / one.folder / ".." / name for one in made.adapters] if made else []
        return {line for file in files if file.is_file() for line in file.read_text(encoding="ascii").split()}

    def _note(self, subject: str) -> None:
        test = self.plan.data["test"]
        note_evaluation(
            self.root,
            name=self.plan.name,
            run_id=self.folder.path.name,
            stream_sha256=test.stream_digest,
            rows=test.rows,
            purpose=f"evaluate {subject}",
        )


def _begun(folder: RunFolder, plan: Plan) -> Plan:
    """The plan in a run's folder, which goes on with it: the same job, whose estimates may have moved since."""
    try:
        found = Plan.model_validate_json(read_regular(folder.plan))
    except (OSError, ValueError):
        return plan
    return found if found.job_sha256() == plan.job_sha256() else plan


def _new_folder(planned: Planned, again: bool) -> Path:
    """Where a run begins: the folder of its job, or for a repetition the first free one with a number behind it."""
    parent, name = runs_folder(planned.root, planned.plan.name), planned.plan.run_id
    if not again or not (parent / name).exists():
        return parent / name
    return next(path for number in range(2, 10**6) if not (path := parent / f"{name}-{number}").exists())
