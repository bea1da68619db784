"""Whether a saved plan still describes what is here: each difference named, with both values."""

from __future__ import annotations

from ftc.compiler.lock.lockfile import differences, lock_changes
from ftc.spec.documents.plan import Plan

__all__ = ["stale_reasons"]

_TRAIN_LINES = ("train.asked.", "train.settings.")


def stale_reasons(saved: Plan, now: Plan) -> tuple[str, ...]:
    """What moved under a saved plan, in words; empty when it can be applied."""
    facts = (
        ("name", saved.name, now.name),
        ("ftc", saved.ftc_version, now.ftc_version),
        ("device", saved.device.label, now.device.label),
        ("platform", saved.platform, now.platform),
    )
    reasons = [f"{name}: {before} → {after}" for name, before, after in facts if before != after]
    old, new = saved.settings.to_json(), now.settings.to_json()
    settings = [line for section in old for line in differences(section, old[section], new[section])]
    locked = lock_changes(saved.lock, now.lock)
    if settings:  # the lock's own lines about training would say the same in other words
        locked = tuple(line for line in locked if not line.startswith(_TRAIN_LINES))
    found = (*reasons, *settings, *locked, *differences("policy", _verdicts(saved), _verdicts(now)))
    return found if found or saved.job_sha256() == now.job_sha256() else ("the plan's steps differ",)


def _verdicts(plan: Plan) -> dict[str, str]:
    """What a plan says to each rule, without figures, which may move between two plans of one job."""
    return {one.rule: f"{one.level}, {'kept' if one.passed else one.waived or 'broken'}" for one in plan.policy}
