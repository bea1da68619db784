"""A project's policy: read as strictly as recipes, and held against a plan before anything is written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.safe_files import read_named
from ftc.spec.base import Money
from ftc.spec.companions import COMPANIONS
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity, diagnostic
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.policy import OLD_RULES, POLICY_FILE, Policy, PolicyResult, Rule, Rules
from ftc.spec.language.forms import ReadForm, read_form
from ftc.spec.language.source import LARGEST_FILE

__all__ = ["ReadPolicy", "judged", "prices_of", "read_policy"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_EXAMPLE = "licenses: {allow: [mit]}"
_MAPPING = f"write a mapping, such as `{_EXAMPLE}`"
_WORDS = {"model_type": _MAPPING, "model_attributes_type": _MAPPING, "too_short": "name at least one"}
"""Help by pydantic's name of the mistake, where its own words are those of Python."""
_Check = Callable[[Any, Plan], tuple[bool, str]]
"""Whether a plan keeps a rule, and what it has, in words."""
_LEVELS = ("off", "auto", "best_effort", "bitwise")


ReadPolicy = ReadForm[Policy]
"""A policy with the places of its rules."""


def read_policy(root: Path) -> ReadPolicy | None:
    """The policy of a project, or None where it has none.

    Raises:
        Refusal: The file is no policy (FTC430, or a code of the text).
        OSError: The file can't be read.
    """
    file = root / POLICY_FILE
    if not os.path.lexists(file):  # what is there and can't be read stops the plan: a policy never ends in silence
        # a file that would be taken for the policy and is none
        other = Path(POLICY_FILE).with_suffix(".yml").name
        if os.path.lexists(root / other):
            summary = f"`{other}` is not the policy's file name"
            raise Refusal([diagnostic("FTC430", summary, help=f"rename it to `{POLICY_FILE}`")])
        return None
    begins = "`ftc_policy: 1` and `rules:`"
    data = read_named(file, POLICY_FILE, LARGEST_FILE)
    return read_form(data, POLICY_FILE, Policy, "FTC430", called="policy", begins=begins, helps=_WORDS)


def prices_of(root: Path) -> Mapping[str, Money]:
    """What an hour of a device costs by the project's policy, by the device's name.

    Raises:
        Refusal: The policy can't be read (FTC430, or a code of the text).
        OSError: The file can't be read.
    """
    read = read_policy(root)
    return {one.device: one.per_hour for one in read.value.prices} if read else {}


def judged(
    read: ReadPolicy, plan: Plan, waivers: Mapping[str, str], evaluators: frozenset[str] = frozenset()
) -> tuple[tuple[PolicyResult, ...], tuple[Diagnostic, ...]]:
    """What a plan says to each rule, and the findings that follow.

    Args:
        read: The policy.
        plan: The plan.
        waivers: Reasons by the name of the soft rule that they pass over.
        evaluators: Runs that were evaluated on the plan's test rows, by their ids.

    Raises:
        Refusal: A waiver names no broken soft rule (FTC434).
    """
    results = tuple(_results(read.value.rules, plan, waivers, evaluators))
    waivable = {one.rule for one in results if one.level == "soft" and not one.passed}
    if unknown := [name for name in waivers if name not in waivable]:
        known = ", ".join(sorted(waivable)) or "none is"
        help = f"soft rules that this plan violates: {known}"
        raise Refusal([diagnostic("FTC434", f"no soft rule `{name}` is violated", help=help) for name in unknown])
    return results, (*_renamed(read), *(_finding(one, read) for one in results if not one.passed))


def _renamed(read: ReadPolicy) -> Iterator[Diagnostic]:
    for old, new in OLD_RULES.items():
        if read.source.node(f"rules.{old}") is not None:
            span, help = read.source.key_span(("rules", old)), f"write `{new}` in `{POLICY_FILE}`"
            yield diagnostic("FTC106", f"policy rule `{old}` is now called `{new}`", span, help=help)


def _finding(result: PolicyResult, read: ReadPolicy) -> Diagnostic:
    old = next((old for old, new in OLD_RULES.items() if new == result.rule), result.rule)
    name = result.rule if read.source.node(f"rules.{result.rule}") is not None else old
    span = read.source.key_span(("rules", name))
    summary = f"policy rule `{result.rule}` is violated: {result.found}"
    if result.waived is not None:
        return diagnostic("FTC433", summary, span, notes=f"waived: {result.waived}", severity=Severity.WARNING)
    match result.level:
        case "hard":
            return diagnostic(
                "FTC431", summary, span, help=("Change the recipe, or ask the policy's owner to change the rule.")
            )
        case "soft":
            help = f"Change the recipe, or give a reason: `--waive {result.rule}=REASON`."
            return diagnostic("FTC432", summary, span, help=help)
        case "advisory":
            return diagnostic("FTC433", summary, span, help="no action is required; the rule is advisory")


def _results(
    rules: Rules, plan: Plan, waivers: Mapping[str, str], evaluators: frozenset[str]
) -> Iterator[PolicyResult]:
    checks: Mapping[str, _Check] = {
        **_CHECKS,
        "max_test_evaluations": partial(_test_evaluations, evaluators=evaluators),
    }
    for name in Rules.model_fields:
        rule = getattr(rules, name)
        if isinstance(rule, Rule):
            passed, found = checks[name](rule, plan)
            waived = waivers.get(name) if rule.level == "soft" and not passed else None
            yield PolicyResult(rule=name, level=rule.level, passed=passed, found=found, waived=waived)


def _licenses(rule: Any, plan: Plan) -> tuple[bool, str]:
    licenses: dict[str, str | None] = {"base model": plan.lock.model.license}
    licenses |= {
        card.title: card.license(plan.settings)
        for card in COMPANIONS
        if card.shapes_weights and card.pinned(plan.settings)
    }
    allowed = {one.lower() for one in rule.allow}
    broken = {whose: license for whose, license in licenses.items() if (license or "").lower() not in allowed}
    told = [f"the {whose}'s license is {license or 'not stated'}" for whose, license in (broken or licenses).items()]
    return not broken, ", ".join(told)


def _pinned(_rule: Any, plan: Plan) -> tuple[bool, str]:
    asked = {"model": plan.recipe.model.revision} if plan.lock.model.commit else {}
    sources = plan.lock.data.sources.items()
    asked |= {use: source.asked.get("revision") for use, source in sources if source.commit}
    for card in COMPANIONS:
        named, pinned = card.asked(plan.recipe), card.pinned(plan.settings)
        if named and pinned and pinned.commit:
            asked[card.section] = named.revision
    loose = [name for name, revision in asked.items() if not _COMMIT.fullmatch(str(revision))]
    return (
        not loose,
        f"{' and '.join(loose)} on the hub is not pinned to a full commit" if loose else "all revisions are commits",
    )


def _memory(rule: Any, plan: Plan) -> tuple[bool, str]:
    return plan.memory.peak_bytes <= rule.at_most, f"the plan needs {plan.memory.peak_bytes / 2**30:.2f} GiB"


def _time(rule: Any, plan: Plan) -> tuple[bool, str]:
    if plan.time is None:
        return False, "the time is not estimated"
    return plan.time.high_seconds <= rule.at_most, f"the plan takes up to {plan.time.high_seconds:.0f} s"


def _cost(rule: Any, plan: Plan) -> tuple[bool, str]:
    cost = plan.time.cost_high if plan.time else None
    if cost is None or cost.currency != rule.at_most.currency:
        return False, f"the cost in {rule.at_most.currency} is not estimated"
    return cost.amount <= rule.at_most.amount, f"the plan costs up to {cost.amount:.2f} {cost.currency}"


def _gates(rule: Any, plan: Plan) -> tuple[bool, str]:
    lacking = [name for name in rule.require if name not in plan.settings.eval.gates]
    return not lacking, f"no gate for {', '.join(lacking)}" if lacking else "every required gate is set"


def _leakage(_rule: Any, plan: Plan) -> tuple[bool, str]:
    shared = plan.quality.rows_by_kind.get("overlap", 0)
    if shared:
        return False, f"{shared} evaluated rows are also training rows"
    if plan.quality.trained_on:
        return False, f"{plan.quality.trained_on} test rows have the tokens of training rows"
    if unsearched := plan.quality.unsearched_leakage():
        return False, f"not everything was searched; {unsearched}"
    return True, "no evaluated row is a training row"


def _determinism(rule: Any, plan: Plan) -> tuple[bool, str]:
    asked = plan.settings.train.determinism.asked
    return _LEVELS.index(asked) >= _LEVELS.index(rule.at_least), f"`train.determinism` is {asked}"


def _test_evaluations(rule: Any, plan: Plan, evaluators: frozenset[str]) -> tuple[bool, str]:
    """Runs that looked, with this one, in so far as it will."""
    if "test" not in plan.data:
        return True, "there are no test rows"
    count = len(evaluators | {plan.run_id})
    return count <= rule.at_most, f"with this plan, {count} runs evaluate on the same test rows"


_CHECKS: dict[str, _Check] = {
    "licenses": _licenses,
    "pinned_revisions": _pinned,
    "memory": _memory,
    "time": _time,
    "cost": _cost,
    "gates": _gates,
    "leakage": _leakage,
    "determinism": _determinism,
}
