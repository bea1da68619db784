"""All processes of a run have the same plan, code, packages, files and kind of machine, or none of them trains.

They meet twice. Before anything is loaded each reports over a store what it has, or why it can't take part, so that
nobody waits for one that has left. Before the first step they compare what only torch and the files show.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ftc.runtime.execution.copies import Sight
from ftc.runtime.execution.end_watch import know_others
from ftc.runtime.execution.lost_processes import name_machines
from ftc.runtime.execution.meeting_store import meeting_store, wait_for, while_connected
from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.machine import MachineClass
from ftc.spec.documents.segments import Launcher
from ftc.spec.launchers import launcher_card, scheduler_card
from ftc.spec.storage.processes import is_one_of_several
from ftc.spec.storage.reading import read_regular

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "RUN_FOLDER",
    "Report",
    "agreed_or_refused",
    "ahead",
    "arriving",
    "compare",
    "compare_refusals",
    "environment_values",
    "gather",
    "launcher",
    "machine_values",
    "meet",
    "mixed_machines",
    "refuse_differences",
    "see_folder",
    "unlike",
]

_T = TypeVar("_T")
_LEAVE_SECONDS = 10.0
_APPEAR_SECONDS = 20.0
_POLL_SECONDS = 0.1
_MOST_LINES = 12
RUN_FOLDER = "the run's folder"
"""Among the values of a report: processes that see different states of it don't share a disk."""


class Report(Document):
    """What one process has, or why it can't take part."""

    rank: int
    host: str
    values: dict[str, str]
    """By what it is, in words."""
    refusals: tuple[str, ...] = ()
    """Findings in words, with their codes and what to do."""
    sight: Sight | None = None
    """What it sees of a run that other machines may get copies of."""

    @property
    def who(self) -> str:
        """The process in words."""
        return f"process {self.rank} on {self.host}"


def meet(values: Mapping[str, str], refusal: Refusal | None = None, sight: Sight | None = None) -> tuple[Sight, ...]:
    """Compares what each process has, over a store; every process of the run calls it once. One process has no need.

    Args:
        values: What this one has.
        refusal: Why this one can't take part.
        sight: What it sees of a run whose folder need not be shared.

    Returns:
        What each of several sees of it, by rank.

    Raises:
        Refusal: They differ (FTC701, FTC702), one can't take part, or one didn't come (FTC644).
    """
    if not is_one_of_several(os.environ):
        return ()
    store, rank, world_size = meeting_store()
    own = Report(rank=rank, host=platform.node(), values=dict(values), refusals=_in_words(refusal), sight=sight)
    reports = _exchanged(store, own, world_size)
    if refusal is not None and all(one.refusals == own.refusals for one in reports):
        raise refusal
    if finding := compare(reports) or ahead(reports) or unlike(reports):
        raise Refusal([finding]) from refusal
    return tuple(one.sight for one in reports if one.sight is not None)


@contextmanager
def arriving() -> Iterator[None]:
    """What a process does before it meets the others: where it refuses, all of them do."""
    try:
        yield
    except Refusal as refusal:
        meet({}, refusal)
        raise


def _exchanged(store: Any, own: Report, world_size: int) -> list[Report]:
    """Everybody's report. The first process, which may keep the store, leaves when all have read."""
    with while_connected():
        store.set(f"report/{own.rank}", json.dumps(own.to_json()))
    keys = {rank: f"report/{rank}" for rank in range(world_size)}
    wait_for(store, keys)
    with while_connected():
        know_others(store)
        reports = [Report.model_validate_json(store.get(key)) for key in keys.values()]
        name_machines({one.rank: one.host for one in reports})
        store.set(f"read/{own.rank}", "")
        ends, read = time.monotonic() + _LEAVE_SECONDS, [f"read/{rank}" for rank in keys]
        while own.rank == 0 and not store.check(read) and time.monotonic() < ends:
            time.sleep(_POLL_SECONDS)
    return reports


def _in_words(refusal: Refusal | None) -> tuple[str, ...]:
    if refusal is None:
        return ()
    errors = [one for one in refusal.diagnostics if one.is_error]
    return tuple("; ".join((": ".join((f"{one.summary} [{one.code}]", *one.notes)), *one.help)) for one in errors)


def compare(reports: Sequence[Report]) -> Diagnostic | None:
    """One finding that names who differs, and in what; None where all have the same."""
    refused = [one for one in reports if one.refusals]
    if refused:
        summary = f"{refused[0].who} can't take part"
        summary += f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        help = "fix what the note says, and start all processes of the run once more; all of them have stopped"
        return _finding(summary, [f"{one.who}: {line}" for one in refused for line in one.refusals], help)
    differing = {
        name: sides
        for name in {name: None for one in reports for name in one.values}
        if len(sides := _sides(reports, name)) > 1
    }
    if not differing:
        return None
    name, sides = next(iter(differing.items()))
    usual = max(sides.values(), key=len)
    other = next(side for side in reversed(sides.values()) if side is not usual)
    if set(differing) == {RUN_FOLDER}:
        return _unseen(f"{_members(other)} sees another state of it than {_members(usual)}", _lines(differing))
    others = len(differing) - 1
    more = f" and {others} more difference{'s' if others > 1 else ''}" if others else ""
    return _finding(f"{_members(other)} differs from {_members(usual)}: {name}{more}", _lines(differing))


def ahead(reports: Sequence[Report]) -> Diagnostic | None:
    """A finding where a machine has more of the run than the first process, which would do its steps again."""

    def steps(one: Report) -> int:
        return -1 if one.sight is None or one.sight.steps is None else one.sight.steps

    most = max(reports, key=steps)
    if steps(most) <= steps(reports[0]):
        return None
    has = "nothing of it" if steps(reports[0]) < 0 else f"step {steps(reports[0])}"
    summary = f"{most.who} has the run at step {steps(most)}, and {reports[0].who} has {has}"
    help = f"number the processes so that {most.host} is the first, or name a `storage` in `ftc.launch.yaml`"
    return diagnostic("FTC702", f"the run's folder is not shared: {summary}", help=help)


def unlike(reports: Sequence[Report]) -> Diagnostic | None:
    """A finding where processes that have the first one's folder of runs find the run in another state there."""
    seeing = [(one, one.sight) for one in reports if one.sight is not None and one.sight.sees_runs]
    states = [f"{seen.run_id} {seen.status} at step {seen.steps}" if seen.status else "not begun" for _, seen in seeing]
    values = [{RUN_FOLDER: state} for state in states]
    return compare([one.model_copy(update={"values": own}) for (one, _), own in zip(seeing, values, strict=True)])


def _sides(reports: Sequence[Report], name: str) -> dict[str, list[Report]]:
    sides: dict[str, list[Report]] = {}
    for one in reports:
        sides.setdefault(one.values.get(name, "absent"), []).append(one)
    return sides


def _lines(differing: Mapping[str, Mapping[str, Sequence[Report]]]) -> list[str]:
    return [
        f"{name}: {'; '.join(f'{value} in {_members(side)}' for value, side in sides.items())}"
        for name, sides in differing.items()
    ]


def _members(reports: Sequence[Report]) -> str:
    hosts = list(dict.fromkeys(one.host for one in reports))
    if len(reports) == 1:
        return reports[0].who
    ranks = [one.rank for one in reports]
    is_run = ranks == [*range(ranks[0], ranks[-1] + 1)] and len(ranks) > 2
    named = f"{ranks[0]} to {ranks[-1]}" if is_run else ", ".join(map(str, ranks))
    return f"processes {named} on {hosts[0] if len(hosts) == 1 else f'{len(hosts)} machines'}"


_SAME = "use the same saved plan, files, packages and kind of machine for every process; all of them have stopped"


def _finding(summary: str, lines: Sequence[str], help: str = _SAME) -> Diagnostic:
    more = [f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return diagnostic("FTC701", summary, notes=(*lines[:_MOST_LINES], *more), help=help)


def _unseen(summary: str, lines: Sequence[str]) -> Diagnostic:
    help = "check that the file system of `runs/` shows every machine what the first one writes"
    return diagnostic("FTC702", f"the run's folder is not shared: {summary}", notes=tuple(lines), help=help)


def environment_values(environment: EnvironmentFacts) -> dict[str, str]:
    """Packages and interpreter as values of a report."""
    packages = {f"package {name}": one.build for name, one in environment.packages.items()}
    return {"Python": environment.python, "platform": environment.platform, **packages}


def machine_values(machine: MachineClass) -> dict[str, str]:
    """A machine's class as values of a report."""
    values: dict[str, str] = {}
    for name, value in machine.to_json().items():
        if isinstance(value, dict):
            values |= {f"machine's {name}.{key}": str(one) for key, one in value.items()}
        else:
            values[f"machine's {name}"] = " ".join(value) if isinstance(value, list) else str(value)
    return values


def gather(accelerator: Accelerator, values: Mapping[str, str], refusals: Sequence[str] = ()) -> list[Report]:
    """Everybody's report, over the process group; all processes have to call it."""
    from ftc.runtime.execution.accelerator import everywhere

    own = Report(rank=accelerator.process_index, host=platform.node(), values=dict(values), refusals=tuple(refusals))
    return [Report.model_validate_json(one) for one in everywhere(accelerator, json.dumps(own.to_json()))]


def refuse_differences(accelerator: Accelerator, values: Mapping[str, str]) -> None:
    """Compares values of all processes, over the process group.

    Raises:
        Refusal: They differ (FTC701).
    """
    if accelerator.num_processes > 1 and (finding := compare(gather(accelerator, values))):
        raise Refusal([finding])


def mixed_machines(places: Sequence[str], parts: int) -> Diagnostic | None:
    """A finding where processes that hold a model together are not those of one machine; None where they are.

    Args:
        places: The machine of each process, by rank.
        parts: How many processes in a row hold a model together.
    """
    for first in range(0, len(places), parts):
        row = places[first : first + parts]
        if len(set(row)) > 1:
            other = next(rank for rank, place in enumerate(row) if place != row[0])
            summary = f"processes {first} to {first + parts - 1} belong together, and are on several machines"
            notes = f"process {first} is on {row[0]}, process {first + other} on {row[other]}"
            help = f"number the processes so that these {parts} are on one machine, as torchrun and `srun` do"
            return diagnostic("FTC716", summary, notes=notes, help=help)
    return None


def compare_refusals(accelerator: Accelerator, check: Callable[[], object]) -> None:
    """Checks in every process, and refuses in all where one does.

    Raises:
        Refusal: As every process gave it, else one finding that says who gave what (FTC701).
    """
    refusal = None
    try:
        check()
    except Refusal as found:
        refusal = found
    if accelerator.num_processes > 1:
        own = _in_words(refusal)
        reports = gather(accelerator, {}, own)
        if any(one.refusals != own for one in reports) and (finding := compare(reports)):
            raise Refusal([finding]) from refusal
    if refusal is not None:
        raise refusal


def agreed_or_refused(accelerator: Accelerator, find: Callable[[], _T]) -> _T:
    """What the first process finds, in all processes; where it refuses, all of them do.

    Raises:
        Refusal: As the first process gave it, where it is the only one; else one that says what it gave (FTC701).
    """
    from ftc.runtime.execution.accelerator import agreed

    found: list[_T] = []

    def find_first() -> None:
        if accelerator.is_main_process:
            found.append(find())

    compare_refusals(accelerator, find_first)
    return agreed(accelerator, lambda: found[0])


def see_folder(accelerator: Accelerator, holder: Path, *, is_elsewhere: bool = False) -> None:
    """Checks whether every process sees the run's folder, which the first one holds by now.

    Args:
        accelerator: Knows the others.
        holder: The file that says which process holds it, and which is another one each time.
        is_elsewhere: Whether this process need not see it, since it gets copies.

    Raises:
        Refusal: One doesn't (FTC702).
    """
    if accelerator.num_processes == 1:
        return
    reports = gather(accelerator, {RUN_FOLDER: _read(holder)})
    ends = time.monotonic() + _APPEAR_SECONDS
    mine = reports[0].values[RUN_FOLDER]
    while (seen := mine if is_elsewhere else _read(holder)) != mine and time.monotonic() < ends:
        time.sleep(_POLL_SECONDS)  # file systems of a network show a new file late
    if finding := compare(gather(accelerator, {RUN_FOLDER: "held" if seen == mine else "not held, or not there"})):
        raise Refusal([finding])


def _read(file: Path) -> str:
    try:
        return hashlib.sha256(read_regular(file)).hexdigest()
    except OSError:
        return ""


def launcher(environ: Mapping[str, str]) -> Launcher | None:
    """What started this process, as its environment says; None where nothing did but a shell."""
    card, scheduler = launcher_card(environ), scheduler_card(environ)
    if card is None and scheduler is None:
        return None
    job = restart = release = None
    if scheduler is not None:
        job = environ.get(scheduler.job)
        restart = environ.get(scheduler.restart, scheduler.first)
    if card is not None:
        release = version(card.package) if card.package else environ.get(card.version)
        job = environ.get(card.job) if job is None or card.is_cluster else job
        restart = restart or environ.get(card.restart)
    return Launcher(
        kind="ftc" if card is None else card.kind,
        version=release,
        scheduler=None if scheduler is None else scheduler.kind,
        job_id=job,
        restart=int(restart) if restart and restart.isascii() and restart.isdigit() else None,
    )
