"""Whether a saved plan still describes what is here: each difference named, with both values."""

from __future__ import annotations

from ftc.compiler.lock import lock_changes
from ftc.spec.plan import Plan

__all__ = ["stale_reasons"]


def stale_reasons(saved: Plan, now: Plan) -> tuple[str, ...]:
    """What moved under a saved plan, in words; empty when it can be applied."""
    if saved.job_sha256() == now.job_sha256():
        return ()
    reasons = list(lock_changes(saved.lock, now.lock))
    for name, before, after in (
        ("ftc", saved.ftc_version, now.ftc_version),
        ("device", saved.device.label, now.device.label),
        ("platform", saved.platform, now.platform),
    ):
        if before != after:
            reasons.append(f"{name}: {before} → {after}")
    old, new = saved.settings.to_json()["train"], now.settings.to_json()["train"]
    reasons += [f"train.{key}: {old[key]} → {new[key]}" for key in sorted(old) if old[key] != new[key]]
    return tuple(dict.fromkeys(reasons)) or ("the plan's steps are others",)
