"""What a run measured on validation, beside the choice that it made by that and that its checkpoints keep."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ftc.compiler.audit.tally import difference
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.events import Event, without_repeats
from ftc.spec.documents.selection import Selection
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.storage.checkpoint_tensors import STATE
from ftc.spec.storage.paths import RunFolder, step_of
from ftc.spec.storage.reading import parse_json

__all__ = ["check_validations"]


def check_validations(
    train: TrainSettings, run: RunFolder, events: Sequence[Event], known: Collection[Path]
) -> Iterator[Finding]:
    """Each evaluation is called the best if its value is, and each checkpoint holds the best value until then.

    Args:
        train: The plan's settings.
        run: The run's folder.
        events: What the run said, of every step.
        known: Files in the folder whose bytes are those that the record names.
    """
    told, selection = dict[int, Selection](), Selection()
    for one in without_repeats(events)[1]:
        subject = f"events.ndjson, evaluation of step {one.step}"
        try:
            selection = selection.after(one.step, one.metrics, train)
        except KeyError:
            yield from difference(f"{subject}: {train.select_metric}", "no value", "a value", "plan.json")
            return
        told[one.step] = selection
        yield from difference(f"{subject}: best", one.best, selection.best_step == one.step, "its metrics")
    for folder in sorted(run.checkpoints.glob("step-*")):
        step, file = step_of(folder), folder / STATE
        if step is None or file not in known:
            continue
        until = [one for at, one in told.items() if at <= step]
        try:
            kept = Selection.model_validate_json(json.dumps(parse_json(file.read_bytes())["progress"]["selection"]))
        except (ValueError, LookupError, TypeError):
            subject = f"{folder.name}/{STATE}: progress.selection"
            yield from difference(subject, "no choice", "a choice", "events.ndjson")
            continue
        ought = until[-1] if until else Selection()
        for name in ("best_step", "best_value"):
            subject = f"events.ndjson: {name} until step {step}"
            yield from difference(subject, getattr(ought, name), getattr(kept, name), f"{folder.name}/{STATE}")
