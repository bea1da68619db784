"""The verbs as functions: what the command line calls, and what a script or notebook can call as well.

    import ftc

    planned = ftc.plan("recipe.yaml")
    run = ftc.apply(planned)
    run.evaluation.tuned.metrics["accuracy"]

A user's mistake raises `Refusal` with diagnostics. Nothing heavier than pydantic is imported before a verb needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftc.spec.diagnostics import Refusal
from ftc.spec.storage.cached import TRACES
from ftc.spec.storage.processes import contract, is_follower
from ftc.verbs.plan import (
    Planned,
    drift,
    located_plan,
    lock,
    read_plan,
    refuse_other,
    save_plan,
    settle_lock,
    unchanged,
)
from ftc.verbs.policy import with_policy
from ftc.verbs.runs import Run, find_run, past_runs, run_of, runs, unlock
from ftc.verbs.standing import standing_of
from ftc.verbs.text import Checked, fix, format, shown_path, validate, with_sources

if TYPE_CHECKING:
    from ftc.compiler.recipes.layers import Override
    from ftc.spec.documents.audit import AuditReport, Level
    from ftc.spec.documents.events import Event, EventListener
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.tokenized import TokenizedRows
    from ftc.verbs.audit import StepListener
    from ftc.verbs.calibrate import calibrate, device, devices
    from ftc.verbs.chat import Chat, open_chat
    from ftc.verbs.combine import combine
    from ftc.verbs.compare import compare, diff
    from ftc.verbs.drift import Drifted, data_drift
    from ftc.verbs.evaluate import evaluate, evaluate_on_harness
    from ftc.verbs.export_model import export_model
    from ftc.verbs.inspect import Inspected, inspect
    from ftc.verbs.merge import merge
    from ftc.verbs.models import models
    from ftc.verbs.pack import pack
    from ftc.verbs.predict import Model, Predictions, load, predict
    from ftc.verbs.profile import Profiled, profile
    from ftc.verbs.provenance import export, provenance, used_by
    from ftc.verbs.pull import Pull, pull
    from ftc.verbs.push import Push, push
    from ftc.verbs.server import Served, evaluate_server
    from ftc.verbs.sign import sign, verify
    from ftc.verbs.starting import import_recipe, init, schema
    from ftc.verbs.track import track
    from ftc.verbs.unpack import unpack

__all__ = [
    "Chat",
    "Checked",
    "Drifted",
    "Inspected",
    "Model",
    "Planned",
    "Predictions",
    "Profiled",
    "Pull",
    "Push",
    "Run",
    "Served",
    "apply",
    "audit",
    "calibrate",
    "combine",
    "compare",
    "data_drift",
    "device",
    "devices",
    "diff",
    "drift",
    "evaluate",
    "evaluate_on_harness",
    "evaluate_server",
    "export",
    "export_model",
    "find_run",
    "fix",
    "format",
    "import_recipe",
    "init",
    "inspect",
    "load",
    "load_plan",
    "lock",
    "merge",
    "models",
    "open_chat",
    "pack",
    "plan",
    "predict",
    "profile",
    "provenance",
    "pull",
    "push",
    "runs",
    "save_plan",
    "schema",
    "sign",
    "tokens",
    "track",
    "unlock",
    "unpack",
    "used_by",
    "validate",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Loads the verbs that planning has no need of when one of them is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'ftc.api' has no attribute {name!r}")
    from ftc.verbs import (
        calibrate,
        chat,
        combine,
        compare,
        drift,
        evaluate,
        export_model,
        inspect,
        merge,
        models,
        pack,
        predict,
        profile,
        provenance,
        pull,
        push,
        server,
        sign,
        starting,
        track,
        unpack,
    )

    homes = (
        *(calibrate, chat, combine, compare, drift, evaluate, export_model, inspect, merge),
        *(models, pack, predict, profile, provenance, pull, push, server, sign, starting, track, unpack),
    )
    return next(getattr(home, name) for home in homes if name in home.__all__)


def _drawn(refusal: Refusal) -> str:
    from ftc.views.diagnostics import render_text

    return render_text(refusal.diagnostics, refusal.sources)


Refusal.drawn_by = staticmethod(_drawn)


def plan(
    recipe: Path | str,
    *,
    overrides: Sequence[Override] = (),
    locked: bool = False,
    offline: bool = False,
    keep_lock: bool = False,
    trace: bool = True,
    on_trace: Callable[[int], None] = lambda _: None,
    waive: Mapping[str, str] | None = None,
) -> Planned:
    """Compiles a recipe and brings its lock up to date.

    With `overrides` the lock on disk stays as it is: it pins the file, not a variation.

    Args:
        recipe: The recipe file.
        overrides: What lies on top of it, the last one topmost: texts such as `train.epochs=1`, and files as `Path`.
        locked: Refuse to change the lock; it must exist and say what this machine finds.
        offline: Use only what is on this machine.
        keep_lock: Leave the lock on disk as it is.
        trace: Estimate GPU memory by a trace of the training step, some seconds the first time; else analytically.
        on_trace: Hears, before something is traced, how often that was necessary so far.
        waive: Reasons by the soft rule of the project's policy that they pass over.

    Raises:
        Refusal: The recipe has errors, names something unusable, does not fit, or breaks the project's policy.
        OSError: A file can't be read or written.
    """
    from ftc.compiler.memory.trace_client import Tracer
    from ftc.compiler.pipeline import compile_recipe
    from ftc.compiler.policy import prices_of
    from ftc.compiler.resolve.files.safe_files import project_root, read_recipe
    from ftc.compiler.rules.check import check_recipe
    from ftc.spec.storage.paths import cache_folder
    from ftc.verbs.track import servable

    path, text = Path(recipe), read_recipe(Path(recipe))
    checked = check_recipe(text, shown_path(path), path=path, overrides=overrides)
    root = project_root(path)
    with Tracer(TRACES.under(cache_folder()), tell=on_trace) as tracer:
        ask = tracer.answers if trace else None
        made = partial(compile_recipe, checked, path, offline=offline, past_runs=past_runs(root), ask=ask)
        compiled = with_sources(checked.sources, lambda: made(prices=prices_of(root)))
        compiled = with_sources(checked.sources, lambda: with_policy(servable(compiled, root), root, waive or {}))
    writes = not keep_lock and not overrides
    state = with_sources(checked.sources, lambda: settle_lock(compiled, locked=locked, writes=writes))
    return Planned(
        plan=compiled.plan,
        diagnostics=compiled.diagnostics,
        sources=checked.sources,
        lock_file=compiled.lock_file,
        lock_state="left alone" if overrides and state != "up to date" else state,
        lock_changes=compiled.lock_changes,
        run=(run := run_of(root, compiled.plan)),
        root=root,
        compiled=compiled,
        recipe_text=text,
        standing=standing_of(root, compiled.plan, run),
    )


def tokens(
    target: Planned | Path | str, *, split: str = "train", rows: Sequence[int | str] = (), offline: bool = False
) -> TokenizedRows:
    """Rows of a recipe as the model is fed them, and what of them is learned. Test rows are noted in the ledger.

    Args:
        target: A planned recipe, or a recipe's file, whose lock stays as it is.
        split: The part of the data, or the name of a prompt baseline such as `few_shot_4`.
        rows: Names of rows, such as `data/tickets.csv:38`, or numbers from 1 of those that were read; the first three
            of the part where there are none.
        offline: Use only what is on this machine.

    Raises:
        Refusal: The recipe can't be planned, or has no such rows (FTC389).
    """
    from ftc.verbs.evaluate import tokens_of

    planned = target if isinstance(target, Planned) else plan(target, offline=offline, keep_lock=True)
    return tokens_of(planned, split, rows)


def apply(
    target: Planned | Plan | Path | str,
    *,
    on_event: EventListener | None = None,
    again: bool = False,
    until: int | Literal["train"] | None = None,
    stop: Callable[[Event], str | None] | None = None,
    offline: bool = False,
    expect: str | None = None,
    source: Run | str | None = None,
    folder: Path | str = ".",
) -> Run:
    """Executes a plan, or goes on with it where it stopped. A finished one is left as it is.

    What `until` or `stop` leaves before its end is `paused` or `pruned`; the next `apply` continues with the same bits.

    Args:
        target: A planned recipe, a plan, the file of a recipe or saved plan, or a hosted job whose result is here.
        on_event: Hears of every step.
        again: Run a finished plan once more, in a folder of its own.
        until: Pause after this step, or at `train` with the weights exported and no test row evaluated.
        stop: Hears of every event; where it gives a reason, the run ends after the current step as `pruned`.
        offline: Use only what is on this machine.
        expect: Beginning of the digest of the plan or its job; another plan is refused.
        source: A run that stopped: go on with its steps, shared among other processes. The bits are not those of one.
        folder: Where a plan given as an object belongs: any folder of its project.

    In a process that torchrun or `srun` started, all processes of the run have to call it.

    Raises:
        Refusal: The plan is stale or not the expected one (FTC700), it has no such step (FTC580), its inputs moved, the
            run's processes differ (FTC701), or the run could not go on.
    """
    from ftc.runtime.execution.agreement import arriving
    from ftc.verbs.apply import execute_planned
    from ftc.verbs.continuing import begin_from
    from ftc.verbs.heartbeat import with_heartbeat

    os.environ.update(contract(os.environ))
    with arriving(), with_heartbeat():
        planned = current(target, offline=offline, folder=folder)
        if expect is not None:
            refuse_other(planned.plan, expect)
        planned = planned if source is None else begin_from(planned, source)
    return execute_planned(planned, listen=on_event or (lambda event: None), again=again, until=until, stop=stop)


def current(target: Planned | Plan | Path | str, *, offline: bool = False, folder: Path | str = ".") -> Planned:
    """The target as compiled here and now; a saved plan must come out the same (FTC512), as the first process sees."""
    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.hosted.found import hosted_folder

    if isinstance(target, Planned):
        return target
    if isinstance(target, Plan):
        return unchanged(target, _compiled_again(target, Path(folder) / "plan", offline=offline))
    path = Path(target)
    if (job := hosted_folder(str(target), folder)) is not None:
        from ftc.verbs.hosted.result import planned_result

        return planned_result(job)
    if path.suffix == ".json":
        from ftc.verbs.lent_streams import with_streams
        from ftc.verbs.unpack import unpacked_plan

        saved, root = load_plan(path), project_root(path)
        again = partial(_compiled_again, saved, path, offline=offline)
        if is_follower(os.environ):
            return with_streams(saved, root, lambda: located_plan(saved, root, lambda: unchanged(saved, again())))
        return with_streams(saved, root, lambda: unpacked_plan(saved, root) or unchanged(saved, again()))
    return plan(path, offline=offline)


def load_plan(file: Path | str) -> Plan:
    """Reads a saved plan. One that was edited is refused, and the fields that its recipe gives otherwise are named.

    Raises:
        Refusal: It is no plan (FTC510), or was edited (FTC511).
        OSError: The file can't be read.
    """
    return read_plan(file, lambda edited: _compiled_again(edited, Path(file), offline=True).plan)


def _compiled_again(saved: Plan, near: Path, *, offline: bool) -> Planned:
    """The recipe of a plan as it compiles here and now."""
    from ftc.compiler.resolve.files.safe_files import project_root
    from ftc.verbs.pack import recipe_of_saved

    recipe = recipe_of_saved(saved, project_root(near))
    by_trace = saved.memory.method == "trace"  # another method may choose another micro-batch
    waive = {one.rule: one.waived for one in saved.policy if one.waived is not None}
    return plan(recipe, overrides=saved.overrides, offline=offline, keep_lock=True, trace=by_trace, waive=waive)


def audit(
    run: Run | Path | str,
    *,
    level: Level = "static",
    first: int = 0,
    last: int | None = None,
    steps: int = 20,
    threads: int | None = None,
    force: bool = False,
    seeds: int = 0,
    strict: bool = False,
    key: Path | str | None = None,
    on_step: StepListener | None = None,
    folder: Path | str = ".",
) -> AuditReport:
    """Judges a past run: compares everything that it names with what is here now, and does steps again if asked to.

    Args:
        run: The run, its folder, its id or the beginning of that, its recipe's name, or a job at a hosted service.
        level: `static` executes nothing, `replay` trains some steps again in a fresh process, `full` does all of the
            plan again.
        first: Steps that are done when a replay begins: 0, or those of a checkpoint that is still there.
        last: Step at which a replay ends; None for `steps` further.
        steps: Steps of a replay whose end isn't given.
        threads: Threads inside an operation; None for the run's. Another number is another class of machine.
        force: Execute even where machine or code are of another class than the run's.
        seeds: Where bits can't be equal: do the whole plan three to ten times with other seeds, and ask whether the
            recorded scores are such as come out. Goes with `full`.
        strict: Take for findings what an honest run may show too: other line endings in a data file, packages that
            differ here by now, code that changed while the run went on, interruptions.
        key: Public key of whoever should have signed the run.
        on_step: Hears of every step that was done again, with the last one.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: There is no such run, or it has not done these steps (FTC535).
    """
    from ftc.verbs.hosted.audit import audit_hosted
    from ftc.verbs.hosted.found import hosted_folder

    if not isinstance(run, Run) and (hosted := hosted_folder(str(run), folder)) is not None:
        return audit_hosted(hosted, level)
    from ftc.verbs.audit import Asked, audit_run

    found = run if isinstance(run, Run) else find_run(str(run), folder)
    asked = Asked(level, first, last, steps, threads, force, seeds, strict, None if key is None else Path(key))
    return audit_run(found, asked, on_step or (lambda step, last: None))
