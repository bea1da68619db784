"""A sweep before it runs: every corner of its space and its first trials planned against memory, time and money."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ftc import api
from ftc.api import Planned
from ftc.compiler.recipes.edits import yaml_text
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.estimates import Phase, SecondsRange
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.sweep import PLAN_FIGURES, Axis, Choices, LogRange, Objective, Sweep
from ftc.spec.documents.sweep_report import AxisWords, CostRange, Forecast
from ftc.spec.sections.data import fold_name
from ftc.spec.storage.atomic_write import write_text
from ftc.sweep.files import SUFFIX, SweepFile, read_sweep
from ftc.sweep.study import Point, first_points

__all__ = ["PlannedSweep", "asked_sweep", "overrides_of", "plan_figure", "plan_sweep", "plan_trial", "repeated"]

_MOST_CORNERS = 256
_AFTER_TRAINING: frozenset[Phase] = frozenset({"evaluate", "generate", "judge", "grade"})
"""What a trial leaves out: test rows choose nothing."""


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """What a sweep would do.

    Attributes:
        file: The sweep.
        own: The recipe with its own values, which is trained beside the trials.
        forecast: What all of it takes.
    """

    file: SweepFile
    own: Planned
    forecast: Forecast


def repeated(file: SweepFile, point: Point, repeat: tuple[int | None, int | None]) -> Point:
    """A point with the seed and the fold of one of its trainings."""
    seed, fold = repeat
    found = dict(point) if seed is None else {**point, "train.seed": seed}
    return found if fold is None else {**found, "data.split.fold": fold_name(fold, file.sweep.folds or 0)}


def overrides_of(point: Point) -> tuple[str, ...]:
    """A point as texts for `--set`."""
    return tuple(f"{path}={yaml_text(value)}" for path, value in point.items())


def plan_trial(file: SweepFile, point: Point, *, offline: bool = False) -> Planned:
    """The plan of a trial; of the recipe's own values for an empty point.

    Raises:
        Refusal: The recipe can't have these values, or they don't fit.
    """
    return api.plan(file.recipe, overrides=overrides_of(point), keep_lock=True, offline=offline)


_PARTS = (8, 4, 2)
"""Of the training rows, the points of a learning curve; all of them are the recipe itself."""


def asked_sweep(recipe: Path, curve: str | None, folds: int | None, *, offline: bool, writes: bool) -> Path:
    """The file of a learning curve or a cross-validation of a recipe, `NAME.curve.sweep.yaml` or
    `NAME.folds.sweep.yaml`; it is written beside the recipe where it is missing, for people to read and change.

    Args:
        recipe: The recipe.
        curve: `data` for a learning curve.
        folds: How many, for a cross-validation.
        offline: Use only what is on this machine.
        writes: Whether a missing file is written.

    Raises:
        Refusal: The recipe can't be planned, has too few rows (FTC585), or its file says another number of folds
            (FTC583).
        OSError: The file can't be written.
    """
    path = recipe.with_name(f"{recipe.stem}.{'curve' if curve else 'folds'}{SUFFIX}")
    if path.exists():
        said = read_sweep(path).sweep.folds
        if folds is not None and said != folds:
            help = f"change or delete `{path.name}`"
            raise Refusal([diagnostic("FTC583", f"`{path.name}` is about {said} folds, not {folds}", help=help)])
    if path.exists() or not writes:
        return path
    plan = api.plan(recipe, keep_lock=True, offline=offline).plan
    lines = ["ftc_sweep: 1", f"recipe: {yaml_text(recipe.name)}"]
    lines.append(f"objective: {{metric: {plan.settings.train.select_metric}}}")
    if curve is None:
        lines.append(f"folds: {folds}")
    else:
        sizes = _curve_sizes(recipe, plan.data["train"].rows, offline=offline)
        all_rows = f"# of {plan.data['train'].rows}, which the recipe itself has"
        lines += [f"curve: {curve}", f"space: {{data: {{max_rows: {sizes}}}}}  {all_rows}", "search: {kind: grid}"]
        lines.append("# seeds: [17, 18, 19]  # trains each size so often; the interval is over them")
    write_text(path, "\n".join(lines) + "\n")
    return path


def _curve_sizes(recipe: Path, rows: int, *, offline: bool) -> list[int]:
    """Parts of the training rows that the recipe can be planned with: in few rows a class may be missing.

    Raises:
        Refusal: There are fewer than two (FTC585).
    """
    sizes, why = [], ""
    for part in _PARTS:
        try:
            api.plan(recipe, overrides=(f"data.max_rows={max(1, rows // part)}",), keep_lock=True, offline=offline)
            sizes.append(rows // part)
        except Refusal as refusal:
            first = refusal.diagnostics[0]
            why = f"with {rows // part}: {first.summary} ({first.code})"
    if len(sizes) < 2:
        summary, help = f"{rows} training rows are too few for a learning curve", "add rows"
        raise Refusal([diagnostic("FTC585", summary, help=help, notes=why, path="data.source")])
    return sizes


def plan_sweep(
    file: SweepFile, *, offline: bool = False, tell: Callable[[int, int], None] | None = None
) -> PlannedSweep:
    """Plans a sweep.

    Args:
        file: The sweep.
        offline: Use only what is on this machine.
        tell: Hears how many of how many plans are made.

    Raises:
        Refusal: The recipe has errors or needs several devices (FTC587), an objective can't be measured (FTC584), a
            point doesn't fit or can't be planned, the space has too many corners (FTC585), or the sweep's budget is too
            small (FTC586).
    """
    sweep = file.sweep
    own = api.plan(file.recipe, offline=offline)
    if own.plan.settings.train.world_size > 1:
        help = "let the recipe use one device; the sweep's `budget.parallel` runs several trials at once"
        raise Refusal([diagnostic("FTC587", "a trial needs several devices", help=help, path="budget.devices")])
    _refuse_unknown_objectives(file, own.plan)
    corners, startup = _corners(file), first_points(sweep, sweep.search.startup)
    folds: list[Point] = [repeated(file, {}, (None, fold)) for _, fold in sweep.repeats if fold is not None]
    points = {repr(point): point for point in (*corners, *startup, *folds)}
    plans: dict[str, Plan] = {}
    for number, (name, point) in enumerate(points.items(), start=1):
        try:
            plans[name] = plan_trial(file, point, offline=offline).plan
        except Refusal as refusal:
            note = f"the sweep has a trial with {', '.join(overrides_of(point))}"
            told = Refusal([replace(one, notes=(*one.notes, note)) for one in refusal.diagnostics])
            told.sources = refusal.sources
            raise told from None
        if tell is not None:
            tell(number, len(points))
    return PlannedSweep(file, own, _forecast(file, own.plan, (len(corners), len(startup)), points, plans))


def _forecast(
    file: SweepFile, own: Plan, checked: tuple[int, int], points: Mapping[str, Point], plans: Mapping[str, Plan]
) -> Forecast:
    """What the sweep takes, by the plans of its corners and of its first trials."""
    sweep = file.sweep
    seconds = _seconds(plans.values())
    trainings = (sweep.trials + bool(sweep.space)) * len(sweep.repeats)  # without a space a trial is the recipe
    total = seconds and SecondsRange(
        low=seconds.low * (1 + (trainings - 1) * _least_share(sweep, own)),
        expected=seconds.expected * trainings,
        high=seconds.high * trainings,
    )
    cost = _cost(own, total)
    largest = max(plans, key=lambda name: plans[name].memory.process.expected)
    return Forecast(
        name=file.name,
        recipe=sweep.recipe,
        goal=" and ".join(map(_goal, sweep.objectives)),
        axes=tuple(AxisWords(path=path, words=_axis_words(axis)) for path, axis in sweep.space.items()),
        search=sweep.search.kind if sweep.kind == "search" else sweep.kind,
        notes=_notes(sweep),
        trials=sweep.trials,
        trainings=trainings,
        corners=checked[0],
        startup=checked[1],
        memory_bytes=plans[largest].memory.process.expected,
        largest=", ".join(overrides_of(points[largest])) or "the recipe's own values",
        seconds=seconds,
        total=total,
        cost=cost,
        fitting=_fitting(file, seconds, total, cost),
    )


def _goal(objective: Objective) -> str:
    return f"{'highest' if objective.is_higher_better else 'lowest'} {objective.metric}"


def _axis_words(axis: Axis) -> str:
    """The values of one setting, in words."""
    values = axis.values()
    if isinstance(axis, Choices):
        return "one of " + ", ".join(map(yaml_text, values))
    spacing = "logarithmic" if isinstance(axis, LogRange) else "even"
    return f"{values[0]} to {values[-1]}, {len(values)} values, {spacing}"


def _notes(sweep: Sweep) -> tuple[str, ...]:
    notes = []
    if sweep.prune is not None:
        notes.append(f"pruned by {sweep.prune.kind} from step {sweep.prune.from_step}")
    if sweep.folds:
        notes.append(f"each on {sweep.folds} folds")
    if sweep.seeds:
        notes.append(f"each with {len(sweep.seeds)} seeds")
    if sweep.budget.parallel > 1:
        notes.append(f"{sweep.budget.parallel} at a time")
    return tuple(notes)


def plan_figure(objective: Objective, plan: Plan) -> float | None:
    """The value of an objective that a plan knows; None where it is measured, or where the plan has no time."""
    match objective.metric:
        case "trainable_parameters":
            return float(plan.model.num_trainable)
        case "memory":
            return float(plan.memory.process.expected)
        case "time":
            return plan.time.expected_seconds if plan.time else None
    return None


def _refuse_unknown_objectives(file: SweepFile, plan: Plan) -> None:
    """Each objective has to be seen on validation while the recipe trains."""
    measured = {"val_loss", plan.settings.train.select_metric, *(f"val_{name}" for name in plan.settings.eval.metrics)}
    for objective in file.sweep.objectives:
        if objective.metric in PLAN_FIGURES:
            continue
        if "validation" not in plan.data or not plan.data["validation"].rows:
            help = "write `data.split: {validation: 10%}` in the recipe"
            raise _at(file, diagnostic("FTC584", "the recipe has no validation rows to choose by", help=help))
        if objective.metric not in measured:
            known = ", ".join(f"`{name}`" for name in sorted(measured))
            bare = objective.metric.removeprefix("val_")
            help = f"write `{bare}` into the recipe's `eval.metrics`, or choose by {known}"
            summary = f"the recipe does not measure `{bare}`"
            raise _at(file, diagnostic("FTC584", summary, file.read.source.span("objective"), help=help))


def _at(file: SweepFile, found: Diagnostic) -> Refusal:
    refusal = Refusal([found])
    refusal.sources = {file.path.name: file.read.lines}
    return refusal


def _corners(file: SweepFile) -> tuple[Point, ...]:
    axes = [(axis, axis.values()) for axis in file.sweep.space.values()]
    ends = [values if isinstance(axis, Choices) else (values[0], values[-1]) for axis, values in axes]
    count = math.prod(map(len, ends))
    if count > _MOST_CORNERS:
        help = "search fewer settings at a time, or shorter lists"
        summary = f"the space has {count:,} corners, and a sweep plans at most {_MOST_CORNERS}"
        raise _at(file, diagnostic("FTC585", summary, file.read.source.span("space"), help=help))
    return tuple(dict(zip(file.sweep.space, corner, strict=True)) for corner in product(*ends))


def _trial_seconds(plan: Plan) -> SecondsRange | None:
    """The time of a trial: of everything before the test split is measured."""
    if plan.time is None:
        return None
    total = SecondsRange(low=0.0, expected=0.0, high=0.0)
    for phase in plan.time.phases:
        if phase.phase not in _AFTER_TRAINING:
            total = total.plus(phase.seconds)
    return total


def _seconds(plans: Iterable[Plan]) -> SecondsRange | None:
    found = [_trial_seconds(plan) for plan in plans]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or not known:
        return None
    return SecondsRange(
        low=min(one.low for one in known),
        expected=sum(one.expected for one in known) / len(known),
        high=max(one.high for one in known),
    )


def _least_share(sweep: Sweep, plan: Plan) -> float:
    """The least part of a trial that is run on average: all but the best ones may be pruned at the first rung."""
    if sweep.prune is None:
        return 1.0
    first = min(
        1.0, max(sweep.prune.from_step, plan.settings.train.evaluate_every_steps) / plan.settings.train.num_steps
    )
    return first + (1 - first) / sweep.prune.factor


def _cost(own: Plan, total: SecondsRange | None) -> CostRange | None:
    """What the trainings cost, from their time and the price of an hour."""
    time = own.time
    if time is None or total is None or time.cost_high is None or not time.high_seconds:
        return None
    price = time.cost_high.amount / time.high_seconds
    return CostRange(low=total.low * price, high=total.high * price, currency=time.cost_high.currency)


def _fitting(
    file: SweepFile,
    seconds: SecondsRange | None,
    total: SecondsRange | None,
    cost: CostRange | None,
) -> int | None:
    """How many trials surely fit.

    Raises:
        Refusal: Fewer than are wanted are expected to fit, or nobody knows (FTC586).
    """
    budget, sweep = file.sweep.budget, file.sweep
    if budget.time is None and budget.cost is None:
        return None
    place = file.read.source.span("budget")
    if seconds is None or total is None or (budget.cost is not None and cost is None):
        what = "price" if seconds is not None else "time"
        help = "`ftc device calibrate` measures this machine" if what == "time" else "write `budget.price_per_hour`"
        summary = f"the sweep has a limit, and a trial's {what} is not known"
        raise _at(file, diagnostic("FTC586", summary, place, help=help))
    each, parallel = len(sweep.repeats), budget.parallel
    rooms: list[tuple[float, float]] = []
    if budget.time is not None:
        rooms.append((budget.time * parallel / seconds.expected, budget.time * parallel / seconds.high))
    if budget.cost is not None and cost is not None:
        if cost.currency != budget.cost.currency:
            summary = f"the sweep's limit is in {budget.cost.currency}, the plans are in {cost.currency}"
            raise _at(file, diagnostic("FTC586", summary, place, help=f"write the limit in {cost.currency}"))
        price = cost.high / total.high
        rooms.append((budget.cost.amount / price / seconds.expected, budget.cost.amount / price / seconds.high))
    expected, surely = (int(min(one) / each) - 1 for one in zip(*rooms, strict=True))
    if expected < sweep.trials:
        summary = f"{max(0, expected)} of {sweep.trials} trials are expected to fit into the sweep's budget"
        help = f"write `search.trials: {expected}`, or raise `budget`" if expected > 0 else "raise `budget`"
        raise _at(file, diagnostic("FTC586", summary, place, help=help))
    return max(0, surely)
