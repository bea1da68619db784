"""What an audit says without accusing: honest runs meet it too. A strict audit takes each for a finding.

Packages that differ here by now, code that changed while the run went on, interruptions, a clock that was set, a
license that the model's card states otherwise, links, and processes that nothing is recorded of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ftc.compiler.audit.tally import Tally, finding, plural
from ftc.compiler.resolve.models.license import read_license
from ftc.spec.documents.events import Event, RunEnded
from ftc.spec.documents.facts import EnvironmentFacts, PackageFacts
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord

__all__ = ["check_links", "check_remarks"]

_MOST_NAMED = 5
_OVER = ("finished", "gate_failed")
_CLOCK_SLACK = 2.0
"""Seconds by which the times of a run may disagree: they are recorded in whole seconds."""


def check_remarks(
    tally: Tally,
    plan: Plan,
    record: RunRecord,
    events: Sequence[Event],
    here: EnvironmentFacts,
    model: Path | None,
) -> None:
    """Adds all remarks on a run."""
    _packages(tally, record, here)
    for subject, expected, found, words in (
        *_code(record),
        *_processes(record),
        *_interruptions(record, events),
        *_clock(record),
        *_license(plan, model),
    ):
        tally.remark(words, finding("FTC528", subject, expected, found, "an honest run can show this; ask who ran it"))
    if seen := [one for segment in record.segments for one in segment.processes]:
        hosts = {one.host for one in seen}
        on = plural(len(hosts), "machine")
        tally.checked.append(
            f"{plural(len(seen), 'process', 'processes')} on {on}: job, code, packages, kind of machine"
        )
    elif record.observed.world_size > 1 and not record.observed.processes:
        others = plural(record.observed.world_size - 1, "other process", "other processes")
        tally.not_checked.append(f"the machines of {others}: the record describes the first one's")


def check_links(tally: Tally, root: Path, files: Iterable[Path]) -> None:
    """Names files of the project that by now are links out of it, which a plan refuses.

    Args:
        tally: What was found so far.
        root: The project, without links.
        files: What the run read.
    """
    for file in files:
        for one in (file, *file.parents):
            place, leads_to = one.parent.resolve() / one.name, one.resolve()
            if one.is_symlink() and place.is_relative_to(root) and not leads_to.is_relative_to(root):
                name = place.relative_to(root).as_posix()
                words = f"`{name}` is a link to {leads_to}, outside the project, which a plan refuses"
                of = finding("FTC528", name, "a file", f"a link to {leads_to}", "put the file itself there")
                tally.remark(words, of)
                break


_Remark = tuple[str, str, str, str]
"""Subject, what is expected, what is found, and all of it in words."""


def _packages(tally: Tally, record: RunRecord, here: EnvironmentFacts) -> None:
    """Packages on this machine say nothing about the past run."""
    then = record.observed.environment
    if here.platform != then.platform:
        tally.not_checked.append(f"the packages: the run was on {then.platform}, this is {here.platform}")
        return
    other = [name for name in sorted(then.packages) if not then.packages[name].agrees_with(here.packages.get(name))]
    if not other:
        tally.checked.append(f"{len(then.packages)} packages")
        return
    named = [f"{name} {_both(then.packages[name], here.packages.get(name))}" for name in other[:_MOST_NAMED]]
    more = f" and {len(other) - _MOST_NAMED} more" if len(other) > _MOST_NAMED else ""
    words = f"the packages of the run differ here by now: {', '.join(named)}{more}"
    hint = "install the run's packages to compare them"
    tally.remark(words, finding("FTC528", "packages", "those of the run", ", ".join(named) + more, hint))


def _both(then: PackageFacts, here: PackageFacts | None) -> str:
    if here is None:
        return f"{then.version} -> absent"
    return f"{then.version} -> {here.version}" if then.version != here.version else f"{then.version}, other files"


def _code(record: RunRecord) -> Iterator[_Remark]:
    if record.code_changed:
        words = "ftc's own files or the project's commit changed while the run went on (FTC645)"
        yield "record.json: code_changed", "false", "true", f"the code of the run: {words}"
    last = record.observed.code.ftc_sha256
    for one in record.segments:
        if one.ftc_sha256 not in ("", last):  # empty where the record was lost and made again
            steps = f"steps {one.from_step} to {one.to_step}"
            yield f"record.json: {steps}", last[:12], one.ftc_sha256[:12], f"{steps}: other code of ftc did them"


def _processes(record: RunRecord) -> Iterator[_Remark]:
    """Processes on another kind of machine, or with other code, than the first one."""
    first = record.observed
    known = {"machine": first.machine.digest(), "code of ftc": first.code.ftc_sha256}
    for one in first.processes:
        found = {"machine": one.machine_sha256, "code of ftc": one.ftc_sha256}
        for what in (what for what in known if known[what] != found[what]):
            words = f"process {one.rank} of the run ({one.device}): another {what} than the first one's"
            subject = f"record.json: observed.processes.{one.rank}"
            yield subject, known[what][:12], found[what][:12], words
    for number, segment in enumerate(record.segments):
        read = segment.processes[0].inputs_sha256 if segment.processes else None
        for one in segment.processes:
            if read is not None and one.inputs_sha256 not in (None, read):
                words = f"process {one.rank} of segment {number + 1} read the same tensors and rows from other files"
                subject = f"record.json: segments.{number}.processes.{one.rank}.inputs_sha256"
                yield subject, read[:12], str(one.inputs_sha256)[:12], words


def _interruptions(record: RunRecord, events: Sequence[Event]) -> Iterator[_Remark]:
    """Each stop with its reason: the record's own words, or in older records what its events say."""
    for one in record.interruptions:
        reason = f"{one.reason} ({one.code})" if one.code else one.reason
        words = f"an interruption at step {one.step}, {one.kind}: {reason}"
        yield f"record.json: step {one.step}", "no interruption", f"{one.kind}: {reason}", words
    if record.interruptions:
        return
    reasons = [event.detail for event in events if isinstance(event, RunEnded) and event.status not in _OVER]
    stops = [segment for segment in record.segments[:-1] if segment.ended_by != "finished"]
    for number, stop in enumerate(stops):
        reason = reasons[number] if number < len(reasons) and len(reasons) == len(stops) else ""
        how = stop.ended_by or "stopped without a reason"
        words = f"an interruption at step {stop.to_step}, {how}" + (f": {reason}" if reason else "")
        yield f"record.json: step {stop.to_step}", "no interruption", how, words


def _clock(record: RunRecord) -> Iterator[_Remark]:
    """Times of the clock on the wall, which can be set, beside those that were measured."""
    wall = 0.0
    for number, one in enumerate(record.segments):
        took = _seconds(one.started_at, one.ended_at)
        if took is None:
            return
        if took < -_CLOCK_SLACK:
            words = f"the times of segment {number + 1}: it ended before it began, so that the clock was set"
            yield f"record.json: segments.{number}", one.started_at, str(one.ended_at), words
            return
        wall += took + _CLOCK_SLACK
    if record.train_seconds is not None and record.train_seconds > wall:
        found = f"{record.train_seconds:.0f} s in steps, {wall:.0f} s by the clock at most"
        yield "record.json: train_seconds", "no more than the clock says", found, f"the times of the run: {found}"


def _seconds(begin: str, end: str | None) -> float | None:
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds() if end else None
    except (ValueError, TypeError):
        return None


def _license(plan: Plan, model: Path | None) -> Iterator[_Remark]:
    """The model's card is no part of what is pinned, and may have been edited since."""
    try:
        found = read_license(model) if model is not None else plan.model.license
    except (OSError, ValueError):
        return
    if found != plan.model.license:
        words = f"the model's license: the plan has {plan.model.license}, the model's folder says {found}"
        yield "plan.json: model.license", str(found), str(plan.model.license), words
