"""A project's run folders by the names that people give runs: looked up and read, never guessed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.reading import LARGEST_DOCUMENT, read_regular

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ftc.spec.base import Document
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import RunRecord

__all__ = ["is_left_trial", "named_run", "read_document", "recorded_runs", "unreadable"]

AnyDocument = TypeVar("AnyDocument", bound="Document")


def recorded_runs(root: Path) -> list[Path]:
    """Folders with a record below a project's runs.

    Raises:
        OSError: The folder of all runs is there and can't be listed; a pattern alone would find nothing in it.
    """
    place = root / "runs"
    if not place.is_dir():
        return []
    next(place.iterdir(), None)
    return [folder for folder in place.glob("*/*") if os.path.lexists(folder / "record.json")]


def named_run(text: str, root: Path, newest: Callable[[list[Path]], Path]) -> Path:
    """A run's folder by its id or the beginning of that, or the newest one of a recipe by the recipe's name.

    Args:
        text: The name.
        root: The project's root.
        newest: Picks one of the runs of a recipe.

    Raises:
        Refusal: There is none, or there are several (FTC520).
    """
    folders = recorded_runs(root)
    matches = [found for found in folders if found.name == text]
    if not matches and (named := [found for found in folders if found.parent.name == text]):
        return newest(named)
    matches = matches or sorted(found for found in folders if text and found.name.startswith(text))
    if len(matches) == 1:
        return matches[0]
    notes = [f"{found.name} of {found.parent.name}" for found in matches[:5]]
    summary = f"several runs start with `{text}`" if matches else f"no run `{text}` in this project"
    raise Refusal([diagnostic("FTC520", summary, help=_instead(text, bool(folders)), notes=notes)])


def is_left_trial(plan: Plan, record: RunRecord) -> bool:
    """Whether a run is one of the recipe's variations and ended before its test split, as trials of a sweep do.

    The recipe's name means such a run only where it has no other: a trial that was picked goes on and is finished, and
    the recipe's own values are no variation.
    """
    is_trained = record.status == "paused" and record.final_weights_sha256 is not None
    return bool(plan.overrides) and (is_trained or record.status == "pruned")


def _instead(text: str, has_runs: bool) -> str:
    """What helps somebody who named no run."""
    if Path(text).suffix in (".yaml", ".yml"):
        return f"`ftc plan {text}` shows the plan of a recipe; runs are named by id or folder"
    if text and os.path.isdir(text) and has_runs:  # noqa: PTH112 - a path refuses names that are too long
        return "the folder has no record; `ftc run list` lists the runs of this project"
    return "`ftc run list` lists them" if has_runs else "there are no runs yet; `ftc apply RECIPE` starts one"


def read_document(file: Path, kind: type[AnyDocument]) -> AnyDocument:
    """A document of a run's folder.

    Raises:
        Refusal: It can't be read (FTC524).
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate_json(read_regular(file, LARGEST_DOCUMENT))
    except (ValidationError, OSError) as problem:
        raise unreadable(file, problem) from None


def unreadable(file: Path, problem: ValidationError | OSError) -> Refusal:
    """What is said of a document that can't be read (FTC524)."""
    from ftc.spec.storage.outputs import reason_of

    summary = f"`{file.name}` of run `{file.parent.name}` can't be read"
    help = "restore the file from a copy, or move the run's folder away"
    return Refusal([diagnostic("FTC524", summary, help=help, notes=reason_of(problem))])
