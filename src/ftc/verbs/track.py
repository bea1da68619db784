"""Reports runs to experiment trackers: which a recipe asks for, and `ftc run track`, when a run is over or left."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.trackers import (
    TRACKERS,
    MLflow,
    TensorBoard,
    Track,
    TrackerCard,
    TrackerKeys,
    asked_trackers,
    tracker_card,
)

if TYPE_CHECKING:
    from ftc.verbs.plan import Planned
    from ftc.verbs.runs import Run

__all__ = ["Target", "TrackedRun", "target_of", "track", "track_in", "tracked_by"]

_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """A tracker with its keys."""

    card: TrackerCard
    keys: TrackerKeys


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What `ftc run track` did.

    Attributes:
        run: The run.
        target: The tracker.
        values: Values by step that it took.
        where: Where the run is found, in words.
    """

    run: Run
    target: Target
    values: int
    where: str


def target_of(text: str, run: Run) -> Target:
    """The tracker that `NAME` or `NAME:PLACE` means; the place is its card's `place`.

    What isn't said is taken from `track` in the run's recipe as it is now, else from the defaults.

    Raises:
        ValueError: There is no such tracker, or the place is none.
        Refusal: Event files can't be written to the place (FTC731).
    """
    from pydantic import ValidationError

    from ftc.compiler.rules.track_rules import unusable_folder

    name, has_place, place = text.partition(":")
    card = tracker_card(name)
    if card is None:
        raise ValueError(f"there is no tracker `{name}`; there are {', '.join(one.name for one in TRACKERS)}")
    try:
        said = {card.place: place} if has_place else {}
        track = track_in(run.root / run.plan.recipe_file)
        known = getattr(track, card.name) if track is not None else None
        keys = card.keys.model_validate({**(known.model_dump() if known else {}), **said})
    except ValidationError:
        raise ValueError(f"`{place}` is no {card.place} of {card.title}") from None
    if isinstance(keys, TensorBoard) and (finding := unusable_folder(keys)):
        raise Refusal([finding])
    return Target(card, keys)


def track_in(file: Path) -> Track | None:
    """What a recipe's file asks for; None where there is no valid recipe."""
    from ftc.verbs.text import validate

    recipe = validate(file).recipe if file.is_file() else None
    return recipe.track if recipe is not None else None


def tracked_by(planned: Planned) -> tuple[tuple[TrackerCard, TrackerKeys], ...]:
    """The trackers that a planned recipe asks for.

    Raises:
        Refusal: A tracker's package is missing (FTC650): a run of hours should not begin without it.
    """
    asked = asked_trackers(planned.compiled.track) if planned.compiled.track else ()
    for card, _ in asked:
        _need(card, f"; or remove `track.{card.name}`")
    return asked


def _need(card: TrackerCard, otherwise: str = "") -> None:
    if find_spec(card.package) is None:
        summary, note = f"{card.title} needs a package", f"`{card.package}` is not installed"
        help = f"`pip install 'ftc[{card.name}]'` installs it{otherwise}"
        raise Refusal([diagnostic("FTC650", summary, notes=note, help=help)])


def track(
    run: Run | Path | str, to: str, *, weights: bool = False, register: str | None = None, folder: Path | str = "."
) -> TrackedRun:
    """Sends a run to a tracker. What it has already heard of the run is not there twice afterwards.

    Args:
        run: The run in whatever state, its folder, its id or the beginning of that, or its recipe's name.
        to: The tracker, such as `mlflow`, also with a place: `mlflow:sqlite:///mlflow.db`.
        weights: Send the adapter or model too.
        register: Name under which the model is registered besides, with its base, so that the tracker can serve it.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        ValueError: There is no such tracker or place.
        Refusal: There is no such run, the tracker's package is missing (FTC650), event files can't be written to the
            place (FTC731), the tracker did not take the run (FTC730), or the model can't be registered (FTC732).
    """
    from ftc.verbs.runs import Run, find_run

    run = run if isinstance(run, Run) else find_run(str(run), folder)
    target = target_of(to, run)
    columns = _registered_columns(run, target.card) if register is not None else ()
    _need(target.card)
    from ftc.runtime.tracking.reporters import Reporters
    from ftc.spec.storage.paths import RunFolder

    keys = target.keys
    if weights:
        keys = keys.model_copy(update={"artifacts": tuple(dict.fromkeys((*keys.artifacts, "weights")))})
    reporters = Reporters(((target.card, keys),), run.root, RunFolder(run.folder))
    reporters.begin(live=False)
    try:
        reporters.ask_for_all()
        while not reporters.wait(_WAIT_SECONDS):  # a wait without end would not hear Ctrl-C on Windows
            pass
    finally:
        problems = reporters.finish(0.0)
    if problems:
        raise Refusal(problems)
    where = reporters.places[0][1]
    if register is not None:
        where = f"{where}\n{_registered(run, target.keys, register, columns)}"
    return TrackedRun(run, target, reporters.sent[target.card.name], where)


def _registered_columns(run: Run, card: TrackerCard) -> tuple[str, ...]:
    """Columns of the registered model's rows.

    Raises:
        Refusal: The tracker has no registry, or rows are no plain texts (FTC732), or the run has no model here
            (FTC687).
    """
    from ftc.compiler.tokens.unlabeled_rows import plain_inputs
    from ftc.verbs.predict import usable_inputs

    usable_inputs(run)
    columns = plain_inputs(run.plan)
    summary = help = ""
    if not card.has_registry:
        names = ", ".join(f"`{one.name}`" for one in TRACKERS if one.has_registry)
        summary, help = f"{card.title} has no registry of models", f"use {names}, or remove `--register`"
    elif columns is None:
        kind = run.plan.recipe.task.kind.replace("_", " ")
        summary, help = (
            f"rows of a {kind} task are more than texts",
            "serve the model with `ftc chat` or a merged folder",
        )
    if summary or columns is None:
        raise Refusal([diagnostic("FTC732", summary, help=help)])
    return columns


def _registered(run: Run, keys: TrackerKeys, name: str, columns: tuple[str, ...]) -> str:
    """Registers the run as a project that holds nothing but the run and its base model."""
    from ftc.runtime.tracking.mlflow import register_model
    from ftc.verbs.predict import usable_inputs

    assert isinstance(keys, MLflow), "its card says that it has a registry"
    plan, record = run.plan, run.record
    with tempfile.TemporaryDirectory(prefix="ftc-model-") as scratch, contextlib.chdir(run.root):
        project = Path(scratch) / "project"
        place = project / "runs" / plan.name / record.id
        (project / ".ftc").mkdir(parents=True)
        (project / ".ftc" / "README").write_text("A run of ftc, for MLflow.\n", encoding="utf-8")
        (project / plan.recipe_file).parent.mkdir(parents=True, exist_ok=True)
        sent = [one for one in record.outputs if len(Path(one).parts) > 1]  # weights; rows and pages stay here
        for one in ("plan.json", "record.json", *sent):
            (place / one).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.folder / one, place / one)
        if plan.lock.model.commit is None:
            base = usable_inputs(run).model_folder.resolve()
            if not base.is_relative_to(run.root.resolve()):
                help = "put it into the project, and train again"
                raise Refusal([diagnostic("FTC732", "the base model lies outside of the project", help=help)])
            shutil.copytree(base, project / base.relative_to(run.root.resolve()))
        code = Path(__file__).with_name("registered_model.py")
        return register_model(keys, keys.experiment or plan.name, record, name, project, code, columns)
