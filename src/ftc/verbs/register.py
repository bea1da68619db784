"""A finished run's model in a tracker's registry, with its base model, so that the tracker's own server answers for it.

`ftc run track --register` and `track.mlflow.registered_model` both come here.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.events import EventListener, Noticed, Registered, Registering
from ftc.spec.trackers import MODEL_NAME, MODEL_NAME_RULE, TRACKERS, TrackerCard, TrackerKeys

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan
    from ftc.verbs.runs import Run

__all__ = ["refuse_name", "refuse_to_register", "register_asked", "registered"]


def refuse_name(name: str) -> None:
    """Refuses what no model may be called.

    Raises:
        ValueError: It would be read otherwise in an address or a query of the registry.
    """
    if not re.fullmatch(MODEL_NAME, name):
        raise ValueError(f"`{name}` is no name of a model: {MODEL_NAME_RULE}")


def refuse_to_register(plan: Plan, root: Path, card: TrackerCard, path: str | None = None) -> None:
    """Refuses what can't be served from a registry, as far as a plan tells.

    Args:
        plan: Of the run.
        root: The project.
        card: The tracker.
        path: Where the recipe asks for it; None where the command line does.

    Raises:
        Refusal: The tracker has no registry, rows are no plain texts, or the base model lies outside of the project
            (FTC732).
    """
    from ftc.compiler.audit.locate import model_folder
    from ftc.compiler.tokens.row_inputs import plain_inputs

    summary = help = ""
    if not card.has_registry:
        names = ", ".join(f"`{one.name}`" for one in TRACKERS if one.has_registry)
        summary, help = f"{card.title} has no registry of models", f"use {names}"
    elif plain_inputs(plan) is None:
        summary = f"rows of a {plan.recipe.task.kind.replace('_', ' ')} task are more than texts"
        help = "serve the model with `ftc chat` or a merged folder instead"
    elif plan.lock.model.commit is None:
        base = model_folder(plan, root)
        if base is not None and not base.resolve().is_relative_to(root.resolve()):
            summary, help = "the base model lies outside of the project", "put it into the project, and train again"
    if summary:
        otherwise = f"remove `{'--register' if path is None else path.rpartition('.')[2]}`"
        raise Refusal([diagnostic("FTC732", summary, help=f"{help}, or {otherwise}", path=path)])


def register_asked(
    run: Run, asked: Iterable[tuple[TrackerCard, TrackerKeys]], reached: Container[str], listen: EventListener
) -> None:
    """Registers a run's model where its recipe asks for it; a problem is reported, and the run stays as it is.

    A run that failed a gate registers nothing: what serves the newest version would serve it.

    Args:
        run: The run, which is over.
        asked: The trackers that it was reported to.
        reached: Titles of the trackers that took all of the run.
        listen: Hears what came of it.
    """
    for card, keys in asked:
        if keys.model_name is None or not run.record.is_finished:
            continue
        if run.record.status == "gate_failed":
            text = f"`{keys.model_name}` is not registered: the run has failed a gate"
            listen(Noticed(code="FTC732", text=text))
        elif card.title in reached:
            listen(Registering(tracker=card.title, model=keys.model_name))
            try:
                listen(Registered(tracker=card.title, version=registered(run, card, keys, keys.model_name)))
            except Refusal as refusal:
                listen(Noticed(code=refusal.diagnostics[0].code, text=refusal.diagnostics[0].summary))
            except OSError as error:  # no room for the base model's copy
                text = f"{card.title} has not registered the model: {error.strerror or error}"
                listen(Noticed(code="FTC730", text=text))


def registered(run: Run, card: TrackerCard, keys: TrackerKeys, name: str) -> str:
    """Registers the run as a project that holds nothing but the run and its base model; gives the version in words.

    A run that has a version of this name keeps it.

    Raises:
        Refusal: The tracker did not take it (FTC730), or the base model isn't here (FTC687).
    """
    from ftc.compiler.tokens.row_inputs import plain_inputs
    from ftc.runtime.tracking.registry import register
    from ftc.spec.documents.tracking import RegistryJob

    with tempfile.TemporaryDirectory(prefix="ftc-model-") as scratch:
        answer = register(
            RegistryJob(
                tracker=card.name,
                keys=json.loads(keys.model_dump_json()),
                plan_name=run.plan.name,
                folder=str(run.folder.absolute()),
                name=name,
                project=str(_project(run, Path(scratch) / "project")),
                code=str(Path(__file__).with_name("registered_model.py")),
                columns=plain_inputs(run.plan) or (),
                answer=str(Path(scratch) / "answer.json"),
            ),
            run.root,
        )
    if answer.problem:
        again = f"`ftc run track {run.record.id} --to {card.name} --register {name}`"
        summary = f"{card.title} has not registered the model: {answer.problem}"
        help = f"once the tracker works, {again} registers it"
        raise Refusal([diagnostic("FTC730", summary, notes="the run is not affected", help=help)])
    return answer.version


def _project(run: Run, project: Path) -> Path:
    """A project with the run's weights and documents and its base model; rows and pages stay here."""
    from ftc.verbs.predict import usable_inputs

    plan, record = run.plan, run.record
    place = project / "runs" / plan.name / record.id
    (project / ".ftc").mkdir(parents=True)
    (project / ".ftc" / "README").write_text("A run of ftc, for MLflow.\n", encoding="utf-8")
    (project / plan.recipe_file).parent.mkdir(parents=True, exist_ok=True)
    sent = [one for one in record.outputs if len(Path(one).parts) > 1]
    for one in ("plan.json", "record.json", *sent):
        (place / one).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.folder / one, place / one)
    if plan.lock.model.commit is None:
        base = usable_inputs(run).model_folder.resolve()
        shutil.copytree(base, project / base.relative_to(run.root.resolve()))
    return project
