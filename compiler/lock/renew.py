"""The lock brought up to date: what it pins stays pinned unless it is named, and what no longer holds is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ftc.compiler.lock.lockfile import lock_changes, lock_path, read_lock, unpinned_code
from ftc.compiler.pipeline import Locked, lock_recipe
from ftc.compiler.rules.check import Checked
from ftc.spec import canonical
from ftc.spec.companions import COMPANIONS, value_at
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.lockfile import Lock, PlatformLock, sealed
from ftc.spec.storage.reading import parse_json

__all__ = ["EVERYTHING", "Relocked", "migrated", "relock"]

EVERYTHING = ("*",)
"""For `upgrade`: every ref of a hub, and every address, is looked up again."""


_FORMAT_1 = ("model", "text", "data", "train", "platforms")
"""Sections of the format before this one."""


@dataclass(frozen=True, slots=True)
class Relocked:
    """What became of a lock.

    Attributes:
        file: Where it belongs.
        old: The lock on disk, or None.
        lock: What it should say.
        was_older: Whether the lock on disk has the format before this one.
        changes: What it says otherwise, a line each.
        stale: Those that make the lock on disk wrong; a platform that it doesn't name yet doesn't.
        not_checked: What could not be compared here, each with the reason.
        diagnostics: Warnings about the recipe and its data.
    """

    file: Path
    old: Lock | None
    lock: Lock
    was_older: bool
    changes: tuple[str, ...]
    stale: tuple[str, ...]
    not_checked: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


def relock(
    checked: Checked, path: Path, *, upgrade: Sequence[str] = (), migrate: bool = False, offline: bool = False
) -> Relocked:
    """Resolves a checked recipe and compares the outcome with its lock. Writes nothing.

    Args:
        checked: The recipe.
        path: Where it lies.
        upgrade: What may move although the lock pins it: `model`, `classifier`, `teacher`, `reward_model`,
            `eval_reward_model`, `rows`, `validation` or `test` for a ref of the hub or an address, or the run that a
            model is, or a package; all else stays. `EVERYTHING` names all of these but packages.
        migrate: Read a lock of the format before this one.
        offline: Use only what is on this machine.

    Raises:
        Refusal: The recipe or its lock can't be used, or `upgrade` names nothing (FTC505).
    """
    if checked.recipe is None:
        raise Refusal(checked.diagnostics)
    file = lock_path(path)
    old, was_older = _read_old(file, migrate)
    pins = _without_pins(old, upgrade) if old else None
    made = lock_recipe(checked, path, pins, offline=offline)
    settings = made.lock.train.settings
    refs = ("model", *(card.role for card in COMPANIONS if value_at(settings, card.pins)))
    refs = (*refs, *made.lock.data.sources)
    known = (*refs, *made.environment.packages)
    unknown = [name for name in upgrade if name not in known and (name,) != EVERYTHING]
    if unknown:
        raise Refusal(
            [
                diagnostic(
                    "FTC505",
                    f"the lock has no entry `{name}`",
                    help=f"{', '.join(refs)}, or an installed package",
                )
                for name in unknown
            ]
        )
    lock, not_checked = _with_packages(made, old, upgrade)
    changes = lock_changes(old, lock) if old else ()
    if old is not None and not changes and not was_older:
        # the old lock with what only the new one has: nothing moves that means the same
        lacking = unpinned_code(old, lock)
        lock = old if old.platforms.keys() >= lock.platforms.keys() and not lacking else lock
        if lacking:
            not_checked = (*not_checked, lacking)
    stale: tuple[str, ...] = ()
    if old is not None:
        known_here = {tag: facts for tag, facts in lock.platforms.items() if tag in old.platforms}
        stale = lock_changes(old, lock.model_copy(update={"platforms": known_here}))
    return Relocked(file, old, lock, was_older, changes, stale, not_checked, made.diagnostics)


def _read_old(file: Path, migrate: bool) -> tuple[Lock | None, bool]:
    """The lock on disk, and whether it has the format before this one."""
    try:
        return read_lock(file), False
    except Refusal as refusal:
        if not migrate or any(found.code != "FTC504" for found in refusal.diagnostics):
            raise
        return migrated(file.read_bytes(), file.name), True


def _without_pins(lock: Lock, upgrade: Sequence[str]) -> Lock:
    """The lock without the commits, and the digests of what lies at addresses, that may move."""
    everything = tuple(upgrade) == EVERYTHING
    model = lock.model
    if everything or "model" in upgrade:  # the commit of a model on the hub, and the run that a name stood for
        others = {key: value for key, value in model.settings.items() if key != "parent"}
        model = model.model_copy(update={"commit": None, "settings": others})
    sources = {
        use: source.model_copy(update={"commit": None}) if everything or use in upgrade else source
        for use, source in lock.data.sources.items()
        if not (source.is_at_address and (everything or use in upgrade))  # its digest is what pins it
    }
    data = lock.data.model_copy(update={"sources": sources})
    settings = lock.train.settings
    for card in COMPANIONS:
        if everything or card.role in upgrade:
            settings = _without(settings, card.pins.split("."))
    train = lock.train.model_copy(update={"settings": settings})
    return lock.model_copy(update={"model": model, "data": data, "train": train})


def _without(values: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The values without what stands at a path."""
    first, *others = path
    inner = values.get(first)
    return {**values, first: _without(inner, others) if others and isinstance(inner, Mapping) else None}


def _with_packages(made: Locked, old: Lock | None, upgrade: Sequence[str]) -> tuple[Lock, tuple[str, ...]]:
    """The lock with the packages that it should name, and what about them can't be told here.

    A machine that can't train has fewer packages and says nothing of those that training needs.
    """
    here = made.environment
    locked = old.platforms.get(here.platform) if old else None
    if locked is None:
        return made.lock, ()
    named = [name for name in upgrade if name in here.packages]
    if named:
        packages = {**locked.packages, **{name: here.packages[name] for name in named}}
        return _with_platform(made.lock, locked.model_copy(update={"packages": dict(sorted(packages.items()))})), ()
    if here.missing and not locked.missing:
        some = f"{', '.join(here.missing[:3])}{' and others' if len(here.missing) > 3 else ''}"
        why = f"the packages of {here.platform}: {some} {'is' if len(here.missing) == 1 else 'are'} not installed here"
        return _with_platform(made.lock, locked), (why,)
    return made.lock, ()


def _with_platform(lock: Lock, platform: PlatformLock) -> Lock:
    return sealed(lock.model_copy(update={"platforms": {**lock.platforms, platform.platform: platform}}))


def migrated(data: bytes, name: str) -> Lock:
    """A lock of format 1 in this release's form: it keeps what was asked and pinned, the rest is to be resolved.

    Raises:
        Refusal: It is no such lock (FTC501), or a section does not match its seal (FTC502).
    """
    try:
        old: dict[str, Any] = parse_json(data)
        seals = old["seals"]
        broken = [part for part in _FORMAT_1 if canonical.digest(old[part]) != seals[part]]
        lock = None
        if not broken:
            text = {key: value for key, value in old["text"].items() if key not in ("max_length", "labels")}
            plain = {name: old[name] for name in ("model", "data", "train", "platforms")} | {"text": text}
            lock = sealed(Lock.model_validate_json(json.dumps(plain)))
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as problem:
        summary, note = f"`{name}` is not a lock of format 1", str(problem).partition("\n")[0]
        found = diagnostic("FTC501", summary, help="restore it from git", notes=note)
        raise Refusal([found]) from None
    if lock is None:
        summary = f"section `{broken[0]}` of `{name}` does not match its checksum"
        raise Refusal([diagnostic("FTC502", summary, help="restore the file from git")])
    return lock
