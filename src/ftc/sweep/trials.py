"""The trials of a sweep, run one after the other: each an ordinary run that ends before the test split is measured.

Any number of processes may do this at once, on this machine or another one with the same files: the journal gives
each trial to one of them, and a trial whose process is gone to the next that asks. Its run goes on from its checkpoint.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ftc import api
from ftc.api import Run
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Evaluated, Event, EventListener, without_repeats
from ftc.spec.documents.sweep import PLAN_FIGURES, Objective
from ftc.sweep.files import SweepFile
from ftc.sweep.planning import plan_figure, plan_trial, repeated
from ftc.sweep.study import Study, Trial
from ftc.verbs.runs import load_events

__all__ = ["Began", "Interrupted", "Listener", "helpers", "mean_objective", "objective_of", "own_runs", "run_trials"]


class Interrupted(Exception):
    """A trial was stopped by a signal; it and the sweep go on when the sweep is applied again."""


@dataclass(frozen=True, slots=True)
class Began:
    """A training begins: trial `number` of `total`, or the recipe's own values where the number is None."""

    number: int | None
    total: int
    overrides: tuple[str, ...]


Listener = Callable[[Began | Trial], None]
"""Hears when a trial begins and how it ended."""


def own_runs(file: SweepFile, tell: Listener, listen: EventListener, *, offline: bool) -> tuple[Run, ...]:
    """Trains the recipe with its own values, which the trials are compared with; once for each seed and fold."""
    points = (repeated(file, {}, repeat) for repeat in file.sweep.repeats)
    return tuple(_trained(file, point, None, tell=tell, listen=listen, offline=offline) for point in points)


def run_trials(file: SweepFile, study: Study, tell: Listener, listen: EventListener, *, offline: bool) -> str:
    """Runs trials until there are as many as the sweep wants.

    Returns:
        Why it ended before that; empty where it didn't.

    Raises:
        Interrupted: A signal stopped it.
        Refusal: A trial can't be run for a reason that the next one would have as well.
    """
    limit = file.sweep.budget.time
    while True:
        spent = sum(trial.seconds for trial in study.trials)
        if limit is not None and spent >= limit * file.sweep.budget.parallel:
            return "the sweep's time is spent"
        with study.next_trial() as number:
            if number is None:
                return ""
            _run_trial(file, study, number, tell=tell, listen=listen, offline=offline)
            tell(study.trial(number))


def _run_trial(
    file: SweepFile, study: Study, number: int, *, tell: Listener, listen: EventListener, offline: bool
) -> None:
    started, before = time.monotonic(), study.trial(number)
    runs: list[Run] = []

    def end(state: str, reason: str = "") -> None:
        values = None
        if state == "complete":
            values = [mean_objective(one, runs) for one in file.sweep.objectives]
        study.end(number, values, state, reason, before.seconds + time.monotonic() - started)  # type: ignore[arg-type]

    for repeat in file.sweep.repeats:
        try:
            point = repeated(file, before.point, repeat)
            run = _trained(file, point, (study, number), tell=tell, listen=listen, offline=offline)
        except Refusal as refusal:
            first = refusal.diagnostics[0]
            if first.code not in _OF_ONE_TRIAL:
                raise
            end("failed", f"{first.code}: {first.summary}")
            return
        finally:
            study.note(number, seconds=before.seconds + time.monotonic() - started)
        runs.append(run)
        study.note(number, runs=[one.record.id for one in runs])
        if run.record.status == "pruned":
            end("pruned", run.record.interruptions[-1].reason)
            return
    end("complete")


_OF_ONE_TRIAL = frozenset({"FTC626", "FTC633"})
"""Findings that end a trial and no other: numbers that aren't finite, and memory that ran out."""


def _trained(
    file: SweepFile,
    point: dict[str, int | float | str | bool],
    watched: tuple[Study, int] | None,
    *,
    tell: Listener,
    listen: EventListener,
    offline: bool,
) -> Run:
    planned = plan_trial(file, point, offline=offline)
    number = watched[1] if watched else None
    if watched:
        watched[0].note(watched[1], runs=[planned.plan.run_id])
    tell(Began(number, file.sweep.trials, planned.plan.overrides))
    stop = _watching(file, *watched) if watched and file.sweep.prune else None
    run = api.apply(planned, on_event=listen, until="train", stop=stop, offline=offline)
    if run.record.status == "interrupted":
        raise Interrupted
    return run


def _watching(file: SweepFile, study: Study, number: int) -> Callable[[Event], str | None]:
    """Asks after each look at validation whether a trial is worth going on."""
    metric = _measured_name(file.sweep.objectives[0].metric)

    def stop(event: Event) -> str | None:
        return study.watch(number, event.step, event.metrics[metric]) if isinstance(event, Evaluated) else None

    return stop


def objective_of(objective: Objective, run: Run) -> float:
    """The value of an objective: of the weights that the run would keep, or of its plan."""
    if objective.metric in PLAN_FIGURES:
        known = plan_figure(objective, run.plan)
        assert known is not None, "the sweep was planned, so that its plans have times"
        return known
    _, evaluations = without_repeats(load_events(run.folder))
    by_step = {one.step: one.metrics for one in evaluations}
    chosen = by_step.get(run.record.selected_step or 0) or by_step[max(by_step)]
    return chosen[_measured_name(objective.metric)]


def _measured_name(metric: str) -> str:
    """Only the loss has the split's name before it where validation is measured."""
    return metric if metric == "val_loss" else metric.removeprefix("val_")


def mean_objective(objective: Objective, runs: Sequence[Run]) -> float:
    """The value of an objective over a trial's runs, one for each seed and fold."""
    return sum(objective_of(objective, run) for run in runs) / len(runs)


@contextmanager
def helpers(file: SweepFile, words: Sequence[str], *, on_cuda: bool) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Further processes that run trials beside this one, each with a CUDA device of its own where they use such."""
    count = file.sweep.budget.parallel
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = [one.strip() for one in listed.split(",") if one.strip()] or [str(number) for number in range(count)]
    started = []
    for number in range(1, count):
        environment = dict(os.environ)
        if on_cuda:
            environment["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        # -P: a module in the working folder must not take the place of an installed one.
        command = [sys.executable, "-P", "-m", "ftc", *words]
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment))
    if on_cuda and count > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[0]
    try:
        yield started
    except BaseException:
        for one in started:
            one.terminate()
        raise
    finally:
        for one in started:
            one.wait()
