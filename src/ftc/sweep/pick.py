"""The chosen trial's values in the recipe: comments kept, the lock renewed, and the test split evaluated once."""

from __future__ import annotations

from ftc import api
from ftc.api import Run
from ftc.compiler.recipes.edits import edit_of, with_fixes
from ftc.spec.diagnostics import Diagnostic, Fix, Refusal, diagnostic
from ftc.spec.documents.events import EventListener
from ftc.spec.documents.sweep import Value
from ftc.spec.language.source import read_source
from ftc.spec.storage.atomic_write import rewrite_file
from ftc.sweep.files import SweepFile
from ftc.sweep.results import best_of
from ftc.sweep.study import Study, Trial

__all__ = ["chosen_trial", "write_into"]


def chosen_trial(file: SweepFile, study: Study, number: int | None) -> Trial:
    """The trial of a number, or the best one.

    Raises:
        Refusal: There is no complete trial, or not of that number, or nothing is searched (FTC588).
    """
    if file.sweep.kind != "search":
        summary = f"sweep `{file.name}` measures the recipe, and searches no settings"
        help = f"`ftc sweep show {file.path}` shows what it measured"
        raise Refusal([diagnostic("FTC588", summary, help=help)])
    trials = study.trials
    complete = [one for one in trials if one.state == "complete" and number in (None, one.number)]
    if not complete:
        summary = "no trial has run to its end" if number is None else f"trial {number} has not run to its end"
        help = f"`ftc sweep show {file.path}` shows all trials"
        raise Refusal([diagnostic("FTC588", summary, help=help)])
    return complete[0] if number is not None else best_of(file.sweep, trials)[0]


def write_into(file: SweepFile, trial: Trial, listen: EventListener, *, offline: bool) -> Run:
    """Writes a trial's values into the recipe, renews the lock and evaluates the trial's run on the test split.

    Raises:
        Refusal: A value stands in a file that the recipe extends, or the recipe can't be planned with it.
        OSError: The recipe can't be written.
    """
    text = file.recipe.read_text(encoding="utf-8")
    for path, value in trial.point.items():
        text = _with_value(file, text, path, value)
    rewrite_file(file.recipe, text.encode())
    return api.apply(api.plan(file.recipe, offline=offline), on_event=listen, offline=offline)


def _with_value(file: SweepFile, text: str, path: str, value: Value) -> str:
    source, found = read_source(text, file.recipe.name)
    if source is None:
        raise Refusal(found)
    edit = edit_of(source, path, value)
    if edit is None:
        help = f"write `{path}: {value}` there by hand"
        raise Refusal([diagnostic("FTC588", f"`{path}` is in a file that the recipe extends", help=help)])
    changed, made = with_fixes(text, source.file, [_as_finding(Fix(f"set {path}", (edit,), safe=True))])
    assert made, "one edit meets no other"
    return changed


def _as_finding(fix: Fix) -> Diagnostic:
    return diagnostic("FTC588", fix.title, fixes=[fix])
