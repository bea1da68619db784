"""Two things, compared at the deepest level that both have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ftc.compiler.diff.effects import effect_in_recipe, effect_of_setting
from ftc.compiler.diff.locks import asked_changes, asked_of, lock_differences
from ftc.compiler.diff.rows import rows_lookup
from ftc.compiler.diff.sides import Thing
from ftc.compiler.diff.values import changed_leaves, leaves
from ftc.spec.base import Effect
from ftc.spec.documents.difference import Action, Change, Difference, Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.sections.recipe import Recipe

__all__ = ["compare"]

_ORDER: tuple[Action, ...] = ("retrain", "evaluate", "resume", "nothing")


def compare(old: Thing, new: Thing, cache: Path) -> Difference:
    """What differs, why it matters, and what would have to be done to have the new result.

    Args:
        old: What there is.
        new: What is wanted.
        cache: ftc's cache, which may know the rows of either.
    """
    missed: list[str] = []
    if old.plan and new.plan:
        level, (changes, equal) = "plan", _plans(old, new, cache, missed)
    elif old.lock and new.lock:
        level, (changes, equal) = "lock", lock_differences(old.lock, new.lock, rows_lookup(new, cache, missed))
    elif old.recipe and new.recipe:
        level, (changes, equal) = "recipe", _recipes(old.recipe, new.recipe)
    else:
        level, (changes, equal) = "asked", asked_changes(_asked(old), _asked(new))
    if level in ("recipe", "asked"):
        missed.append("files, rows and packages: a recipe names them and doesn't say what is in them")
    # what brings the old result to the new one: the heaviest action of any change; a run that was left goes on
    asked: list[Action] = [change.action for change in changes]
    heaviest: Action = min([*asked, _ORDER[-1]], key=_ORDER.index)
    unfinished = old.record is not None and old.record.status not in ("finished", "gate_failed")
    same_job = old.plan is not None and new.plan is not None and old.plan.job_sha256() == new.plan.job_sha256()
    return Difference(
        old=old.side,
        new=new.side,
        level=level,  # type: ignore[arg-type]
        changes=tuple(sorted(changes, key=_weight)),
        unchanged=equal,
        outcomes=_outcomes(old, new),
        action="resume" if heaviest == "nothing" and unfinished and same_job else heaviest,
        not_checked=tuple(missed),
    )


def _weight(change: Change) -> tuple[int, str]:
    return _ORDER.index(change.action), change.path


def _recipes(old: Recipe, new: Recipe) -> tuple[list[Change], int]:
    before, after = old.to_json(), new.to_json()
    changed, equal = changed_leaves(before, after)
    said = {path for recipe in (old, new) for path, _ in leaves(recipe.said())}
    other_kinds = {path.removesuffix("kind") for path, _, _ in changed if path.endswith(".kind")}
    return [
        Change(path=path, old=was, new=now, reason="asked", effect=effect_in_recipe(path, after))
        for path, was, now in changed
        if path in said or not path.startswith(tuple(other_kinds))  # of another kind, defaults are no news
    ], equal


def _asked(thing: Thing) -> dict[str, Any]:
    if thing.lock is not None:
        return asked_of(thing.lock)
    assert thing.recipe is not None
    said = thing.recipe.said()
    return {name: said.get(name, {}) for name in ("model", "task", "data", "strategy", "train", "eval")} | {
        "model": {key: value for key, value in said["model"].items() if key in ("base", "revision")}
    }


def _plans(old: Thing, new: Thing, cache: Path, missed: list[str]) -> tuple[list[Change], int]:
    first, second = old.plan, new.plan
    assert first is not None
    assert second is not None
    locked, equal = lock_differences(first.lock, second.lock, rows_lookup(new, cache, missed))
    changed, more = changed_leaves(first.settings.to_json(), second.settings.to_json())
    changes = [change for change in locked if change.reason != "setting"]
    changes += [
        Change(
            path=path,
            old=was,
            new=now,
            reason="device" if path.startswith("device.") else "setting",
            effect=effect_of_setting(path),
        )
        for path, was, now in changed
        if path not in ("model.base", "model.commit")  # the lock tells of them
    ]
    changes += list(_facts(first, second))
    return changes, equal + more


def _facts(old: Plan, new: Plan) -> Iterable[Change]:
    """What a plan says beside its settings and its lock."""
    if old.ftc_version != new.ftc_version:
        yield Change(path="ftc", old=old.ftc_version, new=new.ftc_version, reason="ftc", effect=Effect.NUMERICS)
    pairs = (
        ("name", old.name, new.name),
        ("estimate.memory_bytes", old.memory.peak_bytes, new.memory.peak_bytes),
        ("estimate.disk_bytes", old.disk_bytes, new.disk_bytes),
        ("estimate.high_seconds", _seconds(old), _seconds(new)),
    )
    for path, was, now in pairs:
        if was != now:
            effect = Effect.COSMETIC if path == "name" else Effect.RESOURCE
            yield Change(path=path, old=was, new=now, reason="estimate" if "." in path else "asked", effect=effect)


def _seconds(plan: Plan) -> str | None:
    return None if plan.time is None else f"{plan.time.high_seconds:.0f}"


def _outcomes(old: Thing, new: Thing) -> tuple[Outcome, ...]:
    first = old.evaluation.tuned.metrics if old.evaluation else {}
    second = new.evaluation.tuned.metrics if new.evaluation else {}
    if not (old.record and new.record):
        return ()
    return tuple(
        Outcome(metric=name, old=first.get(name), new=second.get(name)) for name in dict.fromkeys([*first, *second])
    )
