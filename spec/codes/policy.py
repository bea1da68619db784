"""Codes 43x, a project's policy."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC430",
        title="policy can't be read",
        cause="`ftc.policy.yaml` is read as strictly as a recipe: a rule that is misspelled would bind nobody.",
        wrong="rules: {licenses: {allow: [mit]}}",
        right="rules: {licenses: {allow: [mit]}}",
    ),
    Code(
        id="FTC431",
        title="hard rule of the policy is broken",
        cause="The project's policy has a rule that no plan may break. Nothing was written.",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC432",
        title="soft rule of the policy is broken",
        cause="The project's policy has a rule that is passed over only with a reason, which the plan keeps and a "
        "review reads.",
        exit_code=ExitCode.OVER_BUDGET,
    ),
    Code(
        id="FTC433",
        title="rule of the policy is not kept",
        cause="The rule advises and stops nothing, or it was passed over with a reason.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC434",
        title="nothing to pass over",
        cause="`--waive RULE=REASON` passes over a soft rule that the plan breaks, and needs a reason. A waiver that "
        "does nothing would hide the next breach.",
        exit_code=ExitCode.USAGE,
    ),
)
