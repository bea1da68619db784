"""What a sweep found: the best trials, what mattered, and whether the best is better than the recipe's own values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.api import Run
from ftc.compiler.recipes.edits import changed_recipe
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.record import Interval
from ftc.spec.documents.sweep import PLAN_FIGURES, Objective, Sweep
from ftc.spec.documents.sweep_report import Importance, Mean, SweepReport, TrialReport, Verdict
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.reading import parse_json, read_regular
from ftc.sweep.files import SweepFile, damaged
from ftc.sweep.planning import overrides_of, repeated
from ftc.sweep.study import Study, Trial, drawn_again
from ftc.sweep.trials import mean_objective, objective_of
from ftc.verbs.runs import find_run, load_run

if TYPE_CHECKING:
    from ftc.spec.documents.outcomes import Outcome

__all__ = ["as_reported", "audit_sweep", "best_of", "compared_of", "remember_own", "report_of", "runs_of", "verdict_of"]

_OWN, _VERDICT = "own.json", "verdict.json"
_LEAST_FOR_IMPORTANCE = 8


def remember_own(file: SweepFile, runs: Sequence[Run]) -> None:
    """Keeps which runs have the recipe's own values."""
    write_text(file.folder / _OWN, json.dumps([run.record.id for run in runs]) + "\n")


def _own_runs(file: SweepFile) -> tuple[Run, ...]:
    place = file.folder / _OWN
    try:
        ids = parse_json(read_regular(place)) if place.exists() else []
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise ValueError("it is not a list of runs")
    except (OSError, ValueError) as problem:
        raise damaged(place, str(problem)) from None
    return tuple(find_run(one, file.root) for one in ids)


def runs_of(file: SweepFile, trial: Trial) -> tuple[Run, ...]:
    """The runs of a trial."""
    return tuple(find_run(one, file.root) for one in trial.runs)


def report_of(file: SweepFile, study: Study) -> SweepReport:
    """All that is known of a sweep; the verdict if its best trial was compared with the recipe's own values."""
    sweep, trials = file.sweep, study.trials
    own, best = _own_runs(file), best_of(sweep, trials)
    compared = compared_of(file, trials)
    return SweepReport(
        name=file.name,
        recipe=sweep.recipe,
        metrics=tuple(one.metric for one in sweep.objectives),
        higher_is_better=tuple(one.is_higher_better for one in sweep.objectives),
        search=sweep.search.kind,
        wanted=sweep.trials,
        own=tuple(mean_objective(one, own) for one in sweep.objectives) if own else (),
        trials=tuple(map(as_reported, trials)),
        best=tuple(one.number for one in best),
        importances=_importances(study, trials),
        verdict=_kept_verdict(file, (*own, *runs_of(file, compared))) if own and compared else None,
        kind=sweep.kind,
        repeats=tuple(
            ", ".join(overrides_of(repeated(file, {}, one))) for one in sweep.repeats if len(sweep.repeats) > 1
        ),
        means=tuple(_means(file, own, trials)),
    )


def compared_of(file: SweepFile, trials: Sequence[Trial]) -> Trial | None:
    """The trial that the recipe's own values are compared with: the best, or of a curve the one with the most rows."""
    if file.sweep.curve is None:
        best = best_of(file.sweep, trials) if file.sweep.kind == "search" else ()
        return best[0] if best else None
    complete = [one for one in trials if one.state == "complete"]
    return max(complete, key=lambda one: int(one.point["data.max_rows"]), default=None)


def _means(file: SweepFile, own: Sequence[Run], trials: Sequence[Trial]) -> Iterator[Mean]:
    """The first objective over each trial's trainings; nothing where each has one and none belongs to a curve."""
    sweep = file.sweep
    if len(sweep.repeats) == 1 and sweep.curve is None:
        return
    complete = [one for one in trials if one.state == "complete"]
    if sweep.curve is not None:
        complete.sort(key=lambda one: int(one.point["data.max_rows"]))
    every = [(one.number, runs_of(file, one)) for one in (complete if sweep.space else ())]
    for number, runs in (*every, *([(None, own)] if own else [])):
        values = [objective_of(sweep.objectives[0], run) for run in runs]
        interval, method = _over_repeats(values, sweep.folds)
        yield Mean(
            trial=number,
            rows=runs[0].plan.data["train"].rows,
            values=tuple(values),
            mean=sum(values) / len(values),
            interval=interval,
            method=method,
        )


def _over_repeats(values: Sequence[float], folds: int | None) -> tuple[Interval | None, str]:
    """The 95 % interval of the mean of repeated trainings, and how it was computed; None for a single one.

    Two trainings of a cross-validation share most of their rows, so that their spread says too little: the corrected
    resampled t-test (Nadeau and Bengio 2003) adds the ratio of validation to training rows to 1 / count.
    """
    from scipy.stats import t  # exact for the two or three seeds that people take, as a series is not

    count = len(values)
    if count < 2:
        return None, ""
    mean = sum(values) / count
    spread = math.sqrt(sum((one - mean) ** 2 for one in values) / (count - 1))
    half = float(t.ppf(0.975, count - 1)) * spread * math.sqrt(1 / count + (1 / (folds - 1) if folds else 0))
    of = f"{count} trainings on {folds} folds, corrected resampled t" if folds else f"{count} seeds, Student's t"
    return Interval(low=mean - half, high=mean + half), f"over {of}"


def as_reported(trial: Trial) -> TrialReport:
    """A trial as the report has it."""
    return TrialReport(
        number=trial.number,
        settings=dict(trial.point),
        overrides=overrides_of(trial.point),
        status=trial.state,
        values=trial.values,
        runs=trial.runs,
        reason=trial.reason,
        seconds=trial.seconds,
    )


def best_of(sweep: Sweep, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials that none beats: of one objective the best, of equals the first; of several the Pareto front."""
    complete = [one for one in trials if one.state == "complete"]
    signs = [-1.0 if one.is_higher_better else 1.0 for one in sweep.objectives]
    losses = {
        one.number: tuple(sign * value for sign, value in zip(signs, one.values, strict=True)) for one in complete
    }
    front = [one for one in complete if not any(_beats(losses[other.number], losses[one.number]) for other in complete)]
    front.sort(key=lambda one: (losses[one.number], one.number))
    return tuple(front[:1] if len(signs) == 1 else front)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether it is nowhere worse, and better somewhere; less is better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def _importances(study: Study, trials: Sequence[Trial]) -> tuple[Importance, ...]:
    """How much of the spread of the first objective each setting explains, by PED-ANOVA; empty for few trials."""
    import optuna

    complete = [one for one in trials if one.state == "complete"]
    if len(complete) < _LEAST_FOR_IMPORTANCE or len({one.values[0] for one in complete}) < 2:
        return ()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        target = (lambda one: one.values[0]) if len(complete[0].values) > 1 else None
        found = optuna.importance.get_param_importances(study.optuna, evaluator=evaluator, target=target)
    return tuple(Importance(setting=name, share=share) for name, share in found.items() if math.isfinite(share))


def verdict_of(file: SweepFile, trial: Trial) -> Verdict:
    """Whether a trial is better than the recipe's own values, by the interval of the difference on validation.

    With several seeds the interval is that of the mean difference of runs with the same seed, by Student's t; with one,
    that of the metric's difference on the same validation rows, on which both runs are evaluated once more. That loads
    models, so the verdict is kept with the digests of the runs' records.
    """
    own = _own_runs(file)
    if not own:
        help = f"`ftc sweep apply {file.path}` trains them"
        raise Refusal([diagnostic("FTC588", "the recipe's own values are not trained yet", help=help)])
    compared = (*own, *runs_of(file, trial))
    found = _kept_verdict(file, compared)
    if found is None:
        found = _compared(file, trial)
        write_text(file.folder / _VERDICT, json.dumps({"runs": _digests(compared), "verdict": found.to_json()}) + "\n")
    return found


def _kept_verdict(file: SweepFile, compared: Sequence[Run]) -> Verdict | None:
    """The verdict about these runs, if it was reached before."""
    try:
        kept = json.loads((file.folder / _VERDICT).read_bytes())
        is_same = kept["runs"] == _digests(compared)
        return Verdict.model_validate_json(json.dumps(kept["verdict"])) if is_same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digests(runs: Sequence[Run]) -> list[str]:
    """What a verdict depends on: the plans and the weights, which don't change when a run is evaluated on test rows."""
    return [f"{run.record.plan_sha256} {run.record.final_weights_sha256}" for run in runs]


def _compared(file: SweepFile, trial: Trial) -> Verdict:
    objective, runs, own = file.sweep.objectives[0], runs_of(file, trial), _own_runs(file)
    if file.sweep.curve is not None:  # all rows are compared with fewer, and not fewer with all
        runs, own = own, runs
    first, *others = runs
    if objective.metric in PLAN_FIGURES:
        change = objective_of(objective, first) - objective_of(objective, own[0])
        return _verdict(objective, change, Interval(low=change, high=change), "both are figures of plans")
    if others:
        changes = [objective_of(objective, a) - objective_of(objective, b) for a, b in zip(runs, own, strict=True)]
        interval, method = _over_repeats(changes, file.sweep.folds)
        return _verdict(objective, sum(changes) / len(changes), interval, f"mean difference {method}")
    if first.record.id == own[0].record.id:
        return _verdict(objective, 0.0, None, "the trial has the recipe's own values")
    from ftc.runtime.metrics.statistics import difference, intervals
    from ftc.verbs.compare import statistics_of
    from ftc.verbs.evaluate import validation_outcomes

    name = objective.metric.removeprefix("val_")
    rows = [_by_row(validation_outcomes(run, name)) for run in (own[0], first)]
    common = sorted(rows[0].keys() & rows[1].keys())
    found = [statistics_of(name, own[0].plan.settings, [one[key] for key in common]) for one in rows]
    gained = difference(found[0], found[1])
    method = f"difference on the same {len(common)} validation rows, bootstrap"
    return _verdict(objective, gained.observed, intervals([gained])[0], method)


def _by_row(outcomes: Sequence[Outcome]) -> dict[tuple[int, str], Outcome]:
    return {(one.row, one.prompt): one for one in outcomes}


def _verdict(objective: Objective, change: float, interval: Interval | None, method: str) -> Verdict:
    sign = 1.0 if objective.is_higher_better else -1.0
    is_better = interval is not None and min(sign * interval.low, sign * interval.high) > 0
    return Verdict(is_better=is_better, change=change, interval=interval, method=method)


def audit_sweep(file: SweepFile, study: Study) -> tuple[list[str], list[str]]:
    """What contradicts the sweep's journal, and what could not be checked, in words.

    Each trial's point is drawn again from the seed and from what was known when it was drawn; each value is computed
    again from its runs' own events; each run's plan has to have the trial's values.
    """
    faults: list[str] = []
    unchecked: list[str] = []
    if file.sweep.search.kind == "nsga2":
        unchecked.append("points: the genetic search keeps populations that are not drawn again")
    elif file.sweep.budget.parallel > 1:
        unchecked.append("points: trials ran at the same time, so what was known of others is not known to the step")
    else:
        faults += [
            f"trial {trial.number}: its point is {trial.point}, the search draws {point}"
            for trial, point in drawn_again(file.sweep, study)
            if trial.point != point
        ]
    for trial in study.trials:
        faults += _faults_of(file, trial)
    return faults, unchecked


def _faults_of(file: SweepFile, trial: Trial) -> list[str]:
    found: list[str] = []
    runs: list[Run] = []
    for name in trial.runs:
        places = sorted(Path(file.root, "runs").glob(f"*/{name}/record.json"))
        if not places:
            found.append(f"trial {trial.number}: its run {name} is gone")
            continue
        run = load_run(places[0].parent)
        runs.append(run)
        recipe = run.plan.recipe.to_json()
        repeat = file.sweep.repeats[len(runs) - 1] if len(runs) <= len(file.sweep.repeats) else (None, None)
        for path, value in repeated(file, trial.point, repeat).items():
            if changed_recipe(run.plan.recipe, path, value).to_json() != recipe:
                found.append(f"trial {trial.number}: its run {name} has another `{path}` than {value}")
    if trial.state == "complete" and len(trial.runs) != len(file.sweep.repeats):
        wanted = len(file.sweep.repeats)
        found.append(f"trial {trial.number}: it has {len(trial.runs)} runs, the sweep asks for {wanted}")
    elif trial.state == "complete" and len(runs) == len(trial.runs):
        for objective, told in zip(file.sweep.objectives, trial.values, strict=True):
            seen = mean_objective(objective, runs)
            if seen != told:
                found.append(f"trial {trial.number}: {objective.metric} is {told}, its runs say {seen}")
    return found
