"""From a checked recipe to a plan: resolve, shape, tokenize, pass by pass, lock.

It looks things up in a fixed order, hands facts to the passes, and stops between stages that found errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import Any, NamedTuple

from pydantic import ValidationError

from ftc.compiler.audit.model_texts import remember_texts, texts_that_differ
from ftc.compiler.draft import ClosedDraft, Draft, Measured, PastRun
from ftc.compiler.lock.lockfile import LockFacts, build_lock, lock_changes, lock_path, read_lock, unpinned_code
from ftc.compiler.passes import SHAPING, decide, decide_by_trace, run_passes
from ftc.compiler.passes.shape_text import with_rows
from ftc.compiler.resolve.files.digests import DigestCache, remember_tensors
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.files.safe_files import project_root
from ftc.compiler.resolve.machine.device import read_calibration, resolve_device
from ftc.compiler.resolve.machine.environment import environment_of, missing_presidio, resolve_wordnet
from ftc.compiler.resolve.machine.extensions import resolve_extensions
from ftc.compiler.resolve.models.beginning import resolve_base
from ftc.compiler.resolve.models.companions import World, known_beside, resolve_companion
from ftc.compiler.resolve.models.model import ResolvedModel
from ftc.compiler.resolve.rows.data_files import DataFiles, locate_data
from ftc.compiler.row_images import images_of_splits
from ftc.compiler.rules.check import Checked
from ftc.compiler.tokens.compile_data import CompiledData, compile_data
from ftc.compiler.weights import num_trainable
from ftc.spec.base import Money
from ftc.spec.companions import COMPANIONS, Role
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import EnvironmentFacts
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.memory_trace import TraceAnswer, TraceJob
from ftc.spec.documents.plan import Check, ModelSummary, Plan
from ftc.spec.documents.settings import Settings
from ftc.spec.exit_codes import ExitCode
from ftc.spec.language.source import Source
from ftc.spec.sections.data import PathSource
from ftc.spec.sections.recipe import Recipe
from ftc.spec.storage.cache import take_distrusted
from ftc.spec.storage.cached import DIGESTS
from ftc.spec.storage.model_files import TensorDigest
from ftc.spec.storage.paths import cache_folder
from ftc.spec.trackers import Track
from ftc.spec.version import VERSION

__all__ = ["Ask", "Compiled", "Locked", "compile_recipe", "lock_recipe", "up_to_rows"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan, and where its inputs lie on this machine.

    Attributes:
        plan: The plan, sealed.
        diagnostics: Warnings and notes.
        lock_file: Where the lock belongs.
        old_lock: The lock on disk, if there is one.
        lock_changes: What the plan's lock says otherwise than the one on disk.
        model_folder: The base model.
        companions: Folders of the models beside it, by role.
        environment: Packages as installed here.
        track: Trackers that the recipe asks for; no part of the plan.
    """

    plan: Plan
    diagnostics: tuple[Diagnostic, ...]
    lock_file: Path
    old_lock: Lock | None
    lock_changes: tuple[str, ...]
    model_folder: Path
    companions: Mapping[Role, Path]
    environment: EnvironmentFacts
    track: Track | None


Ask = Callable[[Iterable[TraceJob]], Mapping[str, TraceAnswer]]
"""Answers jobs of the memory trace, by their keys."""


class Locked(NamedTuple):
    """A lock as the world calls for it.

    Attributes:
        lock: The lock, sealed.
        environment: Packages as installed here.
        diagnostics: Warnings and notes.
    """

    lock: Lock
    environment: EnvironmentFacts
    diagnostics: tuple[Diagnostic, ...]


Past = tuple[tuple[PastRun, ...], Mapping[str, Money]]  # earlier runs, and what an hour of a device costs


class _Resolved(NamedTuple):
    base: ResolvedModel
    companions: Mapping[Role, Path]
    files: DataFiles
    environment: EnvironmentFacts
    draft: Draft
    tensors: dict[str, TensorDigest]


class _Made(NamedTuple):
    draft: ClosedDraft
    data: CompiledData
    settings: Settings
    lock: Lock
    base: ResolvedModel
    companions: Mapping[Role, Path]
    environment: EnvironmentFacts


def compile_recipe(
    checked: Checked,
    path: Path,
    *,
    offline: bool = False,
    past_runs: tuple[PastRun, ...] = (),
    prices: Mapping[str, Money] | None = None,
    ask: Ask | None = None,
) -> Compiled:
    """Compiles a checked recipe that lies at `path`.

    Args:
        checked: The recipe, without errors.
        path: Its file.
        offline: Use only what is on this machine.
        past_runs: Earlier runs of the project.
        prices: What an hour of a device costs by the project's policy, by the device's name; those that the recipe was
            checked with where left out.
        ask: The memory trace; without it memory is estimated by closed form.

    Raises:
        Refusal: Something that the recipe names can't be used, or the plan does not fit.
    """
    if checked.recipe is None:
        raise Refusal(checked.diagnostics)
    lock_file = lock_path(path)
    old_lock = read_lock(lock_file)
    made = _compile(checked, path, offline, (past_runs, checked.prices if prices is None else prices), old_lock, ask)
    draft = _stop_on_errors(made.draft)
    recipe_file = path.resolve().relative_to(project_root(path)).as_posix()
    plan = _freeze(made, recipe_file, checked.overrides, unpinned_code(old_lock, made.lock) if old_lock else "")
    return Compiled(
        plan=plan,
        diagnostics=_sorted((*checked.diagnostics, *made.data.diagnostics, *draft.diagnostics, *_distrusted())),
        lock_file=lock_file,
        old_lock=old_lock,
        lock_changes=lock_changes(old_lock, made.lock) if old_lock else (),
        model_folder=made.base.folder,
        companions=made.companions,
        environment=made.environment,
        track=checked.recipe.track,
    )


def lock_recipe(checked: Checked, path: Path, pins: Lock | None, *, offline: bool = False) -> Locked:
    """The lock that a checked recipe calls for, whether or not its job fits this machine.

    Args:
        checked: The recipe.
        path: Where it lies.
        pins: The lock whose commits are kept, and whose blocks of other platforms.
        offline: Use only what is on this machine.

    Raises:
        Refusal: Something that the recipe names can't be used.
    """
    from ftc.spec.codes import CODES  # which a plan needs only for its findings

    made = _compile(checked, path, offline, ((), checked.prices), pins, None)
    found = [one for one in made.draft.diagnostics if CODES[one.code].exit_code != ExitCode.OVER_BUDGET]
    _stop_on_errors(replace(made.draft, diagnostics=tuple(found)))
    told = (*checked.diagnostics, *made.data.diagnostics, *found, *_distrusted())
    return Locked(made.lock, made.environment, _sorted(told))


def up_to_rows(
    checked: Checked, path: Path, offline: bool, past: Past, old_lock: Lock | None
) -> tuple[_Resolved, CompiledData, Draft]:
    """Everything before a pass chooses how the run is done; other base models are planned from here."""
    recipe, source = checked.recipe, checked.source
    if recipe is None or source is None:
        raise Refusal(checked.diagnostics)
    found = _resolve(recipe, source, path, offline, old_lock)
    draft = _stop_on_errors(run_passes(SHAPING, replace(found.draft, past_runs=past[0], prices=past[1])))
    try:
        digests, packages = DigestCache(DIGESTS.under(cache_folder())), found.environment.packages
        data = compile_data(draft, found.files, found.base.folder, source, digests, packages, found.companions)
    except Refusal as refusal:
        other = texts_that_differ(found.base.facts, found.base.folder, old_lock, cache_folder()) if old_lock else []
        # Rows that can't be used may be as they were, and the template or the tokenizer another one.
        again = Refusal(
            replace(one, notes=(*one.notes, *other)) if one.is_error else one for one in refusal.diagnostics
        )
        again.sources = refusal.sources
        raise again from None
    return found, data, _with_data(draft, data)


def _compile(checked: Checked, path: Path, offline: bool, past: Past, old_lock: Lock | None, ask: Ask | None) -> _Made:
    """Everything up to the lock; the draft may hold errors of the last passes."""
    found, data, draft = up_to_rows(checked, path, offline, past, old_lock)
    draft = _decided(draft, ask)
    try:
        settings = draft.settings()
    except ValidationError:
        _stop_on_errors(draft)  # a pass that found an error may leave values open
        raise
    facts = LockFacts(data.sources, data.probe, found.tensors, found.environment, data.images)
    lock = build_lock(draft, settings, facts, old_lock)
    for use, here in data.sources.items():
        if (locked := lock.data.sources[use].file) != here.file:
            summary = f"`{here.asked.get('path') or here.asked.get('hub')}` holds the locked rows in other bytes"
            note = f"locked as {locked.sha256[:12]}, here {here.file.sha256[:12]}; each row is the same"
            draft = draft.find("FTC550", summary, "data.source", notes=note)
    return _Made(draft, data, settings, lock, found.base, found.companions, found.environment)


def _resolve(recipe: Recipe, source: Source, path: Path, offline: bool, lock: Lock | None) -> _Resolved:
    """Looks up the model, the data files, the packages and the device; errors of all of them are told together."""
    root, folder = project_root(path), path.resolve().parent
    hub, digests = Hub(offline=offline), DigestCache(DIGESTS.under(cache_folder()))
    found: list[Diagnostic] = []

    def attempt(look_up: Any) -> Any:
        try:
            return look_up()
        except Refusal as refusal:
            found.extend(refusal.diagnostics)

    world = World(folder, root, hub, digests, source.span)
    here: dict[str, Any] = {"folder": folder, "root": root, "hub": hub, "digests": digests, "span_of": source.span}
    based = attempt(lambda: resolve_base(recipe, lock, world))
    model = based and based.model
    beside: dict[Role, ResolvedModel] = {
        card.role: companion
        for card in COMPANIONS
        if (companion := attempt(partial(resolve_companion, card, recipe, lock, world))) is not None
    }
    known = attempt(lambda: known_beside(recipe, beside, model, lock, world))
    wordnet = attempt(lambda: resolve_wordnet(recipe.eval, source.span))
    packages = attempt(lambda: resolve_extensions(recipe, source.span))
    files = attempt(lambda: locate_data(recipe.data, probes=_probes(recipe), lock=lock, **here))
    device = attempt(lambda: resolve_device(recipe.budget.device, source.span("budget.device")))
    found += [replace(one, span=source.span(one.path or "")) for one in missing_presidio(recipe.data.quality.presidio)]
    if found:
        raise Refusal(found)
    tensors = digests.tensors(model.folder / name for name in model.facts.files if name.endswith(".safetensors"))
    remember_tensors(cache_folder(), tensors)
    remember_texts(cache_folder(), model.folder, model.facts.files)
    based.refuse_other_base(tensors, source.span("model.base"))
    environment = environment_of(recipe, reads_images=model.facts.vision is not None)
    threads = recipe.budget.threads
    calibration = read_calibration(cache_folder(), device, device.threads if threads == "auto" else threads)
    draft = Draft(
        recipe,
        source,
        model.facts,
        device,
        platform=environment.platform,
        packages={name: one.code_sha256 for name, one in environment.packages.items()},
        calibration=calibration,
        free_disk=disk_usage(root).free if device.local else None,
        **known._asdict(),
        wordnet=wordnet,
        checks=packages,
        begins=based.begun and based.begun.beginning,
        diagnostics=(*model.warnings, *(warning for file in files.values() for warning in file.warnings)),
    )
    return _Resolved(model, based.folders(beside), files, environment, draft, tensors)


def _probes(recipe: Recipe) -> dict[str, tuple[str, PathSource]]:
    """Files that a run is measured on beside its test split, by use, with their places in the recipe."""
    named = {"retention": recipe.eval.retention, "swaps": recipe.eval.swaps}
    return {use: (f"eval.{use}", PathSource(path=one.path)) for use, one in named.items() if one is not None}


def _stop_on_errors(draft: Draft) -> Draft:
    if any(finding.is_error for finding in draft.diagnostics):
        raise Refusal(draft.diagnostics)
    return draft


def _with_data(draft: Draft, data: CompiledData) -> Draft:
    model = data.with_pixels(draft.model)
    draft = replace(
        draft,
        splits=data.splits,
        lengths=data.lengths,
        row_images=images_of_splits(data.image_sizes, model.vision, data.splits),
        labels=data.labels,
        scales=data.scales,
        class_rows=data.quality.labels.get("train", {}),
        groups=data.groups,
        model=model,
        judged=data.judged,
        reward_judged=data.reward_judged,
        measured=Measured(data.retention_sha256, data.swaps_sha256, data.groups_sha256, data.baselines),
        taught_sha256=data.taught_sha256,
        frames=data.frames,
    )
    return with_rows(draft, (data.columns, data.columns_reason), data.prompt, data.labels)


def _decided(draft: Draft, ask: Ask | None) -> ClosedDraft:
    """What the passes decide; where they refuse for want of memory, with what would fit."""

    def by_trace(one: Draft) -> ClosedDraft:
        return _answered(one, ask)

    decided = by_trace(draft)
    if not any(found.is_error for found in decided.diagnostics):
        return decided
    from ftc.compiler.search.suggest import with_suggestions

    return with_suggestions(draft, decided, decide, by_trace)


def _answered(draft: Draft, ask: Ask | None) -> ClosedDraft:
    """What the passes decide, by the trace where there is one to ask."""
    if draft.device.kind == "cpu":
        return decide(draft)  # a process on a CPU is more than its tensors, so a trace would tell no more
    if ask is None:
        return decide(replace(draft, untraced="left out on request"))
    return decide_by_trace(draft, ask)


def _freeze(made: _Made, recipe_file: str, overrides: tuple[str, ...], unpinned: str) -> Plan:
    draft, data = made.draft, made.data
    assert draft.memory is not None
    summary = ModelSummary(
        name=draft.model.name,
        architecture=draft.model.architecture,
        license=draft.model.license,
        num_parameters=draft.model.num_parameters,
        num_trainable=num_trainable(draft),
        num_active=draft.model.num_active if draft.model.experts else None,
    )
    checks = tuple(Check(name=f.code, code=f.code, result=f.summary) for f in (*data.diagnostics, *draft.diagnostics))
    return Plan(
        ftc_version=VERSION,
        name=draft.recipe.name,
        recipe_file=recipe_file,
        overrides=overrides,
        recipe=draft.recipe.model_copy(update={"track": None}),
        lock=made.lock,
        settings=made.settings,
        origins=dict(draft.origins),
        steps=draft.steps,
        model=summary,
        data=dict(draft.splits),
        quality=data.quality,
        stream_key=data.key,
        device=draft.device,
        platform=made.environment.platform,
        memory=draft.memory,
        work=draft.work,
        time=draft.time,
        judge=draft.judge,
        disk_bytes=sum(draft.disk.values()),
        disk=dict(draft.disk),
        checks=(*data.checks, *draft.checks, *checks),
        not_checked=(*draft.not_checked, *data.quality.not_checked, *filter(None, [unpinned])),
    ).sealed()


def _distrusted() -> Iterator[Diagnostic]:
    """One finding for all entries of the cache that were not believed; what they would have told was made again."""
    if entries := take_distrusted():
        reasons = dict.fromkeys(entries.values())
        summary = f"{len(entries)} of the cache's entries {'was' if len(entries) == 1 else 'were'} not used"
        help = "nothing: they were made again; `FTC_CACHE_KEY` lets machines that trust each other share a cache"
        yield diagnostic("FTC655", summary, notes=tuple(reasons), help=help)


def _sorted(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(found, key=Diagnostic.sort_key))
