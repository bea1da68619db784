"""The verdict on steps that were done again, with the same seeds or with others: pure functions over documents."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ftc.compiler.audit.tally import SEEN_BY, WEIGHTS
from ftc.compiler.lock.lockfile import changed_leaves
from ftc.spec.base import Document
from ftc.spec.codes import CODES
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.audit import AuditReport, ClassComparison, Finding, Repetition, Replay, Verdict
from ftc.spec.documents.facts import EnvironmentFacts, PackageFacts
from ftc.spec.documents.machine import CodeSnapshot, MachineClass
from ftc.spec.documents.plan import EvaluateStep, Plan, ProveStep
from ftc.spec.documents.record import Evaluation, Interval, RunRecord
from ftc.spec.documents.step_log import Difference
from ftc.spec.exit_codes import ExitCode
from ftc.spec.metrics import metric_named

__all__ = [
    "Steps",
    "asked_steps",
    "blocked",
    "class_findings",
    "difference_finding",
    "foothold_finding",
    "judged",
    "judged_by_seeds",
    "machine_findings",
    "prediction",
    "problem_finding",
    "reseeded",
    "result_findings",
    "row_findings",
]

_FORCE = "audit on a machine of that class, or execute anyway with --force"
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
    other = [name for name in names if not _agree(then.packages.get(name), environment.packages.get(name))]
    for name in other[:_MOST_PACKAGES]:
        mine, here = then.packages.get(name), environment.packages.get(name)
        yield _class(f"package {name}", *(p.build if p else "absent" for p in (mine, here)))
    if len(other) > _MOST_PACKAGES:
        yield _class("packages", "", f"{len(other) - _MOST_PACKAGES} more differ")
    if record.observed.code.ftc_sha256 != code.ftc_sha256:
        yield _class("ftc's own code", record.observed.code.ftc_sha256, code.ftc_sha256)
    if record.code_changed:
        yield _class("the run's code", "the same from first to last step", "changed during the run")
    last = (record.observed.machine.digest(), record.observed.code.ftc_sha256)
    others = record.continued[-1].segments if record.continued else 0  # whose steps are not repeated
    for segment in record.segments[others:]:
        if (segment.machine_sha256, segment.ftc_sha256) != last:
            which = f"steps {segment.from_step} to {segment.to_step} of the run"
            yield _class(which, "the machine and code of the run's last part", "another machine, or other code of ftc")


def _agree(one: PackageFacts | None, other: PackageFacts | None) -> bool:
    return one.agrees_with(other) if one else other is None


def machine_findings(recorded: MachineClass, here: MachineClass) -> Iterator[Finding]:
    """What differs between the run's machine and this one, as torch sees them."""
    for name, then, now in recorded.differences(here):
        yield _class(name, then, now)


def difference_finding(parted: Difference) -> Finding:
    """Where two runs part."""
    tensor = f", first in {parted.tensor}" if parted.tensor else ""
    seen = (
        "" if parted.last_equal_checksum is None else f"; weights were last equal at step {parted.last_equal_checksum}"
    )
    return Finding(
        code="FTC530",
        subject=f"step {parted.step}: {parted.component}{tensor}",
        expected=_both_ways(parted.expected),
        found=_both_ways(parted.found),
        hint=f"{_CAUSES[parted.component]}{seen}",
    )


_CAUSES = {
    "batch": "the input rows or tokens differ: check the order of the data, the token stream and the collation",
    "learning rate": "another schedule",
    "random state": "other random numbers: dropout, or a new source of randomness",
    "loss": "the same rows gave another loss: the weights before the step differ, or the forward pass does",
    "gradient norm": "the loss is equal but its gradient isn't: the backward pass computes something else",
    "weights": (
        "all losses up to here are equal but the weights aren't: the update differs, or weights that no "
        "loss depends on yet"
    ),
    "optimizer state": "the weights are equal but the optimizer state isn't",
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
    places = f"start at 0{f', {there}' if there else ''}" + (f" or {checkpoints[-1]}" if checkpoints else "")
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


def row_findings(file: str, then: Sequence[Document], now: Sequence[Document]) -> Iterator[Finding]:
    """The first line of a run's file that comes out otherwise when the whole run is done again; none where all do.

    Args:
        file: Its name.
        then: Its lines.
        now: The lines of the run that was done again.
    """
    hint = "the steps of training are equal up to there"
    if len(then) != len(now):
        yield Finding(code="FTC530", subject=f"{file}: lines", expected=str(len(then)), found=str(len(now)), hint=hint)
        return
    for number, (old, new) in enumerate(zip(then, now, strict=True), 1):
        for path, expected, found in changed_leaves(old.to_json(), new.to_json())[0]:
            subject = f"{file}, line {number}: {path}"
            yield Finding(code="FTC530", subject=subject, expected=str(expected), found=str(found), hint=hint)
            return


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
            "not_checked": tuple(_not_checked(static, replay, level)),
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
    seen = SEEN_BY[level] if replay is not None else ()
    yield from (words for words in static.not_checked if words not in seen)
    if replay is not None:
        if replay.first_step > 0:
            yield f"steps 1 to {replay.first_step}"
        if replay.reached_step < static.num_steps:
            yield f"steps {replay.reached_step + 1} to {static.num_steps}"
        if level == "replay":
            yield "validation, choice of the checkpoint, export and evaluation"


def _class(subject: str, expected: str, found: str) -> Finding:
    return Finding(code="FTC531", subject=subject, expected=expected, found=found, hint=_FORCE)


_QUANTILES = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's quantile for 95 of 100 cases on both sides, by degrees of freedom."""


def reseeded(plan: Plan, number: int) -> Plan:
    """The plan with other seeds, from the number of the repetition and the plan's own, and no look at the base."""
    seeds = plan.settings.seeds
    changed = {
        name: int.from_bytes(hashlib.sha256(f"{number}:{name}:{value}".encode()).digest()[:4])
        for name, value in seeds.model_dump().items()
    }
    settings = plan.settings.model_copy(update={"seeds": seeds.model_copy(update=changed)})
    steps = [one for one in plan.steps if not isinstance(one, ProveStep)]
    kept = [one for one in steps if not (isinstance(one, EvaluateStep) and one.subject != "tuned")]
    return plan.model_copy(update={"settings": settings, "steps": tuple(kept)}).sealed()


def prediction(values: Sequence[float], *, resolution: float) -> Interval:
    """Where one more value would lie in 95 of 100 cases.

    Args:
        values: Three to ten values of the same kind.
        resolution: What values can't tell apart, such as one test row of all; the interval reaches that far at least.
    """
    middle, count = statistics.fmean(values), len(values)
    reach = _QUANTILES[count - 1] * statistics.stdev(values) * math.sqrt(1 + 1 / count)
    reach = max(reach, resolution, 1e-9 * abs(middle))
    return Interval(low=middle - reach, high=middle + reach)


def judged_by_seeds(
    static: AuditReport, recorded: Evaluation | None, repetitions: Sequence[Repetition], findings: Sequence[Finding]
) -> AuditReport:
    """The report on a run that was repeated with other seeds.

    Args:
        static: What the static level found.
        recorded: The run's own measurement; None where it measured nothing.
        repetitions: What came out.
        findings: What kept a repetition from coming to its end, if something did.
    """
    others = [*static.findings, *findings]
    if recorded is not None and repetitions and not findings:
        others += _outside(recorded, repetitions)
    codes = {CODES[one.code].exit_code for one in others}
    if ExitCode.INTEGRITY in codes:
        verdict, code = "TAMPERED", ExitCode.INTEGRITY
    elif ExitCode.NOT_REPRODUCED in codes:
        verdict, code = "NOT_REPRODUCED", ExitCode.NOT_REPRODUCED
    elif others or recorded is None or not repetitions:
        verdict, code = "INCONCLUSIVE", ExitCode.INCONCLUSIVE
    else:
        verdict, code = "REPRODUCED_STATISTICAL", ExitCode.FINE
    known = [words for words in static.not_checked if words != WEIGHTS]
    changes = {
        "level": "full",
        "verdict": verdict,
        "exit_code": code,
        "findings": tuple(others),
        "repetitions": tuple(repetitions),
        "not_checked": (*known, "whether the same bits come out again"),
    }
    return static.model_copy(update=changes)


def _outside(recorded: Evaluation, repetitions: Sequence[Repetition]) -> Iterator[Finding]:
    for name, value in recorded.tuned.metrics.items():
        values = [one.metrics[name] for one in repetitions if name in one.metrics]
        if len(values) < len(repetitions):
            continue
        metric = metric_named(name)
        of_loss = metric is not None and metric.of_loss
        within = prediction(values, resolution=0.0 if of_loss else 1 / max(1, recorded.tuned.rows))
        if not within.low <= value <= within.high:
            wanted = f"{within.low:.6g} to {within.high:.6g}, from {len(values)} runs with other seeds"
            hint = (
                "the recorded value is outside the range that this job gives here; compare both step logs with "
                "--level replay"
            )
            yield Finding(code="FTC530", subject=f"{name} of tuned", expected=f"{value:.6g}", found=wanted, hint=hint)
