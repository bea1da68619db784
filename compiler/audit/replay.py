"""The verdict on steps that were done again: pure functions over documents; who executes them is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ftc.spec.codes import CODES
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.audit import AuditReport, ClassComparison, Finding, Replay, Verdict
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.machine import CodeSnapshot, MachineClass
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.documents.step_log import Difference
from ftc.spec.exit_codes import ExitCode

__all__ = [
    "Steps",
    "asked_steps",
    "blocked",
    "class_findings",
    "difference_finding",
    "foothold_finding",
    "judged",
    "machine_findings",
    "problem_finding",
    "result_findings",
]

_FORCE = "audit on a machine of that class, or execute all the same with --force"
_MOST_PACKAGES = 8


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps to do again: those after `first`, up to `last`."""

    first: int
    last: int


def asked_steps(record: RunRecord, *, first: int, last: int | None, count: int) -> Steps:
    """The steps of a replay, from what a user asked for.

    Args:
        record: The run's record.
        first: Steps that are done at the beginning.
        last: Where to end; None for `count` steps further, or the run's end where that comes sooner.
        count: Steps, where no end was asked for.

    Raises:
        Refusal: The run has not done these steps (FTC535).
    """
    end = min(first + count, record.steps_done) if last is None else last
    if not 0 <= first < end <= record.steps_done:
        summary = f"there are no steps from {first} to {end} in a run of {record.steps_done}"
        raise Refusal([diagnostic("FTC535", summary, help=f"0 <= from < to <= {record.steps_done}")])
    return Steps(first, end)


def class_findings(record: RunRecord, environment: EnvironmentFacts, code: CodeSnapshot) -> Iterator[Finding]:
    """What can be told of another class without starting anything: platform, interpreter, packages, ftc's own code."""
    then = record.observed.environment
    if (then.platform, then.python) != (environment.platform, environment.python):
        yield _class("platform", f"{then.platform} {then.python}", f"{environment.platform} {environment.python}")
    names = sorted(then.packages.keys() | environment.packages.keys())
    other = [name for name in names if then.packages.get(name) != environment.packages.get(name)]
    for name in other[:_MOST_PACKAGES]:
        mine, here = then.packages.get(name), environment.packages.get(name)
        yield _class(f"package {name}", *(f"{p.version} {p.sha256[:12]}" if p else "absent" for p in (mine, here)))
    if len(other) > _MOST_PACKAGES:
        yield _class("packages", "", f"{len(other) - _MOST_PACKAGES} more differ")
    if record.observed.code.ftc_sha256 != code.ftc_sha256:
        yield _class("ftc's own code", record.observed.code.ftc_sha256, code.ftc_sha256)
    if record.code_changed:
        yield _class("the run's code", "the same from first to last step", "changed while the run went on")
    last = (record.observed.machine.digest(), record.observed.code.ftc_sha256)
    for segment in record.segments:
        if (segment.machine_sha256, segment.ftc_sha256) != last:
            which = f"steps {segment.from_step} to {segment.to_step} of the run"
            yield _class(which, "the machine and code of the run's last part", "another machine, or other code of ftc")


def machine_findings(recorded: MachineClass, here: MachineClass) -> Iterator[Finding]:
    """What differs between the run's machine and this one, as torch sees them."""
    for name, then, now in recorded.differences(here):
        yield _class(name, then, now)


def difference_finding(parted: Difference) -> Finding:
    """Where two runs part."""
    tensor = f", first in {parted.tensor}" if parted.tensor else ""
    seen = "" if parted.last_equal_rung is None else f"; weights were last equal at step {parted.last_equal_rung}"
    return Finding(
        code="FTC530",
        subject=f"step {parted.step}: {parted.component}{tensor}",
        expected=_both_ways(parted.expected),
        found=_both_ways(parted.found),
        hint=f"{_CAUSES[parted.component]}{seen}",
    )


_CAUSES = {
    "batch": "other rows or tokens went in: look at the data's order, the token stream and the collation",
    "learning rate": "another schedule",
    "chance": "other numbers were drawn: dropout or a new source of chance",
    "loss": "the same rows gave another loss: the weights before the step differ, or the forward pass does",
    "gradient norm": "the loss is equal and its gradient isn't: the backward pass computes otherwise",
    "weights": "all losses up to here are equal and the weights aren't: the update, or what no loss depends on yet",
    "optimiser": "the weights are equal and the optimizer's memory isn't",
}


def _both_ways(value: str) -> str:
    """A hexadecimal float with its decimal form; anything else as it is."""
    try:
        return f"{value} ({float.fromhex(value):.9g})" if "0x" in value else value
    except ValueError:
        return value


def problem_finding(problem: Diagnostic) -> Finding:
    """What kept a fresh process from doing the steps."""
    hint = problem.help[0] if problem.help else ""
    return Finding(code=problem.code, subject=problem.summary, expected="", found="; ".join(problem.notes), hint=hint)


def foothold_finding(steps: Steps, checkpoints: tuple[int, ...]) -> Finding:
    """There is no checkpoint where a replay was to begin."""
    there = ", ".join(map(str, checkpoints[:-1]))
    places = f"begin at 0{f', {there}' if there else ''}" + (f" or {checkpoints[-1]}" if checkpoints else "")
    subject = f"checkpoint of step {steps.first}"
    return Finding(code="FTC532", subject=subject, expected="a checkpoint", found="nothing", hint=places)


def result_findings(
    then: RunRecord, now: RunRecord, old: Evaluation | None, new: Evaluation | None
) -> Iterator[Finding]:
    """What a whole run that was done again ended with, compared with the record: weights, choice and measurement."""
    pairs: dict[str, tuple[object, object]] = {
        "selected step": (then.selected_step, now.selected_step),
        "exported weights": (then.final_weights_sha256, now.final_weights_sha256),
    }
    for subject in ("base", "tuned"):
        mine, here = (getattr(one, subject) if one else None for one in (old, new))
        for name in sorted({*(mine.metrics if mine else ()), *(here.metrics if here else ())}):
            values = tuple(one.metrics.get(name) if one else None for one in (mine, here))
            pairs[f"{name} of {subject}"] = (values[0], values[1])
    for subject, (expected, found) in pairs.items():
        if expected != found:
            hint = "the steps of training are equal up to there"
            yield Finding(code="FTC530", subject=subject, expected=str(expected), found=str(found), hint=hint)


def blocked(static: AuditReport, level: str) -> bool:
    """Whether what the static level found keeps steps from being done again; a run that stopped has some to do."""
    return any(finding.code != "FTC525" or level == "full" for finding in static.findings)


def judged(
    static: AuditReport,
    level: str,
    findings: Iterable[Finding],
    *,
    machine: ClassComparison | None,
    replay: Replay | None,
) -> AuditReport:
    """The report of a level that executes, or would have."""
    others = [finding for finding in static.findings if finding.code != "FTC525" or level == "full"]
    found = (*others, *findings)
    verdict, exit_code = _verdict(found, replay, level)
    return static.model_copy(
        update={
            "level": level,
            "verdict": verdict,
            "exit_code": exit_code,
            "findings": found,
            "machine": machine,
            "replay": replay,
            "not_checked": (*static.not_checked[:-2], *_not_checked(static, replay, level)),
        }
    )


def _verdict(findings: Iterable[Finding], replay: Replay | None, level: str) -> tuple[Verdict, int]:
    """A wrong byte outweighs a wrong step, which outweighs what can't be told; another class alone tells nothing."""
    codes = {CODES[finding.code].exit_code for finding in findings}
    if ExitCode.INTEGRITY in codes:
        return "TAMPERED", ExitCode.INTEGRITY
    if ExitCode.NOT_REPRODUCED in codes:
        return "NOT_REPRODUCED", ExitCode.NOT_REPRODUCED
    if replay is None or replay.reached_step < replay.last_step:
        return "INCONCLUSIVE", ExitCode.INCONCLUSIVE
    return ("REPRODUCED_BITWISE" if level == "full" else "REPRODUCED_PREFIX"), ExitCode.FINE


def _not_checked(static: AuditReport, replay: Replay | None, level: str) -> Iterator[str]:
    if replay is None:
        yield "that training again gives the same weights: nothing was executed"
    else:
        if replay.first_step > 0:
            yield f"steps 1 to {replay.first_step}"
        if replay.reached_step < static.num_steps:
            yield f"steps {replay.reached_step + 1} to {static.num_steps}"
        if level == "replay":
            yield "validation, choice of the checkpoint, export and evaluation"
    yield "that times, memory and machine are recorded truthfully"


def _class(subject: str, expected: str, found: str) -> Finding:
    return Finding(code="FTC531", subject=subject, expected=expected, found=found, hint=_FORCE)
