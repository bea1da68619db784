"""The lock as functions: brought up to date, checked, upgraded, migrated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic

if TYPE_CHECKING:
    from ftc.compiler.lock.renew import Relocked
    from ftc.compiler.pipeline import Compiled
    from ftc.spec.documents.difference import Drift

__all__ = ["drift", "lock", "refuse_stale", "settle_lock"]

_MOST_LINES = 12


def lock(
    recipe: Path | str,
    *,
    check: bool = False,
    upgrade: bool | Sequence[str] = (),
    migrate: bool = False,
    offline: bool = False,
) -> Relocked:
    """Brings a recipe's lock up to date, whether or not its job fits this machine.

    Args:
        recipe: The recipe file.
        check: Write nothing, and refuse a lock that is stale.
        upgrade: True looks up every ref of a hub anew. Names let only these move: `model`, `rows`, `validation` or
            `test` for a ref of the hub, or an installed package.
        migrate: Bring a lock of the format before this one up to it; what it pins stays.
        offline: Use only what is on this machine.

    Raises:
        Refusal: The recipe or the lock can't be used, or it is stale and `check` is asked for (FTC503).
        OSError: A file can't be read or written.
    """
    from ftc.compiler.lock.renew import EVERYTHING, relock
    from ftc.compiler.rules.check import check_recipe
    from ftc.spec.storage.atomic_write import write_text

    path = Path(recipe)
    checked = check_recipe(path.read_bytes(), path.name, path=path)
    names = EVERYTHING if upgrade is True else tuple(upgrade or ())
    try:
        found = relock(checked, path, upgrade=names, migrate=migrate, offline=offline)
    except Refusal as refusal:
        refusal.sources = {**checked.sources, **refusal.sources}
        raise
    if check:
        if found.old is None or found.stale:
            refuse_stale(found.file.name, found.stale if found.old else None, mend=f"ftc lock {path}")
    elif found.old != found.lock or found.was_older:
        write_text(found.file, found.lock.to_text())
    return found


def drift(recipe: Path | str, *, offline: bool = False) -> Drift:
    """What moved under a recipe's lock: files, rows and packages here, branches and tags upstream. Changes nothing.

    Raises:
        Refusal: The recipe or its lock can't be used, or there is no lock (FTC503).
    """
    from ftc.compiler.lock.renew import EVERYTHING, relock
    from ftc.compiler.rules.check import check_recipe
    from ftc.spec.documents.difference import Drift

    path = Path(recipe)
    checked = check_recipe(path.read_bytes(), path.name, path=path)
    found = relock(checked, path, offline=offline)
    if found.old is None:
        refuse_stale(found.file.name, None, mend=f"ftc lock {path}")
    missed = list(found.not_checked)
    upstream: tuple[str, ...] = ()
    is_pinned = found.lock.model.commit or any(one.commit for one in found.lock.data.sources.values())
    if is_pinned and offline:
        missed.append("what the hub has by now: `--offline`")
    elif is_pinned:
        moved = relock(checked, path, upgrade=EVERYTHING).stale
        upstream = tuple(line for line in moved if line not in found.stale)
    return Drift(lock=found.file.name, here=found.stale, upstream=upstream, not_checked=tuple(missed))


def settle_lock(compiled: Compiled, *, locked: bool, writes: bool) -> str:
    """Brings the lock beside a compiled recipe up to date, and tells how it was found.

    Args:
        compiled: The compiled recipe.
        locked: Refuse a lock that would change.
        writes: Whether to write it.

    Raises:
        Refusal: FTC503.
    """
    from ftc.spec.storage.atomic_write import write_text

    state = "new" if compiled.old_lock is None else "changed" if compiled.lock_changes else "up to date"
    if locked and state != "up to date":
        refuse_stale(compiled.lock_file.name, compiled.lock_changes if compiled.old_lock else None, mend="ftc plan")
    if state != "up to date" and writes:
        write_text(compiled.lock_file, compiled.plan.lock.to_text())
    return state


def refuse_stale(name: str, changes: Sequence[str] | None, *, mend: str) -> None:
    """Refuses a lock that is stale, or absent where `changes` is None.

    Raises:
        Refusal: FTC503.
    """
    if changes is None:
        raise Refusal([diagnostic("FTC503", f"there is no lock `{name}`", help=f"run `{mend}`")])
    notes = [*changes[:_MOST_LINES]]
    if len(changes) > _MOST_LINES:
        notes.append(f"and {len(changes) - _MOST_LINES} more")
    raise Refusal([diagnostic("FTC503", f"`{name}` is stale", help=f"run `{mend}`", notes=notes)])
