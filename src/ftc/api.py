"""The verbs as functions: what the command line calls, and what a script or notebook can call as well.

    import ftc

    planned = ftc.plan("recipe.yaml")
    run = ftc.apply(planned)
    run.evaluation.tuned.metrics["accuracy"]

A mistake of the user raises `Refusal`, which carries diagnostics with code, place and mend. Nothing heavier than
pydantic is imported before a verb needs it, and torch only by `apply`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ftc.run_store import Run, find_run, pages, past_runs, run_of, runs
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic

if TYPE_CHECKING:
    from ftc.compiler.pipeline import Compiled
    from ftc.spec.audit import AuditReport
    from ftc.spec.events import EventListener
    from ftc.spec.imported import Imported
    from ftc.spec.plan import Plan
    from ftc.spec.recipe import Recipe

__all__ = [
    "Checked",
    "Planned",
    "Run",
    "apply",
    "audit",
    "find_run",
    "import_recipe",
    "init",
    "load_plan",
    "plan",
    "runs",
    "save_plan",
    "schema",
    "validate",
]

Result = TypeVar("Result")

Sources = Mapping[str, tuple[str, ...]]
"""Lines of the files that diagnostics point into, by name."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What reading a recipe found.

    Attributes:
        recipe: The recipe, or None when it has errors.
        diagnostics: All findings, sorted by place.
        sources: Lines of the recipe, for showing places.
    """

    recipe: Recipe | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Sources


@dataclass(frozen=True, slots=True)
class Planned:
    """A compiled recipe.

    Attributes:
        plan: The plan.
        diagnostics: Warnings and notes.
        sources: Lines of the recipe, for showing places.
        lock_file: The lock beside the recipe, up to date by now.
        lock_state: `new`, `up to date` or `changed`, as it was found.
        lock_changes: What changed in it, a line each.
        run: The run of exactly this plan, if there is one.
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

    def _repr_html_(self) -> str:
        from ftc.views.html import plan_html

        return plan_html(self.plan)


def validate(recipe: Path | str) -> Checked:
    """Checks a recipe's text, keys, types and rules. Loads nothing that it names.

    Raises:
        OSError: The file can't be read.
    """
    from ftc.compiler.check import check_recipe
    from ftc.spec.source import shown_lines

    path = Path(recipe)
    data = path.read_bytes()
    checked = check_recipe(data, _shown(path))
    return Checked(checked.recipe, checked.diagnostics, {_shown(path): shown_lines(data)})


def plan(recipe: Path | str, *, locked: bool = False, offline: bool = False, keep_lock: bool = False) -> Planned:
    """Compiles a recipe and brings its lock up to date.

    Args:
        recipe: The recipe file.
        locked: Refuse to change the lock; it must exist and say what this machine finds.
        offline: Use only what is on this machine.
        keep_lock: Leave the lock on disk as it is.

    Raises:
        Refusal: The recipe has errors, names something unusable, or does not fit.
        OSError: A file can't be read or written.
    """
    from ftc.compiler.check import check_recipe
    from ftc.compiler.pipeline import compile_recipe
    from ftc.compiler.resolve.paths import project_root
    from ftc.spec.durable import write_text
    from ftc.spec.source import shown_lines

    path = Path(recipe)
    data = path.read_bytes()
    checked = check_recipe(data, _shown(path))
    sources = {_shown(path): shown_lines(data)}
    root = project_root(path)
    compiled = _with_sources(sources, lambda: compile_recipe(checked, path, offline=offline, past_runs=past_runs(root)))
    state = "new" if compiled.old_lock is None else "changed" if compiled.lock_changes else "up to date"
    if locked and state != "up to date":
        _with_sources(sources, lambda: _refuse_stale(compiled))
    if compiled.old_lock != compiled.plan.lock and not keep_lock:
        write_text(compiled.lock_file, compiled.plan.lock.to_text())
    return Planned(
        plan=compiled.plan,
        diagnostics=compiled.diagnostics,
        sources=sources,
        lock_file=compiled.lock_file,
        lock_state=state,
        lock_changes=compiled.lock_changes,
        run=run_of(root, compiled.plan),
        root=root,
        compiled=compiled,
    )


def save_plan(planned: Planned, file: Path | str) -> None:
    """Writes a plan for a later `apply`.

    Raises:
        OSError: The file can't be written.
    """
    from ftc.spec.durable import write_text

    write_text(Path(file), planned.plan.to_text())


def load_plan(file: Path | str) -> Plan:
    """Reads a saved plan.

    Raises:
        Refusal: It is no plan (FTC510), or was edited (FTC511).
        OSError: The file can't be read.
    """
    from pydantic import ValidationError

    from ftc.spec.plan import Plan
    from ftc.spec.problems import reason_of

    path = Path(file)
    try:
        found = Plan.model_validate_json(path.read_bytes())
    except ValidationError as problem:
        help = "plan the recipe again with `ftc plan -o FILE`"
        note = reason_of(problem)
        raise Refusal([diagnostic("FTC510", f"`{path.name}` is no saved plan", help=help, notes=note)]) from None
    if found.sha256 != found.expected_sha256():
        note = f"it says {found.sha256[:12]}, its contents give {found.expected_sha256()[:12]}"
        help = "plan the recipe again with `ftc plan -o FILE`"
        raise Refusal([diagnostic("FTC511", f"`{path.name}` was edited after it was saved", help=help, notes=note)])
    return found


def apply(
    target: Planned | Plan | Path | str,
    *,
    on_event: EventListener | None = None,
    again: bool = False,
    offline: bool = False,
    folder: Path | str = ".",
) -> Run:
    """Executes a plan, or goes on with it where it stopped. A finished one is left as it is.

    Args:
        target: A planned recipe, a plan, or the file of a recipe or saved plan.
        on_event: Hears of every step.
        again: Run a finished plan once more, in a folder of its own.
        offline: Use only what is on this machine.
        folder: Where a plan given as an object belongs: any folder of its project.

    Raises:
        Refusal: The plan is stale, its inputs moved, or the run could not go on.
    """
    planned = _planned(target, offline=offline, folder=Path(folder))
    from ftc.execution import execute_planned

    return execute_planned(planned, listen=on_event or (lambda event: None), again=again)


def _planned(target: Planned | Plan | Path | str, *, offline: bool, folder: Path) -> Planned:
    """The target as compiled here and now; a saved plan must come out the same (FTC512)."""
    from ftc.spec.plan import Plan

    if isinstance(target, Planned):
        return target
    if isinstance(target, Plan):
        return _replanned(target, folder / "plan", offline=offline)
    path = Path(target)
    if path.suffix == ".json":
        return _replanned(load_plan(path), path, offline=offline)
    return plan(path, offline=offline)


def _replanned(saved: Plan, near: Path, *, offline: bool) -> Planned:
    from ftc.compiler.resolve.paths import project_root
    from ftc.compiler.staleness import stale_reasons

    recipe = project_root(near) / saved.recipe_file
    if not recipe.exists():
        note = f"looked for {saved.recipe_file} under the plan's project"
        raise Refusal([diagnostic("FTC512", "the plan's recipe is not here", notes=note, help="plan again")])
    now = plan(recipe, offline=offline, keep_lock=True)
    if reasons := stale_reasons(saved, now.plan):
        help = f"plan again with `ftc plan {saved.recipe_file} -o FILE` and have it reviewed"
        raise Refusal([diagnostic("FTC512", "the plan is stale", help=help, notes=reasons)])
    return replace(now, plan=saved, run=run_of(now.root, saved))


def audit(run: Run | Path | str, *, folder: Path | str = ".") -> AuditReport:
    """Compares everything that a run names with what is on this machine now. Executes nothing."""
    from ftc.compiler.audit import audit_static
    from ftc.compiler.locate import audit_inputs
    from ftc.spec.places import RunFolder

    found = run if isinstance(run, Run) else find_run(str(run), folder)
    inputs = audit_inputs(found.plan, found.root, pages(found))
    return audit_static(RunFolder(found.folder), found.plan, found.record, inputs)


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the recipe."""
    from ftc.spec.reference import recipe_schema

    return recipe_schema()


def init(file: Path | str, *, task: str = "classification", data: Path | None = None, base: str | None = None) -> Path:
    """Writes a starter recipe with what can be read off the data.

    Raises:
        Refusal: The file exists, or the data can't be read.
    """
    from ftc.compiler.starter import write_starter

    return write_starter(Path(file), task=task, data=data, base=base)


def import_recipe(
    file: Path | str,
    *,
    output: Path | str | None = None,
    tool: str | None = None,
    task: str | None = None,
    data: Path | str | None = None,
    hub_file: str | None = None,
    base: str | None = None,
) -> Imported:
    """Turns a configuration of another tool into a recipe, and tells the fate of every key.

    Args:
        file: The configuration, of Axolotl, LLaMA-Factory, torchtune, TRL or Oumi.
        output: Where to write the recipe; an existing file is never touched. Its paths are relative to this file's
            folder, or to the working folder.
        tool: Whose configuration it is; told by its keys where left out.
        task: What the rows are, `generation` or `chat`, where no key tells.
        data: The rows, in place of those that the configuration names.
        hub_file: Which file of its data set on the hub holds the rows.
        base: The base model, in place of the one that it names.

    Raises:
        Refusal: The file is of no known tool (FTC391) or can't be read (FTC390), or the output exists (FTC651).
        OSError: A file can't be read or written.
    """
    from ftc.compiler.importers.surroundings import as_written, surroundings_of
    from ftc.compiler.importers.translate import import_configuration
    from ftc.compiler.importers.translation import Options
    from ftc.spec.source import shown_lines

    path, recipe = Path(file), Path(output or "recipe.yaml")
    content = path.read_bytes()
    rows = as_written(Path(data), recipe) if data else None
    options = Options(task=task, data=rows, hub_file=hub_file, base=base)
    around = surroundings_of(path, recipe)
    imported = _with_sources(
        {_shown(path): shown_lines(content)},
        lambda: import_configuration(content, _shown(path), tool=tool, options=options, around=around),
    )
    if output and imported.recipe:
        _write_new(recipe, imported.recipe)
    return imported


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8", newline="\n") as new:
            new.write(text)
    except FileExistsError:
        summary = f"`{file}` is there already"
        raise Refusal([diagnostic("FTC651", summary, help="choose another name; nothing was changed")]) from None


def _shown(path: Path) -> str:
    """The path as diagnostics show it: relative to the working folder where that is shorter."""
    relative = os.path.relpath(path)
    return Path(relative if len(relative) < len(str(path)) else path).as_posix()


def _with_sources(sources: Sources, verb: Callable[[], Result]) -> Result:
    """Runs a verb; a refusal leaves with the lines that its places point into."""
    try:
        return verb()
    except Refusal as refusal:
        refusal.sources = {**sources, **refusal.sources}
        raise


def _refuse_stale(compiled: Compiled) -> None:
    if compiled.old_lock is None:
        raise Refusal([diagnostic("FTC503", f"there is no lock `{compiled.lock_file.name}`", help="run `ftc plan`")])
    notes = compiled.lock_changes[:8]
    raise Refusal([diagnostic("FTC503", f"`{compiled.lock_file.name}` is stale", help="run `ftc plan`", notes=notes)])
