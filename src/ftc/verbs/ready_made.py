"""A plan with a result that is there already in the place of training: combined adapters, or what a service trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftc.spec.documents.lineage import Combined, Fetched
    from ftc.spec.documents.lockfile import Lock
    from ftc.spec.documents.plan import CombineStep, FetchStep, Plan
    from ftc.spec.documents.settings import Settings
    from ftc.spec.strategies.card import StrategySettings

__all__ = ["ready_made_plan"]


def ready_made_plan(
    plan: Plan,
    result: Combined | Fetched,
    step: CombineStep | FetchStep,
    reason: str,
    *,
    strategy: StrategySettings | None = None,
    **changes: Any,
) -> Plan:
    """A plan of the same rows, base and evaluation that takes a result instead of training.

    Args:
        plan: Whose rows, base and evaluation.
        result: What is taken, for the settings.
        step: What is done in the place of proof, training and export.
        reason: Where the result is from, in words.
        strategy: Of the adapter as it is; None for the plan's.
        changes: Further fields of the plan.
    """
    from ftc.spec.documents.plan import Check, EvaluateStep, Origin, VerifyStep

    key = "combined" if step.kind == "combine" else "fetched"
    settings = _settings(plan, key, result, strategy or plan.settings.strategy)
    verify, *evaluate = [one for one in plan.steps if isinstance(one, VerifyStep | EvaluateStep)]
    same = {
        "settings": settings,
        "lock": _lock(plan.lock, settings, key),
        "origins": {**plan.origins, f"model.{key}": Origin(kind="derived", reason=reason)},
        "steps": (verify, step, *evaluate),
        "checks": (*plan.checks, Check(name=key, code=None, result=reason)),
        "time": None,
        "work": None,
        "state": None,
    }
    return plan.model_copy(update={**same, **changes}).sealed()


def _settings(plan: Plan, key: str, result: Combined | Fetched, strategy: StrategySettings) -> Settings:
    """The settings with the result, and no step of training."""
    settings = plan.settings
    proof = settings.train.determinism.model_copy(update={"proof_steps": 0})
    changes = {
        "strategy": strategy,
        "train": settings.train.model_copy(update={"num_steps": 0, "determinism": proof}),
        "model": settings.model.model_copy(update={"parent": None, key: result}),
    }
    return settings.model_copy(update=changes)


def _lock(lock: Lock, settings: Settings, key: str) -> Lock:
    """The lock with what the settings have become."""
    from ftc.spec.documents.lockfile import sealed

    plain = settings.to_json()
    model = {name: value for name, value in lock.model.settings.items() if name != "parent"}
    model[key] = plain["model"][key]
    train = {**lock.train.settings, "strategy": plain["strategy"]}
    train["train"] = {**train["train"], "determinism": plain["train"]["determinism"]}
    parts = {
        "model": lock.model.model_copy(update={"settings": model}),
        "train": lock.train.model_copy(update={"settings": train}),
        "length": lock.length.model_copy(update={"steps": {**lock.length.steps, "num_steps": 0}}),
    }
    return sealed(lock.model_copy(update=parts))
