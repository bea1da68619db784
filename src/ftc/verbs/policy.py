"""A plan held against its project's policy, between compiling and everything that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic

if TYPE_CHECKING:
    from ftc.compiler.pipeline import Compiled
    from ftc.spec.documents.plan import Plan

__all__ = ["waivers_of", "with_policy"]


def with_policy(compiled: Compiled, root: Path, waivers: Mapping[str, str]) -> Compiled:
    """The compiled recipe with what its plan says to the rules of the project's policy.

    Args:
        compiled: The compiled recipe.
        root: The project's root, in which the policy lies.
        waivers: Reasons by the name of the soft rule that they pass over.

    Raises:
        Refusal: The policy can't be read (FTC430), a rule is broken (FTC431, FTC432), or a waiver passes over nothing
            (FTC434).
    """
    from ftc.compiler.policy import judged, read_policy
    from ftc.spec.documents.plan import Check
    from ftc.spec.documents.policy import POLICY_FILE

    read = read_policy(root)
    if read is None:
        if waivers:
            raise Refusal(
                diagnostic("FTC434", f"there is no policy with a rule `{name}` to waive", help="remove it")
                for name in waivers
            )
        return compiled
    results, found = judged(read, compiled.plan, waivers, _evaluators(compiled.plan, root))
    if any(one.is_error for one in found):
        refusal = Refusal(found)
        refusal.sources = {POLICY_FILE: read.lines}
        raise refusal
    kept = sum(one.passed for one in results)
    broken = [f"{one.rule} ({one.waived or one.level})" for one in results if not one.passed]
    words = f"{kept} of {len(results)} rules are met" + (f"; not {', '.join(broken)}" if broken else "")
    checks = (*compiled.plan.checks, Check(name="policy", code=None, result=words))
    plan = compiled.plan.model_copy(update={"policy": results, "checks": checks}).sealed()
    return replace(compiled, plan=plan, diagnostics=(*compiled.diagnostics, *found))


def _evaluators(plan: Plan, root: Path) -> frozenset[str]:
    """Runs of this project that used the plan's test rows; one done again counts once, and so do all people."""
    from ftc.spec.documents.ledger import evaluations_of, read_ledger

    test = plan.data.get("test")
    found = evaluations_of(read_ledger(root), test.stream_digest) if test else ()
    return frozenset(one.run_id.partition("-")[0] for one in found)


def waivers_of(texts: Sequence[str]) -> dict[str, str]:
    """Reasons by rule, out of texts such as `memory=the card is lent`.

    Raises:
        Refusal: One has no reason (FTC434).
    """
    pairs = [text.partition("=") for text in texts]
    if bare := [rule for rule, _, reason in pairs if not reason.strip()]:
        raise Refusal([diagnostic("FTC434", f"`{bare[0]}` has no reason", help="write `--waive RULE=REASON`")])
    return {rule: reason.strip() for rule, _, reason in pairs}
