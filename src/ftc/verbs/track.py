"""Reports runs to experiment trackers: which a recipe asks for, and `ftc run track`, when a run is over or left."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.trackers import (
    TRACKERS,
    TensorBoard,
    Track,
    TrackerCard,
    TrackerKeys,
    asked_trackers,
    tracker_card,
)

if TYPE_CHECKING:
    from ftc.compiler.pipeline import Compiled
    from ftc.verbs.plan import Planned
    from ftc.verbs.runs import Run

__all__ = ["Target", "TrackedRun", "servable", "target_of", "track", "track_in", "tracked_by"]

_WAIT_SECONDS = 1.0


class Target(NamedTuple):
    """A tracker with its keys."""

    card: TrackerCard
    keys: TrackerKeys


class TrackedRun(NamedTuple):
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


def servable(compiled: Compiled, root: Path) -> Compiled:
    """What was compiled; it is refused where a tracker could not register the model in the end, as the recipe asks.

    Raises:
        Refusal: FTC732.
    """
    for card, keys in asked_trackers(compiled.track) if compiled.track is not None else ():
        if keys.model_name is not None:
            from ftc.verbs.register import refuse_to_register  # few recipes ask for it

            refuse_to_register(compiled.plan, root, card, f"track.{card.name}.registered_model")
    return compiled


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
        register: Name under which the model is registered besides, with its base, so that the tracker can serve it;
            what the recipe says where left out, if the run passed its gates. Where that can't be, `where` says why.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        ValueError: There is no such tracker or place, or a model can't have this name.
        Refusal: There is no such run, the tracker's package is missing (FTC650), event files can't be written to the
            place (FTC731), the tracker did not take the run (FTC730), or the model can't be registered (FTC732).
    """
    from ftc.verbs.predict import usable_inputs
    from ftc.verbs.register import refuse_name, refuse_to_register, registered
    from ftc.verbs.runs import Run, find_run

    run = run if isinstance(run, Run) else find_run(str(run), folder)
    target = target_of(to, run)
    unfit, is_said = "", register is not None
    if register is not None:
        refuse_name(register)
    elif run.record.status == "finished":
        register = target.keys.model_name
    if register is not None:
        try:
            refuse_to_register(run.plan, run.root, target.card)
            usable_inputs(run)
        except Refusal as refusal:
            if is_said:
                raise
            why = "; ".join((refusal.diagnostics[0].summary, *refusal.diagnostics[0].notes))
            unfit = f"`{register}` is not registered: {why}"
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
        where = f"{where}\n{unfit or registered(run, target.card, target.keys, register)}"
    return TrackedRun(run, target, reporters.sent[target.card.name], where)
