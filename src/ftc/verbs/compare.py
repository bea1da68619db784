"""Runs compared on the test rows that they share, and what differs between recipes, locks, plans and runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.verbs.runs import Run, find_run, load_events, load_outcomes, load_thumbnails

if TYPE_CHECKING:
    from ftc.compiler.diff.sides import Thing
    from ftc.compiler.recipes.layers import Override
    from ftc.runtime.metrics import Predictions
    from ftc.runtime.metrics.statistics import Statistics
    from ftc.spec.documents.difference import ComparedMetric, Difference, RunComparison
    from ftc.spec.documents.outcomes import Given, Outcome
    from ftc.spec.documents.settings import Settings

__all__ = ["compare", "comparison_page", "diff", "statistics_of"]


def compare(runs: Sequence[Run | Path | str], *, folder: Path | str = ".") -> RunComparison:
    """Compares runs with the first of them, on their common test rows. Loads no model.

    Raises:
        Refusal: There are fewer than two, a run is not measured (FTC683), or they have no row in common (FTC681).
    """
    return _beside([run if isinstance(run, Run) else find_run(str(run), folder) for run in runs])


def _beside(runs: Sequence[Run]) -> RunComparison:
    from ftc.spec.documents.difference import ComparedRun, RunComparison

    answered = [_outcomes(run) for run in runs]
    common = [key for key in answered[0] if all(key in outcomes for outcomes in answered)]
    if not common:
        ids = " and ".join(f"`{run.record.id}`" for run in runs)
        help = "compare runs whose data and split are the same"
        raise Refusal([diagnostic("FTC681", f"runs {ids} have no test row in common", help=help)])
    rows = [[outcomes[key] for key in common] for outcomes in answered]
    names = [name for name in _metrics(runs[0]) if all(name in _metrics(run) for run in runs)]
    lacking = {**_lacking(runs[0].plan.settings), **_rewarded_otherwise(runs)}
    names = [name for name in names if name not in lacking]
    left_out = [
        f"{name}: not measured by {', '.join(run.record.id for run in runs if name not in _metrics(run))}"
        for name in dict.fromkeys(name for run in runs for name in _metrics(run))
        if name not in names and name not in lacking
    ]
    return RunComparison(
        runs=tuple(
            ComparedRun(
                id=run.record.id,
                name=run.record.name,
                model=run.plan.model.name,
                strategy=run.plan.settings.strategy.kind,
                rows=len(outcomes),
                settings=settings,
                prompted={
                    one.name: {name: statistics_of(name, run.plan.settings, said).observed for name in names}
                    for one in (run.evaluation.prompted if run.evaluation else ())
                    for said in [[row.model_copy(update={"tuned": row.prompted[one.name]}) for row in here]]
                },
            )
            for run, outcomes, settings, here in zip(runs, answered, _told_apart(runs), rows, strict=True)
        ),
        rows=len(common),
        metrics=tuple(_compared(name, runs[0].plan.settings, rows) for name in names),
        not_compared=(*left_out, *(f"{name}: {why}" for name, why in lacking.items())),
    )


def _told_apart(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Of each run the settings that are not the same in all: those of a recipe, else those that were derived."""
    from ftc.compiler.lock.lockfile import leaves

    found = [{path: str(value) for path, value in leaves(run.plan.settings.to_json())} for run in runs]
    paths = sorted({path for one in found for path in one})
    differing = [path for path in paths if len({one.get(path) for one in found}) > 1]
    asked = [path for path in differing if any(_is_asked(run, path) for run in runs)]
    of_recipe = [_only_asked(run, paths) for run in runs]  # such as `max_steps`, which settings have under another name
    for path in sorted({path for one in of_recipe for path in one}):
        if len({one.get(path) for one in of_recipe}) > 1 and _last(path) not in map(_last, asked):
            asked.append(path)
            found = [
                one | ({path: more[path]} if path in more else {}) for one, more in zip(found, of_recipe, strict=True)
            ]
    return [{path: one[path] for path in asked or differing if path in one} for one in found]


def _only_asked(run: Run, known: Collection[str]) -> dict[str, str]:
    """Values of a recipe that say how to train and on what, and that its settings don't hold by the same path."""
    from ftc.compiler.lock.lockfile import leaves

    told = {name: value for name, value in run.plan.recipe.said().items() if name in ("data", "strategy", "train")}
    return {path: str(value) for path, value in leaves(told) if path not in known}


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _is_asked(run: Run, path: str) -> bool:
    """Whether a recipe sets the value, or the block that it belongs to."""
    parts = path.split(".")
    origins = (run.plan.origins.get(".".join(parts[:count])) for count in range(len(parts), 0, -1))
    origin = next(filter(None, origins), None)
    return origin is not None and origin.kind == "written"


def comparison_page(names: Sequence[str], folder: Path | str = ".", *, shows_personal_data: bool = False) -> str:
    """The same as one page that opens from disk, with curves, settings and the rows that tell the runs apart.

    Args:
        names: Beginnings of the runs' names, or their folders.
        folder: Any folder of the project in which names are looked for.
        shows_personal_data: Whether rows that match a rule for personal data are shown as they are.

    Raises:
        Refusal: As `compare`, or there is no such run.
    """
    from ftc.views.report.comparison import Side, comparison_html

    runs = [find_run(name, folder) for name in names]
    sides = [
        Side(run.plan, run.record, load_events(run.folder), load_outcomes(run.folder), load_thumbnails(run.folder))
        for run in runs
    ]
    return comparison_html(compare(runs), sides, shows_personal_data=shows_personal_data)


def _outcomes(run: Run) -> dict[Given, Outcome]:
    found = {one.given: one for one in load_outcomes(run.folder)}
    if not found:
        help = "compare finished runs whose test split was evaluated; `ftc run list` lists them"
        summary = f"run `{run.record.id}` has no evaluated test rows"
        note = f"it is {run.record.status.replace('_', ' ')}"
        raise Refusal([diagnostic("FTC683", summary, help=help, notes=note)])
    return found


def _metrics(run: Run) -> dict[str, float]:
    return run.evaluation.tuned.metrics if run.evaluation else {}


def _compared(name: str, settings: Settings, rows: Sequence[Sequence[Outcome]]) -> ComparedMetric:
    from ftc.runtime.metrics.statistics import difference, intervals
    from ftc.spec.documents.difference import ComparedMetric, Standing
    from ftc.spec.documents.record import Gain

    found = [statistics_of(name, settings, outcomes) for outcomes in rows]
    gains = [difference(found[0], other) for other in found[1:]]
    bounds = intervals([*found, *gains])
    first, *others = [
        Standing(value=one.observed, interval=interval, gain=None) for one, interval in zip(found, bounds, strict=False)
    ]
    held = [
        other.model_copy(update={"gain": Gain(value=other.value - first.value, interval=interval)})
        for other, interval in zip(others, bounds[len(found) :], strict=True)
    ]
    return ComparedMetric(metric=name, standings=(first, *held))


def statistics_of(name: str, settings: Settings, outcomes: Sequence[Outcome]) -> Statistics:
    """A metric of some rows, from what is kept of them."""
    from ftc.runtime import metrics

    if name in metrics.LOSSES:
        return metrics.loss_statistics(name, [one.tuned for one in outcomes])
    return metrics.statistics_of(name, _predictions(settings, outcomes))


def _predictions(settings: Settings, outcomes: Sequence[Outcome]) -> Predictions:
    """What rows expect, and what a model said; where it writes classes, whatever is none of them is `OTHER_LABEL`."""
    import numpy as np

    from ftc.runtime.metrics import Rewarded, of_figures
    from ftc.runtime.metrics.classes import Decisions, Tags
    from ftc.runtime.metrics.numbers import Numbers
    from ftc.runtime.metrics.texts import Found, Written
    from ftc.spec.documents.outcomes import NO_ANSWER, as_label

    labels, said = settings.text.labels, [one.tuned for one in outcomes]
    expected, answers = [one.expected or "" for one in outcomes], [one.text or "" for one in said]
    wanted = [one.targets for one in outcomes]
    got = [[int(value) for value in one.predicted] for one in said]
    match settings.answer:
        case "label":
            confidence = np.array([one.confidence or 0.0 for one in said], np.float64)
            return Decisions.named(labels, expected, answers, confidence)
        case "labels":
            return Decisions.several(labels, wanted, got)
        case "tags":
            return Tags(labels, wanted, got)
        case "numbers":
            right = [[float(number) for number in one.right] for one in outcomes]
            return Numbers(np.array(right, np.float64), np.array([one.predicted for one in said], np.float64))
        case "span":
            return Found([one.right for one in outcomes], ["" if text == NO_ANSWER else text for text in answers])
        case "written label":
            known = {*labels, *expected}
            return Decisions.named(labels, expected, [as_label(text, known) for text in answers])
        case "pair" | "rated" | "rank":
            return of_figures(settings.answer, [one.predicted for one in said])
        case "rewarded":
            assert settings.train.sampling is not None, "the plan says what answers earn"
            given = [one.predicted for one in said]
            return Rewarded.of(settings.train.sampling.rewards, zip(answers, expected, strict=True), given)
        case "text" if any(one.right for one in outcomes):
            return Found([one.right for one in outcomes], answers)
        case "filled" | "text":
            return Written(expected, answers, settings.eval.wordnet)
        case _:
            assert_never(settings.answer)


def _lacking(settings: Settings) -> dict[str, str]:
    """Metrics that can't be computed here, with reasons; the first run's data judge all runs alike."""
    from ftc.spec.documents.package_metrics import package_metrics
    from ftc.spec.metrics import needs_of
    from ftc.spec.storage.wordnet import lacking_data

    lacking = lacking_data(settings.eval)
    of_packages = dict.fromkeys(package_metrics(settings), "a package computes it, which a run alone asks")
    return of_packages | {
        name: f"{need.data} as the first run used it is not on this machine"
        for name in settings.eval.metrics
        for need in needs_of([name])
        if need in lacking
    }


def _rewarded_otherwise(runs: Sequence[Run]) -> dict[str, str]:
    """Metrics of sampled answers that measure something else in another run, whose rewards differ, with reasons."""
    from ftc.spec.rewards import judging

    each = [sampling.rewards for run in runs if (sampling := run.plan.settings.train.sampling) is not None]
    summed = [sorted(one.to_text() for one in rewards) for rewards in each]
    judged = [
        sorted(rewards[place].model_copy(update={"weight": 1.0}).to_text() for place in judging(rewards))
        for rewards in each
    ]
    return {
        name: why
        for name, parts, why in (
            ("mean_reward", summed, "the rewards that it adds up differ between these runs"),
            ("correct", judged, "the rewards that say which answer is correct differ between these runs"),
        )
        if any(one != parts[0] for one in parts) and all(name in _metrics(run) for run in runs)
    }


def diff(
    old: Run | Path | str, new: Run | Path | str, *, overrides: Sequence[Override] = (), folder: Path | str = "."
) -> Difference:
    """What differs between two things, why it matters, and what would have to be done.

    They are compared at the deepest level that both have: plans with runs, locks with plans, recipes with everything.

    Args:
        old: What there is: a recipe, a lock or a saved plan, each also as `FILE@REVISION` of git, or a run.
        new: What is wanted, likewise.
        overrides: What lies on top of `new`, which then has to be a recipe.
        folder: Any folder of the project whose runs may be named.

    Raises:
        Refusal: One of them can't be read, there is no such run, or `overrides` has nothing to change (FTC605).
        OSError: A file can't be read.
    """
    from ftc.compiler.diff.compare import compare
    from ftc.spec.storage.paths import cache_folder

    return compare(_thing_named(old, folder), _thing_named(new, folder, overrides), cache_folder())


def _thing_named(target: Run | Path | str, folder: Path | str, overrides: Sequence[Override] = ()) -> Thing:
    from ftc.compiler.diff.sides import read_thing

    found = None if isinstance(target, Run) else read_thing(str(target), overrides)
    if found is None:
        run = target if isinstance(target, Run) else find_run(str(target), folder)
        found = _thing_of_run(run, run.record.id if isinstance(target, Run) else str(target))
    if overrides and found.side.kind != "recipe":
        summary = f"`{found.side.name}` is a {found.side.kind}, which `--set` can't change"
        raise Refusal([diagnostic("FTC605", summary, help="give a recipe as NEW")])
    return found


def _thing_of_run(run: Run, name: str) -> Thing:
    from ftc.compiler.diff.sides import Thing
    from ftc.spec.documents.difference import Side

    return Thing(
        Side(kind="run", name=name, sha256=run.record.sha256),
        recipe=run.plan.recipe,
        lock=run.plan.lock,
        plan=run.plan,
        record=run.record,
        evaluation=run.evaluation,
        folder=(run.root / run.plan.recipe_file).parent,
    )
