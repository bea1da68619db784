"""Before a run: what the verbs hand back, the lock brought up to date and checked, and plans saved for later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.storage.reading import LARGEST_DOCUMENT, read_regular

if TYPE_CHECKING:
    from ftc.compiler.lock.renew import Relocked
    from ftc.compiler.pipeline import Compiled
    from ftc.compiler.recipes.layers import Override
    from ftc.spec.documents.difference import Drift
    from ftc.spec.documents.interruption import Standing
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.runs import Run
    from ftc.verbs.text import Sources

__all__ = [
    "Planned",
    "drift",
    "is_expected",
    "located_plan",
    "lock",
    "read_plan",
    "refuse_other",
    "refuse_stale",
    "save_plan",
    "settle_lock",
    "too_short",
    "unchanged",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """A compiled recipe.

    Attributes:
        plan: The plan.
        diagnostics: Warnings and notes.
        sources: Lines of the recipe and of what it is made of, for showing places.
        lock_file: The lock beside the recipe, up to date by now unless something was laid on top of the recipe.
        lock_state: `new`, `up to date` or `changed`, as it was found; `left alone` where `changed` by an override.
        lock_changes: What changed in it, a line each.
        run: The run of exactly this plan, if there is one.
        root: The project that the recipe belongs to.
        compiled: The plan with where its inputs lie on this machine.
        recipe_text: The recipe's file, as it was compiled.
        standing: How the run stands, where it is not over: the step from which `apply` continues.
    """

    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    sources: Sources
    lock_file: Path
    lock_state: str
    lock_changes: tuple[str, ...]
    run: Run | None
    root: Path
    compiled: Compiled
    recipe_text: bytes
    standing: Standing | None = None

    def _repr_html_(self) -> str:
        from ftc.views.run import plan_html

        return plan_html(self.plan, self.diagnostics)


def save_plan(planned: Planned, file: Path | str, *, force: bool = False) -> Planned:
    """Writes a plan for a later `apply`, with a mark of where the recipe's runs stand now.

    Args:
        planned: The plan.
        file: Where to; a name that is free, or a saved plan, which is replaced.
        force: Replace another file too.

    Returns:
        The plan as saved.

    Raises:
        Refusal: Something else is there (FTC651), or its folder isn't (FTC653).
        OSError: The file can't be written.
    """
    from ftc.spec.documents.ledger import state_mark
    from ftc.spec.storage.atomic_write import write_text
    from ftc.spec.storage.outputs import OutputKind, claim_output

    claim_output(Path(file), OutputKind.PLAN, force=force)
    state = state_mark(planned.root, planned.plan.name)
    saved = planned.plan.model_copy(update={"state": state}).sealed()
    write_text(Path(file), saved.to_text())
    return replace(planned, plan=saved)


def read_plan(file: Path | str, again: Callable[[Plan], Plan] | None = None) -> Plan:
    """Reads a saved plan.

    Args:
        file: The plan's file.
        again: Compiles the recipe of a plan that was edited, so that the edited fields can be named.

    Raises:
        Refusal: It is no plan (FTC510), or was edited (FTC511).
        OSError: The file can't be read.
    """
    from pydantic import ValidationError

    from ftc.spec.canonical import own_digest
    from ftc.spec.documents.plan import Plan
    from ftc.spec.storage.outputs import reason_of

    path = Path(file)
    try:
        found = Plan.model_validate_json(read_regular(path, LARGEST_DOCUMENT))
    except ValidationError as problem:
        help = "plan the recipe again with `ftc plan -o FILE`"
        note = reason_of(problem)
        raise Refusal([diagnostic("FTC510", f"`{path.name}` is not a saved plan", help=help, notes=note)]) from None
    if found.sha256 != (contents := own_digest(path)):
        note = f"it says {found.sha256[:12]}, but its contents give {contents[:12]}"
        help = "plan the recipe again with `ftc plan -o FILE`"
        notes = (note, *(_edited_fields(found, again) if again else ()))
        raise Refusal([diagnostic("FTC511", f"`{path.name}` was edited after it was saved", help=help, notes=notes)])
    return found


_MOST_LINES = 12
_OF_THE_MOMENT = ("sha256", "state", "time", "memory", "work", "disk", "disk_bytes", "device", "not_checked")
"""Parts of a plan that may differ each time that it is made."""


def _edited_fields(edited: Plan, again: Callable[[Plan], Plan]) -> Iterator[str]:
    """What a plan says otherwise than its recipe gives here and now, a line each."""
    from ftc.compiler.lock.lockfile import changed_leaves
    from ftc.spec.language.safe_repr import quoted

    try:
        ours, theirs = again(edited).to_json(), edited.to_json()
    except (Refusal, OSError):
        yield "the changed field is unknown: its recipe can't be planned here"
        return
    for name in _OF_THE_MOMENT:
        ours.pop(name, None)
        theirs.pop(name, None)
    changed = [one for one in changed_leaves(ours, theirs)[0] if not one[0].endswith(".seal")]
    for path, ought, said in changed[:_MOST_LINES]:
        yield f"`{path}` is {quoted(str(said))}; the recipe gives {quoted(str(ought))}"
    if not changed:
        yield "its recipe gives the same plan but for estimates and the machine"


def lock(
    recipe: Path | str,
    *,
    overrides: Sequence[Override] = (),
    check: bool = False,
    upgrade: bool | Sequence[str] = (),
    migrate: bool = False,
    offline: bool = False,
) -> Relocked:
    """Brings a recipe's lock up to date, whether or not its job fits this machine.

    Args:
        recipe: The recipe file.
        overrides: What lies on top of it, the last one topmost. The lock on disk is then compared and left as it is.
        check: Write nothing, and refuse a lock that is stale.
        upgrade: True looks up every ref of a hub and every address again. Names let only these move: `model`, `rows`,
            `validation` or `test` for a ref of the hub or an address, or an installed package.
        migrate: Bring a lock of the format before this one up to it; what it pins stays.
        offline: Use only what is on this machine.

    Raises:
        Refusal: The recipe or the lock can't be used or written, or it is stale and `check` is asked for (FTC503).
        OSError: A file can't be read or written.
    """
    from ftc.compiler.lock.renew import EVERYTHING, relock
    from ftc.compiler.resolve.files.safe_files import read_recipe
    from ftc.compiler.rules.check import check_recipe
    from ftc.spec.storage.writable import write_beside

    path = Path(recipe)
    checked = check_recipe(read_recipe(path), path.name, path=path, overrides=overrides)
    names = EVERYTHING if upgrade is True else tuple(upgrade or ())
    try:
        found = relock(checked, path, upgrade=names, migrate=migrate, offline=offline)
    except Refusal as refusal:
        refusal.sources = {**checked.sources, **refusal.sources}
        raise
    if check:
        if found.old is None or found.stale:
            help = _VARIATION if overrides else f"run `ftc lock {path}`"
            refuse_stale(found.file.name, found.stale if found.old else None, help=help)
    elif not overrides and (found.old != found.lock or found.was_older):
        write_beside(found.file, found.lock.to_text())
    return found


def drift(recipe: Path | str, *, offline: bool = False) -> Drift:
    """What moved under a recipe's lock: files, rows and packages here; branches, tags and addresses upstream.

    Changes nothing.

    Raises:
        Refusal: The recipe or its lock can't be used, or there is no lock (FTC503).
    """
    from ftc.compiler.lock.renew import EVERYTHING, relock
    from ftc.compiler.resolve.files.safe_files import read_recipe
    from ftc.compiler.rules.check import check_recipe
    from ftc.spec.documents.difference import Drift

    path = Path(recipe)
    checked = check_recipe(read_recipe(path), path.name, path=path)
    found = relock(checked, path, offline=offline)
    if found.old is None:
        refuse_stale(found.file.name, None, help=f"run `ftc lock {path}`")
    missed = list(found.not_checked)
    upstream: tuple[str, ...] = ()
    sources = found.lock.data.sources.values()
    is_pinned = found.lock.model.commit or any(one.commit or one.is_at_address for one in sources)
    if is_pinned and offline:
        missed.append("what the hub and addresses have by now: `--offline`")
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
        Refusal: FTC503, or it can't be written (FTC648).
    """
    from ftc.spec.storage.writable import write_beside

    state = "new" if compiled.old_lock is None else "changed" if compiled.lock_changes else "up to date"
    if locked and state != "up to date":
        help = _VARIATION if compiled.plan.overrides else "run `ftc plan`"
        refuse_stale(compiled.lock_file.name, compiled.lock_changes if compiled.old_lock else None, help=help)
    if state != "up to date" and writes:
        write_beside(compiled.lock_file, compiled.plan.lock.to_text())
    return state


_VARIATION = "leave out `--set`, or write the change into the recipe and run `ftc lock`: a lock pins what the file says"


def refuse_stale(name: str, changes: Sequence[str] | None, *, help: str) -> None:
    """Refuses a lock that is stale, or absent where `changes` is None.

    Raises:
        Refusal: FTC503.
    """
    if changes is None:
        raise Refusal([diagnostic("FTC503", f"there is no lock `{name}`", help=help)])
    notes = [*changes[:_MOST_LINES]]
    if len(changes) > _MOST_LINES:
        notes.append(f"and {len(changes) - _MOST_LINES} more")
    raise Refusal([diagnostic("FTC503", f"`{name}` is stale", help=help, notes=notes)])


def unchanged(saved: Plan, now: Planned) -> Planned:
    """A saved plan that its recipe still gives, with where its inputs lie now.

    Raises:
        Refusal: Something moved since it was saved (FTC512).
    """
    import shlex

    from ftc.compiler.lock.lockfile import stale_reasons
    from ftc.spec.documents.ledger import moved_since
    from ftc.verbs.runs import run_of
    from ftc.verbs.standing import standing_of

    run = run_of(now.root, saved)
    reasons = stale_reasons(saved, now.plan)
    if saved.state and run is None:  # a run that has begun goes on, whatever else was run since
        reasons += moved_since(now.root, saved.name, saved.state, saved.job_sha256())
    if reasons:
        flags = "".join(f" --set {shlex.quote(text)}" for text in saved.overrides)
        help = f"plan again with `ftc plan {saved.recipe_file}{flags} -o FILE` and have it reviewed"
        raise Refusal([diagnostic("FTC512", "the plan is stale", help=help, notes=reasons)])
    return replace(now, plan=saved, run=run, standing=standing_of(now.root, saved, run))


def refuse_other(plan: Plan, expect: str) -> None:
    """Refuses a plan that isn't the expected one.

    Args:
        plan: The plan.
        expect: Beginning of the digest of the plan, or of its job.

    Raises:
        Refusal: It is another one (FTC700).
    """
    if not is_expected(expect, plan.sha256, plan.job_sha256()):
        notes = [f"expected {expect}, found plan {plan.sha256[:12]} of job {plan.run_id}", *too_short(expect)]
        help = "review the plan, then pass the digest that it has now"
        raise Refusal(
            [diagnostic("FTC700", f"the plan of `{plan.name}` is not the expected one", notes=notes, help=help)]
        )


def is_expected(expect: str, *digests: str) -> bool:
    """Whether somebody expects one of these digests: by its beginning, long enough to be no chance."""
    return not too_short(expect) and any(digest.startswith(expect.lower()) for digest in digests)


def too_short(expect: str) -> tuple[str, ...]:
    """Why the beginning of a digest is none to go by, in words; empty where it is long enough."""
    return () if len(expect) >= 8 else ("write at least 8 characters of a digest",)


_SHARED_DISK = "let all machines mount the project and the folder of `FTC_CACHE`"


def located_plan(plan: Plan, root: Path, make: Callable[[], Planned], *, help: str = _SHARED_DISK) -> Planned:
    """A saved plan with where its inputs lie here, without planning again: digests say whether they are right.

    Args:
        plan: The plan.
        root: Its project.
        make: Plans again, where a model or a token stream isn't here and has to be looked up or made.
        help: What to do where it can't be made.

    Raises:
        Refusal: It can't be made here, either (FTC704).
    """
    from ftc.compiler.audit.locate import companion_folders, missing_models, model_folder
    from ftc.compiler.lock.lockfile import lock_path
    from ftc.compiler.pipeline import Compiled
    from ftc.compiler.resolve.machine.environment import environment_of
    from ftc.spec.storage.paths import streams_folder
    from ftc.verbs.runs import run_of
    from ftc.verbs.track import track_in

    model, companions = model_folder(plan, root), companion_folders(plan, root)
    streams = streams_folder(plan.stream_key)
    missing = missing_models(plan, model, companions)
    if absent := [name for name in plan.lock.data.splits if not (streams / f"{name}.arrow").exists()]:
        missing.append(f"the token stream{'s' if len(absent) > 1 else ''} of `{'`, `'.join(absent)}`")
    if model is None or missing:
        try:
            return make()
        except Refusal as refusal:
            why = [f"{one.summary} [{one.code}]" for one in refusal.diagnostics if one.is_error]
            summary = f"{' and '.join(missing)} can't be found here"
            raise Refusal([diagnostic("FTC704", summary, notes=why, help=help)]) from refusal
    recipe = root / plan.recipe_file
    return Planned(
        plan=plan,
        diagnostics=(),
        sources={},
        lock_file=lock_path(recipe),
        lock_state="left alone",
        lock_changes=(),
        run=run_of(root, plan),
        root=root,
        compiled=Compiled(
            plan=plan,
            diagnostics=(),
            lock_file=lock_path(recipe),
            old_lock=None,
            lock_changes=(),
            model_folder=model,
            companions=companions,
            environment=environment_of(plan.recipe, reads_images=plan.settings.model.vision is not None),
            track=track_in(recipe),
        ),
        recipe_text=b"",
    )
