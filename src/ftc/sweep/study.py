"""The trials of a sweep as Optuna keeps them, in a journal that any number of processes may open.

A trial's point is drawn by a sampler that is made for it from the sweep's seed and the trial's number. So what is
drawn follows from the seed and from what was known of other trials, and can be drawn again.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import filelock
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ftc.spec.canonical import digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.sweep import Axis, Sweep, Value
from ftc.spec.storage.native import LibraryFault, native
from ftc.spec.storage.paths import SWEEP_JOURNAL
from ftc.spec.storage.reading import parse_json, read_regular
from ftc.sweep.files import damaged

__all__ = ["Point", "Study", "Trial", "drawn_again", "first_points"]

Point = dict[str, Value]
"""A value by path of each searched setting."""
State = Literal["running", "complete", "pruned", "failed"]
_STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the space and what came of it.

    Attributes:
        number: From 0.
        point: Its values.
        state: How it stands.
        runs: Ids of its runs, one for each seed.
        values: The objectives in their order; of a pruned trial the last one seen; empty where there is none.
        reason: Why it was pruned or failed.
        seconds: Time that it took.
    """

    number: int
    point: Point
    state: State
    runs: tuple[str, ...]
    values: tuple[float, ...]
    reason: str
    seconds: float


_NAME = "sweep"
"""Of the study in its journal."""


class Study:
    """A sweep's trials.

    Args:
        sweep: What is searched.
        folder: Where the journal lies; made where it is missing. None keeps the trials in memory.
        steps: Steps of a trial that runs to its end.

    Raises:
        Refusal: The folder holds the trials of another search (FTC583).
    """

    def __init__(self, sweep: Sweep, folder: Path | None, steps: int = 1) -> None:
        self._sweep, self._folder = sweep, folder
        self._distributions = {path: _distribution(axis) for path, axis in sweep.space.items()}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            self._storage, self._study, known = native(self._opened, steps)
        except LibraryFault as fault:
            if folder is None:
                raise
            raise damaged(folder / SWEEP_JOURNAL, str(fault)) from None
        # The budget and the number of trials may change; all else decides which trials there are.
        said = sweep.to_json()
        said.pop("budget")
        said["search"].pop("trials")
        wanted = digest(said)
        if known is None:
            self._study.set_user_attr("search_sha256", wanted)
            for point in _grid(sweep) if sweep.search.kind == "grid" else ():
                self._study.enqueue_trial(point)
        elif known != wanted:
            help = f"give the file another name, or delete `{folder}` to start over"
            raise Refusal([diagnostic("FTC583", "the sweep has trials of another search", help=help)])

    def _opened(self, steps: int) -> tuple[BaseStorage, optuna.Study, str | None]:
        """The storage, the study in it, and which search it is of."""
        begun = _operations(self._folder / SWEEP_JOURNAL) if self._folder else set()
        with _quiet():
            storage, pruner = _storage(self._folder), _pruner(self._sweep, steps)
            if begun:  # to create a study that is there adds a line to its journal
                study = optuna.load_study(study_name=_NAME, storage=storage, pruner=pruner)
                known = study.user_attrs.get("search_sha256")
                if known is None and begun != {_CREATE_STUDY}:
                    raise ValueError("it does not say which search its trials are of")
                return storage, study, known
            study = optuna.create_study(
                storage=storage,
                study_name=_NAME,
                directions=["maximize" if one.is_higher_better else "minimize" for one in self._sweep.objectives],
                pruner=pruner,
                load_if_exists=True,
            )
        return storage, study, study.user_attrs.get("search_sha256")

    @property
    def optuna(self) -> optuna.Study:
        """The study, for what Optuna says of it."""
        return self._study

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials that were begun, in order.

        Raises:
            Refusal: The journal says of one what it can't (FTC609).
        """
        begun = (one for one in self._study.get_trials(deepcopy=False) if one.state != TrialState.WAITING)
        return tuple(self._trial(one) for one in begun)

    @contextmanager
    def next_trial(self) -> Iterator[int | None]:
        """Number of a trial to be run, held by this process while the block runs: one that was left before a new one.

        None where there is nothing to begin.
        """
        assert self._folder is not None, "trials in memory aren't run"
        with filelock.FileLock(self._folder / "journal.lock"):
            held = self._left() or self._new()
        if held is None:
            yield None
            return
        number, lock = held
        try:
            yield number
        finally:
            lock.release()

    def ask(self) -> FrozenTrial:
        """Draws the next point."""
        number = sum(one.state != TrialState.WAITING for one in self._study.get_trials(deepcopy=False))
        self._study.sampler = _sampler(self._sweep, number)
        with _quiet():
            drawn = self._study.ask(self._distributions)
        drawn.set_user_attr("point", self.point_of(drawn.params))
        return self._study.get_trials(deepcopy=False)[drawn.number]

    def trial(self, number: int) -> Trial:
        """A trial by its number."""
        return self._trial(self._study.get_trials(deepcopy=False)[number])

    def note(self, number: int, **attributes: Any) -> None:
        """Keeps something about a trial."""
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(self._id(number), name, value)

    def watch(self, number: int, step: int, value: float) -> str | None:
        """Takes down what validation says after a step; a reason where the trial isn't worth going on."""
        handle = optuna.trial.Trial(self._study, self._id(number))
        if step not in self._study.get_trials(deepcopy=False)[number].intermediate_values:
            handle.report(value, step)
        if not handle.should_prune():
            return None
        assert self._sweep.prune is not None, "only a pruner prunes"
        return f"{self._sweep.objectives[0].metric} {value:.4g} after step {step}: {_WHY[self._sweep.prune.kind]}"

    def end(self, number: int, values: Sequence[float] | None, state: State, reason: str, seconds: float) -> None:
        """Tells what came of a trial."""
        self.note(number, reason=reason, seconds=seconds)
        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[state]
        self._study.tell(number, list(values) if state == "complete" and values else None, state=told)

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(_NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def point_of(self, params: Mapping[str, Any]) -> Point:
        """The values that Optuna's own parameters stand for."""
        return {
            path: axis.values()[params[path] if isinstance(params[path], int) else int(params[path][1:])]
            for path, axis in self._sweep.space.items()
        }

    def _trial(self, found: FrozenTrial) -> Trial:
        try:
            return self._as_noted(found)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if self._folder is None:
                raise
            raise damaged(self._folder / SWEEP_JOURNAL, str(error)) from None

    def _as_noted(self, found: FrozenTrial) -> Trial:
        notes = found.user_attrs
        point, runs = notes.get("point") or self.point_of(found.params), notes.get("runs", [])
        if not isinstance(point, dict) or point.keys() != self._sweep.space.keys():
            raise ValueError(f"the point of trial {found.number} lacks settings")
        if not isinstance(runs, list) or not all(isinstance(one, str) for one in runs):
            raise ValueError(f"trial {found.number} names no runs")
        values = tuple(found.values or ())
        if not values and found.intermediate_values:
            values = (found.intermediate_values[max(found.intermediate_values)],)
        return Trial(
            number=found.number,
            point=point,
            state=_STATES[found.state],
            runs=tuple(runs),
            values=values,
            reason=str(notes.get("reason", "")),
            seconds=float(notes.get("seconds", 0.0)),
        )

    def _left(self) -> tuple[int, filelock.FileLock] | None:
        """A trial whose process is gone, and its lock."""
        for one in self._study.get_trials(deepcopy=False):
            if one.state == TrialState.RUNNING and (lock := self._hold(one.number)):
                return one.number, lock
        return None

    def _new(self) -> tuple[int, filelock.FileLock] | None:
        begun = [one for one in self._study.get_trials(deepcopy=False) if one.state != TrialState.WAITING]
        if len(begun) >= self._sweep.trials:
            return None
        number = self.ask().number
        lock = self._hold(number)
        assert lock is not None, "nobody else knows a trial that has just been drawn"
        return number, lock

    def _hold(self, number: int) -> filelock.FileLock | None:
        assert self._folder is not None, "trials in memory aren't held"
        lock = filelock.FileLock(self._folder / f"trial-{number}.lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            return None
        return lock


_WHY = {
    "halving": "not among the best at this step",
    "hyperband": "not among the best of its bracket at this step",
    "median": "worse than the median of the trials before",
}


def first_points(sweep: Sweep, count: int) -> tuple[Point, ...]:
    """The first points that will be drawn, as far as they don't depend on what came of others."""
    study = Study(sweep, None)
    found = []
    for _ in range(min(count, sweep.trials)):
        drawn = study.ask()
        found.append(study.trial(drawn.number).point)
        study.end(drawn.number, [0.0] * len(sweep.objectives), "complete", "", 0.0)
    return tuple(found)


def drawn_again(sweep: Sweep, study: Study) -> Iterator[tuple[Trial, Point]]:
    """Each trial with the point that is drawn for it, from what was known when it was drawn."""
    past = study.optuna.get_trials(deepcopy=True)
    for one in past:
        if one.state == TrialState.WAITING or one.datetime_start is None:
            continue
        again = Study(sweep, None)
        for other in past[: one.number] if sweep.search.kind != "grid" else ():
            again.optuna.add_trial(_as_known(other, one.datetime_start))
        if sweep.search.kind == "grid":
            yield study.trial(one.number), study.point_of(_grid(sweep)[one.number])
            continue
        yield study.trial(one.number), again.trial(again.ask().number).point


def _as_known(trial: FrozenTrial, at: datetime) -> FrozenTrial:
    """A trial as it stood at a moment; a later moment asks for it again."""
    if trial.datetime_complete is not None and trial.datetime_complete <= at:
        return trial
    known = deepcopy(trial)
    known.state, known.datetime_complete = TrialState.RUNNING, None
    known.values = None
    return known


def _storage(folder: Path | None) -> BaseStorage:
    if folder is None:
        return InMemoryStorage()
    folder.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(folder / SWEEP_JOURNAL)))


_CREATE_STUDY = 0
"""Optuna's number of the line that a journal begins with."""


def _operations(file: Path) -> set[int]:
    """Kinds of lines in a journal, to which nothing may be added before all of it is understood; none of a new one.

    Raises:
        OSError: It is no regular file, or can't be read.
        ValueError: A line of it is none of Optuna's, or the first begins no study of a sweep.
    """
    if not os.path.lexists(file):
        return set()
    whole, _, torn = read_regular(file).rpartition(b"\n")  # a kill tears the last line
    found = [parse_json(line) for line in (whole or torn).splitlines()]
    for number, line in enumerate(found, 1):
        if not isinstance(line, dict) or not isinstance(line.get("op_code"), int):
            raise ValueError(f"line {number} is not a line of a journal")
    if found and found[0].get("study_name") != _NAME:
        raise ValueError("it does not begin with the study of a sweep")
    return {line["op_code"] for line in found}


def _distribution(axis: Axis) -> BaseDistribution:
    """Numbers in order are drawn by their place, so that Optuna's journal and the plan tell the same value."""
    values = axis.values()
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) == len(values) and list(values) == sorted(numbers):
        return IntDistribution(0, len(values) - 1)
    return CategoricalDistribution([f"#{number}" for number in range(len(values))])


def _grid(sweep: Sweep) -> list[dict[str, Any]]:
    """Every combination, in Optuna's own parameters."""
    points: list[dict[str, Any]] = [{}]
    for path, axis in sweep.space.items():
        distribution = _distribution(axis)
        places: list[Any] = list(range(len(axis.values())))
        if isinstance(distribution, CategoricalDistribution):
            places = list(distribution.choices)
        points = [{**point, path: place} for point in points for place in places]
    return points


def _sampler(sweep: Sweep, number: int) -> BaseSampler:
    search = sweep.search
    seed = int(digest([search.seed, number])[:8], 16)
    makers: dict[str, Callable[[], BaseSampler]] = {
        "grid": lambda: RandomSampler(seed),  # the points wait already
        "random": lambda: RandomSampler(seed),
        "tpe": lambda: TPESampler(seed=seed, n_startup_trials=search.startup, constant_liar=sweep.budget.parallel > 1),
        "gp": lambda: GPSampler(seed=seed, n_startup_trials=search.startup),
        "nsga2": lambda: NSGAIISampler(seed=seed, population_size=max(2, search.startup)),
    }
    with _quiet():
        return makers[search.kind]()


def _pruner(sweep: Sweep, steps: int) -> optuna.pruners.BasePruner:
    prune = sweep.prune
    if prune is None:
        return optuna.pruners.NopPruner()
    match prune.kind:
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner(prune.from_step, prune.factor)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(prune.from_step, max(steps, prune.from_step), prune.factor)
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=sweep.search.startup, n_warmup_steps=prune.from_step - 1
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's word that a part of it may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
