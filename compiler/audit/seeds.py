"""Whether a recorded result lies where results of the same job lie: an audit for machines on which bits can't be equal.

The plan is carried out some times with other seeds. A metric of one more such run would lie, in 95 of 100 cases, within
Student's prediction interval around theirs; a recorded metric outside it is not explained by chance.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterator, Sequence

from ftc.spec.codes import CODES
from ftc.spec.documents.audit import AuditReport, Finding, Repetition
from ftc.spec.documents.plan import EvaluateStep, Plan, ProveStep
from ftc.spec.documents.record import Evaluation, Interval
from ftc.spec.exit_codes import ExitCode
from ftc.spec.metrics import metric_named

__all__ = ["judged_by_seeds", "prediction", "reseeded"]

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
    kept = [one for one in steps if not (isinstance(one, EvaluateStep) and one.subject == "base")]
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
    left = ("that the same bits come out again", "that times, memory and machine are recorded truthfully")
    changes = {
        "level": "full",
        "verdict": verdict,
        "exit_code": code,
        "findings": tuple(others),
        "repetitions": tuple(repetitions),
        "not_checked": (*static.not_checked[:-2], *left),
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
            hint = "the recorded value is not one that this job gives here; compare both ladders with --level replay"
            yield Finding(code="FTC530", subject=f"{name} of tuned", expected=f"{value:.6g}", found=wanted, hint=hint)
