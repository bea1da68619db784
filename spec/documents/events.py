"""What a run says while it goes: data, one line of `events.ndjson` each; views turn them into pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ftc.spec.base import Document, Real, SparseDocument
from ftc.spec.documents.interruption import StopKind
from ftc.spec.storage.reading import parse_json, read_regular

__all__ = [
    "CheckpointSaved",
    "EarlyStopped",
    "Evaluated",
    "Event",
    "EventListener",
    "Noticed",
    "Part",
    "PhaseEnded",
    "PhaseStarted",
    "Registered",
    "Registering",
    "Resumed",
    "RunEnded",
    "RunStarted",
    "SampledStep",
    "StepDone",
    "StopRequested",
    "TestProgress",
    "WrittenStep",
    "read_events",
    "strange_lines",
    "without_repeats",
]

Part = Literal[
    "verify",
    "prove",
    "load",
    "reference",
    "serve",
    "train",
    "export",
    "merge",
    "compare",
    "evaluate",
    "judge",
    "grade",
    "predict",
]
"""A part of a run as its events call it."""


class _Event(SparseDocument):
    """What every event has."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("time",)

    time: str = ""
    """When it was written, in UTC (ISO 8601); empty in what isn't written, and in runs of earlier releases."""


class RunStarted(_Event):
    """The run's folder is there and locked."""

    kind: Literal["run_started"] = "run_started"
    run_id: str
    folder: str
    """Relative to the project root."""
    num_steps: int


class PhaseStarted(_Event):
    """A step of the plan begins."""

    kind: Literal["phase_started"] = "phase_started"
    phase: Part
    detail: str


class PhaseEnded(_Event):
    """A step of the plan is done."""

    kind: Literal["phase_ended"] = "phase_ended"
    phase: Part
    detail: str
    seconds: Real


class Resumed(_Event):
    """Training goes on from a checkpoint; steps after it, heard of before, are done again and don't count."""

    kind: Literal["resumed"] = "resumed"
    step: int


class WrittenStep(Document):
    """The answers of one optimizer step that the model wrote itself."""

    answers: int
    length: Real
    """Mean of their tokens."""
    ended: Real
    """Share of them that the model ended itself, rather than being cut off."""
    seconds: Real
    """Time that writing took."""


class SampledStep(WrittenStep, SparseDocument):
    """The same, with what they earned."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("log_prob_gap", "capped")

    reward: Real
    """Mean of their rewards."""
    correct: Real
    """Share of them that is correct."""
    even_groups: Real
    """Share of the groups whose answers all earned the same, which teach nothing."""
    log_prob_gap: Real | None = None
    """Mean over their tokens of how far the log-probabilities of server and trainer lie apart; absent where the run
    itself wrote them."""
    capped: Real | None = None
    """Share of their tokens whose importance was cut to `importance_cap`; absent where none is weighted."""


class StepDone(_Event):
    """One optimizer step."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("sampled", "written", "loss_scale")

    kind: Literal["step"] = "step"
    step: int
    """Steps done, from 1."""
    epoch: Real
    loss: Real
    """Mean over the step's supervised tokens (rows, for a classification), before the update."""
    learning_rate: Real
    grad_norm: Real | None
    """Before clipping; None where a gradient overflowed, so that the step was skipped."""
    tokens: int
    supervised: int
    seconds: Real
    batch_sha256: str = ""
    """Digest of what this process fed to the model; see `ftc.spec.documents.step_log`."""
    sampled: SampledStep | None = None
    """What the model's own answers earned; absent where answers earn nothing."""
    written: WrittenStep | None = None
    """The model's own answers where they earn nothing; absent where rows alone are trained on."""
    loss_scale: Real | None = None
    """What the loss was multiplied by in this step; absent where losses are not scaled."""

    @property
    def own_answers(self) -> WrittenStep | None:
        """The model's own answers, whether they earn something or not; None where rows alone are trained on."""
        return self.sampled or self.written

    @property
    def is_skipped(self) -> bool:
        """Whether a gradient overflowed, so that no weight changed."""
        return self.grad_norm is None


class Evaluated(_Event):
    """A look at the validation split."""

    kind: Literal["evaluated"] = "evaluated"
    step: int
    metrics: dict[str, Real]
    """`val_loss` and others."""
    best: bool
    seconds: Real


class CheckpointSaved(_Event):
    """A checkpoint is complete on disk."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int


class Noticed(_Event):
    """Something that doesn't stop the run and that people should know."""

    kind: Literal["noticed"] = "noticed"
    code: str
    """Code of the finding."""
    text: str


class Registering(_Event):
    """A tracker is given the model of a run that is over, a large one for minutes. Told, as `Registered` is."""

    kind: Literal["registering"] = "registering"
    tracker: str
    """What people call it."""
    model: str
    """Name of the model."""


class Registered(_Event):
    """A tracker has the model of a run that is over. Told, but not written to `events.ndjson`."""

    kind: Literal["registered"] = "registered"
    tracker: str
    """What people call it."""
    version: str
    """The model with its version, in words."""


class StopRequested(_Event):
    """Somebody asked the run to stop; it will, at the next safe place. Told, but not written to `events.ndjson`."""

    kind: Literal["stop_requested"] = "stop_requested"
    signal: int
    """Number of the signal that asked for it."""


class EarlyStopped(_Event):
    """Validation no longer gets better."""

    kind: Literal["early_stopped"] = "early_stopped"
    step: int
    reason: str


class TestProgress(_Event):
    """Rows of the test split that are done for one model."""

    kind: Literal["test_progress"] = "test_progress"
    subject: str
    """`base`, `tuned`, or the name of a prompt baseline."""
    done: int
    rows: int


class RunEnded(_Event):
    """The run is over, for now."""

    kind: Literal["run_ended"] = "run_ended"
    status: StopKind | Literal["failed", "finished", "gate_failed"]
    detail: str


Event = Annotated[
    RunStarted
    | PhaseStarted
    | PhaseEnded
    | Resumed
    | StepDone
    | Evaluated
    | CheckpointSaved
    | EarlyStopped
    | Noticed
    | StopRequested
    | Registering
    | Registered
    | TestProgress
    | RunEnded,
    Field(discriminator="kind"),
]

EventListener = Callable[[Event], None]
"""Anything that wants to hear of events: a log, a progress bar."""


def read_events(file: Path) -> tuple[Event, ...]:
    """What a run said, in order; a last line that a crash cut off is left out, and so is a file that isn't there."""
    reader: TypeAdapter[Event] = TypeAdapter(Event)
    found: list[Event] = []
    for line in read_regular(file).splitlines() if file.exists() else ():
        try:
            found.append(reader.validate_json(line))
        except ValidationError:
            continue
    return tuple(found)


def strange_lines(file: Path) -> tuple[int, ...]:
    """Numbers of lines that are JSON and no event: a crash tears lines, and leaves no such one."""
    reader: TypeAdapter[Event] = TypeAdapter(Event)
    found = []
    for number, line in enumerate(read_regular(file).splitlines(), 1):
        try:
            reader.validate_json(line)
        except ValidationError:
            with suppress(ValueError):
                parse_json(line)
                found.append(number)
    return tuple(found)


def without_repeats(events: Iterable[Event]) -> tuple[tuple[StepDone, ...], tuple[Evaluated, ...]]:
    """Steps and evaluations on validation in their order; what was done again after a resume counts as done last."""
    steps: dict[int, StepDone] = {}
    evaluations: dict[int, Evaluated] = {}
    for event in events:
        match event:
            case StepDone():
                steps[event.step] = event
            case Evaluated():
                evaluations[event.step] = event
            case Resumed():
                steps = {step: done for step, done in steps.items() if step <= event.step}
                evaluations = {step: one for step, one in evaluations.items() if step <= event.step}
            case _:
                pass
    return tuple(steps[step] for step in sorted(steps)), tuple(evaluations[step] for step in sorted(evaluations))
