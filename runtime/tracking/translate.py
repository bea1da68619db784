"""Events and documents of a run as the names and values that trackers take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ftc.runtime.tracking.backend import About, Point, SentFile
from ftc.spec.documents.events import Evaluated, Event, PhaseEnded, StepDone
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.prompted import PromptedResult
from ftc.spec.documents.record import Evaluation, RunRecord, SubjectResult
from ftc.spec.storage.paths import RunFolder
from ftc.spec.trackers import Artifact

__all__ = ["Translator", "about", "result_points", "result_tags", "sent_files"]


@dataclass(slots=True)
class Translator:
    """Turns events into values. Steps that are done again after a resume, with the same numbers, are sent once.

    Attributes:
        clock: Time of the next event, in seconds since 1970, as far as an event doesn't say it itself.
    """

    clock: float
    _sent: dict[tuple[str, int], tuple[float | None, ...]] = field(default_factory=dict)

    def points(self, event: Event) -> tuple[Point, ...]:
        """The values of an event; most have none."""
        if event.time:
            self.clock = datetime.fromisoformat(event.time).timestamp()
        elif isinstance(event, StepDone | Evaluated) or (isinstance(event, PhaseEnded) and event.phase != "train"):
            self.clock += event.seconds
        known: tuple[float | None, ...]
        if isinstance(event, StepDone):
            values = _step_values(event)
            known = (event.loss, event.grad_norm, event.learning_rate)
        elif isinstance(event, Evaluated):
            values = {f"validation/{name.removeprefix('val_')}": value for name, value in event.metrics.items()}
            known = tuple(values.values())
        else:
            return ()
        key = (event.kind, event.step)
        if self._sent.get(key) == known:
            return ()
        self._sent[key] = known
        return tuple(Point(name, event.step, self.clock, value) for name, value in values.items())


def _step_values(event: StepDone) -> dict[str, float]:
    values = {
        "train/loss": event.loss,
        "train/learning_rate": event.learning_rate,
        "train/epoch": event.epoch,
        "train/step_seconds": event.seconds,
    }
    if event.grad_norm is not None:
        values["train/grad_norm"] = event.grad_norm
    if event.loss_scale is not None:
        values |= {"train/loss_scale": event.loss_scale, "train/skipped": float(event.is_skipped)}
    if event.seconds > 0:
        values["train/tokens_per_second"] = event.tokens / event.seconds
    if (own := event.own_answers) is not None:
        values |= {f"sampled/{name}": float(value) for name, value in own.model_dump().items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def about(plan: Plan, record: RunRecord, folder: Path, root: Path) -> About:
    """The run as it is sent to a tracker."""
    return About(
        plan=plan,
        folder=folder,
        root=root,
        parameters=dict(_flat(plan.settings.to_json())),
        tags={
            "ftc.run_id": record.id,
            "ftc.recipe": plan.recipe_file,
            "ftc.plan_sha256": plan.sha256,
            "ftc.job_sha256": plan.job_sha256(),
            "ftc.lock_sha256": plan.lock.digest(),
            "ftc.version": plan.ftc_version,
            "ftc.base": plan.model.name,
            "ftc.device": plan.device.name,
        },
        started=_started(record),
    )


def _started(record: RunRecord) -> float:
    return datetime.fromisoformat(record.segments[0].started_at).timestamp() if record.segments else time.time()


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """A document's values by dotted name; lists and what is nobody's stay whole."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    elif value is not None:
        yield prefix, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def result_tags(record: RunRecord) -> dict[str, str]:
    """What identifies the result."""
    found = {
        "ftc.status": record.status,
        "ftc.record_sha256": record.sha256,
        "ftc.determinism": record.determinism.level,
        "ftc.initial_weights_sha256": record.initial_weights_sha256,
        "ftc.weights_sha256": record.final_weights_sha256,
    }
    return {name: value for name, value in found.items() if value is not None}


def result_points(record: RunRecord, evaluation: Evaluation | None) -> tuple[Point, ...]:
    """Figures of the whole run: the test split with intervals, gates, time and memory."""
    ended = next((one.ended_at for one in reversed(record.segments) if one.ended_at), None)
    at = datetime.fromisoformat(ended).timestamp() if ended else _started(record)
    known = {"run/train_seconds": record.train_seconds, "run/tokens": record.tokens}
    values = {name: float(value) for name, value in known.items() if value is not None}
    if record.peak_memory_bytes is not None:
        values["system/peak_memory_bytes"] = float(record.peak_memory_bytes)
    if evaluation is not None:
        values |= dict(_subject("tuned", evaluation.tuned))
        values |= dict(_subject("base", evaluation.base)) if evaluation.base else {}
        for one in evaluation.prompted:
            values |= dict(_subject(one.name, one))
        values |= {f"test/gain/{name}": gain.value for name, gain in evaluation.gains.items()}
        values |= {f"gates/{gate.metric}": float(gate.passed) for gate in evaluation.gates}
    return tuple(Point(name, record.steps_done, at, value) for name, value in values.items() if math.isfinite(value))


def _subject(name: str, result: SubjectResult | PromptedResult) -> Iterator[tuple[str, float]]:
    for metric, value in result.metrics.items():
        yield f"test/{name}/{metric}", value
    for metric, interval in result.intervals.items():
        if interval is not None:
            yield f"test/{name}/{metric}.low", interval.low
            yield f"test/{name}/{metric}.high", interval.high


def sent_files(folder: RunFolder, asked: Iterable[Artifact]) -> tuple[SentFile, ...]:
    """The files that are sent, as far as the run has them."""
    groups: Mapping[Artifact, tuple[Path, ...]] = {
        "documents": (folder.recipe, folder.recipe_lock, folder.plan, folder.record, folder.evaluation, folder.card),
        "report": (folder.report,),
        "weights": tuple(sorted(one for top in (folder.adapter, folder.model) for one in top.rglob("*"))),
    }
    found = (one for group in dict.fromkeys(asked) for one in groups[group] if one.is_file() and not one.is_symlink())
    return tuple(
        SentFile("" if one.parent == folder.path else one.parent.relative_to(folder.path).as_posix(), one)
        for one in found
    )
