"""How long each phase of a run takes: arithmetic by a roofline, files and libraries by their sizes, or as before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ftc.compiler.budget.calibrated import calibrated_speed
from ftc.compiler.budget.run_work import RunWork, evaluations
from ftc.compiler.budget.speed import DeviceSpeed, by_data_sheet, narrowed, scale_only, seconds_for
from ftc.compiler.draft import Draft, PastRun
from ftc.compiler.trainable import num_trainable, result_bytes
from ftc.spec.facts import ModelFacts
from ftc.spec.time import Phase, PhaseTime, SecondsRange

__all__ = ["RunTime", "job_speed", "run_time"]

_ALIKE, _OTHER = 0.15, 0.6
"""How far beyond earlier runs the next one may lie: of the same model and strategy, and of any other."""
_SHOWN_RUNS = 8
_IMPORT_SECONDS = SecondsRange(low=3.0, expected=8.0, high=40.0)
"""torch, transformers and peft, from a warm cache to a cold disk of the slow kind."""
_READ_RATE = (2e9, 0.7e9, 0.08e9)
"""Bytes a second of files that are hashed and then loaded."""
_WRITE_RATE = (1e9, 0.3e9, 0.04e9)
_SAVE_SECONDS = (0.01, 0.05, 0.5)
"""What a checkpoint costs beside its bytes: its files are made durable one by one."""


@dataclass(frozen=True, slots=True)
class RunTime:
    """Seconds by phase, and what they rest on.

    Attributes:
        phases: In the order in which they begin.
        speed: What the arithmetic rests on.
    """

    phases: tuple[PhaseTime, ...]
    speed: DeviceSpeed


def run_time(draft: Draft, work: RunWork) -> RunTime | None:
    """The time of a draft's run; None where nothing is known of its device's speed."""
    base, (alike, others) = _base(draft), _earlier(draft)
    speed = _known_speed(base, alike, others)
    if speed is None:
        return None
    exact = job_speed(replace(draft, values={**draft.values, "train.precision": "float32"})) or speed
    speeds: dict[Phase, DeviceSpeed] = {
        phase: exact if phase == "grade" else speed for phase in work.phases
    }  # a classifier is in float32
    phases = [*_files(draft, alike), *_arithmetic(work, speeds, alike, base or scale_only())]
    order: tuple[Phase, ...] = ("load", "prove", "reference", "train", "validate", "save", "evaluate", "grade")
    known = {phase.phase: phase for phase in phases}
    return RunTime(tuple(known[name] for name in order if name in known), speed)


def job_speed(draft: Draft) -> DeviceSpeed | None:
    """The speed of a draft's device at jobs of its kind, by the best source there is; None where there is none."""
    return _known_speed(_base(draft), *_earlier(draft))


def _known_speed(base: DeviceSpeed | None, alike: Sequence[PastRun], others: Sequence[PastRun]) -> DeviceSpeed | None:
    return _speed(base or scale_only(), alike, others) if base or alike or others else None


def _base(draft: Draft) -> DeviceSpeed | None:
    return calibrated_speed(draft) or by_data_sheet(draft.device, draft.values["train.precision"])


def _earlier(draft: Draft) -> tuple[list[PastRun], list[PastRun]]:
    """Runs of this device in this precision: those of the same model and strategy, and the others."""
    device, threads, precision = (
        draft.values[f"{name}"] for name in ("device.name", "device.threads", "train.precision")
    )
    here = [
        run
        for run in draft.past_runs
        if (run.device, run.precision) == (device, precision) and (run.threads == threads or draft.device.kind != "cpu")
    ]
    job = (draft.model.name, draft.recipe.strategy.kind)
    alike = [run for run in here if (run.model, run.strategy) == job and _tells_pace(run)]
    return alike[:_SHOWN_RUNS], [run for run in here if run not in alike and _tells_pace(run)][:_SHOWN_RUNS]


def _tells_pace(run: PastRun) -> bool:
    """Whether it is known what a run's training did and how long that took; older records don't say."""
    return "train" in run.work and run.seconds.get("train", 0.0) > 0


def _speed(base: DeviceSpeed, alike: Sequence[PastRun], others: Sequence[PastRun]) -> DeviceSpeed:
    if alike:
        return narrowed(base, _ratios(base, alike, "train"), _ALIKE, f"{_runs(alike)} of this model on this device")
    if others and base.source != "calibration":  # whole steps of small models were measured there already
        return narrowed(base, _ratios(base, others, "train"), _OTHER, f"{_runs(others)} of other models on this device")
    return base


def _ratios(base: DeviceSpeed, runs: Sequence[PastRun], phase: Phase) -> list[float]:
    """What runs took by the roofline's figure."""
    pairs = [(run.seconds.get(phase, 0.0), run.work.get(phase)) for run in runs]
    return [seconds / seconds_for(work, base).expected for seconds, work in pairs if work and seconds > 0]


def _runs(runs: Sequence[PastRun]) -> str:
    return f"{len(runs)} earlier {'run' if len(runs) == 1 else 'runs'}"


def _arithmetic(
    work: RunWork, speeds: Mapping[Phase, DeviceSpeed], alike: Sequence[PastRun], base: DeviceSpeed
) -> Iterator[PhaseTime]:
    for phase, amounts in work.phases.items():
        ratios = _ratios(base, alike, phase)
        its_own = narrowed(base, ratios, _ALIKE, speeds[phase].method) if ratios else speeds[phase]
        low, expected, high = (seconds_for(amount, its_own) for amount in amounts)
        yield PhaseTime(phase=phase, seconds=SecondsRange(low=low.low, expected=expected.expected, high=high.high))


def _files(draft: Draft, alike: Sequence[PastRun]) -> Iterator[PhaseTime]:
    """Loading and saving: as earlier runs of the same model did, or by the bytes."""
    phases: dict[Phase, SecondsRange] = {"load": _loading(draft), "save": _saving(draft)}
    for phase, by_size in phases.items():
        seen = [seconds for run in alike if (seconds := run.seconds.get(phase, 0.0)) > 0]
        if seen:
            mean = sum(seen) / len(seen)
            by_size = SecondsRange(low=min(seen) / (1 + _ALIKE), expected=mean, high=max(seen) * (1 + _ALIKE))
        yield PhaseTime(phase=phase, seconds=by_size)


def _loading(draft: Draft) -> SecondsRange:
    """Libraries once, and the weights as often as a model is built; each process of a proof does it, too.

    A teacher is loaded once in each.
    """
    size = _weights_size(draft.model)
    processes = 1 + 2 * bool(draft.values["train.determinism"].proof_steps)
    builds = processes + ("test" in draft.splits)
    calibrated = draft.calibration.measured.import_seconds if draft.calibration else None
    libraries = _IMPORT_SECONDS
    if calibrated is not None:
        libraries = SecondsRange(low=0.7 * calibrated, expected=calibrated, high=3 * calibrated)
    read = builds * size + processes * (_weights_size(draft.teacher.model) if draft.teacher else 0)
    low, expected, high = (read / rate for rate in _READ_RATE)
    return SecondsRange(
        low=processes * libraries.low + low,
        expected=processes * libraries.expected + expected,
        high=processes * libraries.high + high,
    )


def _weights_size(model: ModelFacts) -> int:
    return sum(facts.size for name, facts in model.files.items() if name.endswith(".safetensors"))


def _saving(draft: Draft) -> SecondsRange:
    """Checkpoints of trained weights with two moments each, and the result."""
    trained = 4 * num_trainable(draft)
    saves = evaluations(draft)
    size = 3 * trained * saves + result_bytes(draft)
    low, expected, high = (
        size / rate + (saves + 1) * each for rate, each in zip(_WRITE_RATE, _SAVE_SECONDS, strict=True)
    )
    return SecondsRange(low=low, expected=expected, high=high)
