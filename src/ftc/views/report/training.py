"""How training went, as charts with the figures behind them: events as series, and what curves say of overfitting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ftc.spec.documents.events import Evaluated, Event, Noticed, PhaseEnded, StepDone, without_repeats
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.views import numbers
from ftc.views.findings import is_still_falling
from ftc.views.report.charts import COLORS, Axis, Drawer, Lines, Point, Series, figure
from ftc.views.report.elements import details, section, table, text
from ftc.views.words import metric_title, parent_parts, skipped_words, steps_words

__all__ = [
    "STEPS",
    "History",
    "history",
    "overfitting_words",
    "range_words",
    "raw_and_smoothed",
    "short",
    "smoothed",
    "thinned",
    "training_section",
]

_ONE = 1 << 1074
"""In units of the smallest float, of which every float is a whole number."""


@dataclass(frozen=True, slots=True)
class History:
    """What the run said, without the steps that were done again after a resume."""

    steps: tuple[StepDone, ...]
    evaluations: tuple[Evaluated, ...]
    """Evaluations on the validation split."""
    phases: tuple[PhaseEnded, ...]
    notices: tuple[Noticed, ...]

    def points(self, field: str) -> list[Point]:
        """One field of every step that has it, such as `loss`."""
        found = ((step.step, getattr(step, field)) for step in self.steps)
        return [(step, value) for step, value in found if value is not None]

    def throughput(self) -> list[Point]:
        """Tokens per second of every step that took a time that can be told."""
        found = ((step.step, step.tokens / step.seconds) for step in self.steps if step.seconds > 0)
        return [(step, speed) for step, speed in found if math.isfinite(speed)]

    def validation(self, metric: str) -> list[Point]:
        """One metric of every evaluation on validation that has it."""
        return [(one.step, one.metrics[metric]) for one in self.evaluations if metric in one.metrics]


def history(events: Sequence[Event]) -> History:
    """Series out of events; a step that was done twice counts once, as it was done last."""
    steps, evaluations = without_repeats(events)
    return History(
        steps=steps,
        evaluations=evaluations,
        phases=tuple(event for event in events if isinstance(event, PhaseEnded)),
        notices=tuple(event for event in events if isinstance(event, Noticed)),
    )


def smoothed(points: Sequence[Point], span: int) -> list[Point]:
    """The mean of `span` points around each one, of fewer at both ends; unlike a trailing mean it does not lag.

    Sums are exact, so that a spike, such as a gradient norm of 1e17, takes nothing from the means behind it.
    """
    ratios = (value.as_integer_ratio() for _, value in points)
    sums = list(accumulate((part * (_ONE // whole) for part, whole in ratios), initial=0))
    means = []
    for index, (step, _) in enumerate(points):
        start, end = max(0, index - span // 2), min(len(points), index + span // 2 + 1)
        means.append((step, (sums[end] - sums[start]) / ((end - start) * _ONE)))
    return means


def thinned(points: Sequence[Point], limit: int = 600) -> list[Point]:
    """At most about `limit` points: the lowest and the highest of each stretch, so that no spike is lost."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil(2 * len(points) / limit)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), size):
        stretch = range(start, min(start + size, len(points)))
        kept.add(min(stretch, key=lambda index: points[index][1]))
        kept.add(max(stretch, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]


STEPS = Axis("step", "{:,.0f}".format, whole=True)
"""The horizontal axis."""
_SHORTEST_SMOOTHED = 12
_MEANS_DRAWN = 120
_LARGE = 1e9
"""From here on a value is written with an exponent."""


def raw_and_smoothed(prefix: str, points: Sequence[Point], color: int) -> list[Series]:
    """A faint line of every step and a main line of means; one line alone where steps are few."""
    if len(points) < _SHORTEST_SMOOTHED:
        return [Series(f"{prefix}each step", points, "line", color)]
    span = max(5, len(points) // 12) // 2 * 2 + 1
    stride = -(-len(points) // _MEANS_DRAWN)
    return [
        Series(f"{prefix}each step", thinned(points), "raw", color),
        Series(f"{prefix}mean of {span} steps", smoothed(points, span)[::stride], "line", color),
    ]


def range_words(points: Sequence[Point], name: str) -> str:
    """The first, the last, the lowest and the highest value in a sentence."""
    if not points:
        return f"No {name}."
    values = [value for _, value in points]
    (first, start), (last, end) = points[0], points[-1]
    return (
        f"The {name} is {short(start)} at step {round(first):,} and {short(end)} at step {round(last):,}, "
        f"between {short(min(values))} and {short(max(values))}."
    )


def short(value: float) -> str:
    """A value of an axis: `0.25`, `1.5`, `12,000`, `2e-4`, `3e+12`."""
    if value and abs(value) < 0.001:
        return numbers.rate(value)
    if abs(value) >= _LARGE:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


_FEWEST_EVALUATIONS = 3
_RISE = 0.02
"""Share by which validation loss has to rise above its lowest point before it is more than its usual wavering."""


def overfitting_words(run: History, record: RunRecord) -> str:
    """Where validation loss turned while training loss went on falling; empty where the curves can't or don't tell.

    The evaluations on validation are compared with the lowest of them, and the training loss with what it was there,
    both as a mean of the steps around.
    """
    evaluations, losses = run.validation("val_loss"), run.points("loss")
    if len(evaluations) < _FEWEST_EVALUATIONS or not losses:
        return ""
    turn, lowest = min(evaluations, key=lambda one: (one[1], one[0]))
    last, end = evaluations[-1]
    if is_still_falling(record):
        return ""
    if end <= lowest * (1 + _RISE):
        near = f"within {100 * _RISE:.0f} % of its lowest, at step {_step(turn)}"
        return f"No overfitting: validation loss ends {near}."
    means = smoothed(losses, max(5, len(losses) // 12))
    at_turn, at_end = (min(means, key=lambda point: abs(point[0] - step))[1] for step in (turn, last))
    if at_end >= at_turn:
        rise = f"from {lowest:.3f} to {end:.3f} after step {_step(turn)}"
        return f"Validation loss rose {rise}, and training loss with it."
    kept = record.selected_step
    result = f" The result uses the weights of step {_step(kept)}." if kept is not None else ""
    return (
        f"Overfitting from step {_step(turn)} on: validation loss rose from {lowest:.3f} to {end:.3f}, while training "
        f"loss fell from {at_turn:.3f} to {at_end:.3f}.{result}"
    )


def _step(number: float) -> str:
    return numbers.count(round(number))


_ROWS_SHOWN = 60


def training_section(plan: Plan, record: RunRecord, run: History, drawn: Drawer) -> str:
    """Loss, learning rate, gradient norm and what validation measured, over the steps."""
    charts = "".join(figure(chart, drawn) for chart in _charts(plan, record, run))
    grid = f'<div class="charts">{charts}</div>' if charts else ""
    curves = overfitting_words(run, record)
    told = f"<p>{text(curves)}</p>" if curves else ""
    train = plan.settings.train
    if plan.settings.model.fetched is not None:
        told = ", ".join((steps_words(plan, record), *parent_parts(plan)))
        return section("training", "Training", f"<p>{text(told)}. Losses and gradients are not known here.</p>")
    of = f" of {numbers.count(train.num_steps)}" if record.steps_done != train.num_steps else ""
    words = [f"{numbers.count(record.steps_done)}{of} steps of {numbers.plural(train.batch_size, 'row')}"]
    if record.selected_step is not None:
        words.append(f"the weights are those of step {numbers.count(record.selected_step)}")
    if any(segment.ended_by == "early_stop" for segment in record.segments):
        words.append("training stopped early")
    words += skipped_words(record)
    if len(run.steps) < record.steps_done:
        words.append(f"the log has {numbers.plural(len(run.steps), 'step')}")
    # The charts' figures as a table, for those who cannot see the charts and those who want the numbers.
    evaluations = {one.step: one.metrics.get("val_loss") for one in run.evaluations}
    stride = -(-len(run.steps) // _ROWS_SHOWN) or 1
    kept = [
        step
        for index, step in enumerate(run.steps)
        if index % stride == 0 or index == len(run.steps) - 1 or step.step in evaluations
    ]
    rows = []
    for step in kept:
        evaluation = evaluations.get(step.step)
        rows.append(
            (
                numbers.count(step.step),
                f"{step.loss:.4f}",
                "" if evaluation is None else f"{evaluation:.4f}",
                numbers.rate(step.learning_rate),
                "skipped" if step.grad_norm is None else f"{step.grad_norm:.4f}",
                numbers.count(step.tokens),
                numbers.count(step.supervised),
                numbers.per_second(step.tokens, step.seconds),
            )
        )
    header = ("step", "loss", "validation loss", "learning rate", "gradient norm", "tokens", "supervised", "tokens/s")
    caption = (
        "Every step" if stride == 1 else f"Every {numbers.ordinal(stride)} step, those with validation, and the last"
    )
    items = "".join(f"<li>{text(notice.text)} <code>{text(notice.code)}</code></li>" for notice in run.notices)
    parts = (
        f"<p>{text('; '.join(words))}.</p>",
        told,
        grid,
        details("Values of the charts", table(caption, header, rows, right=range(8))),
        _evaluations(run),
        f"<h3>Notices during the run</h3><ul>{items}</ul>" if items else "",
    )
    return section("training", "Training", *parts)


def _answer_charts(run: History) -> Iterator[Lines]:
    """What answers that were written in training earned, and how long they were; nothing where none were."""
    known = [(step.step, step.sampled) for step in run.steps if step.sampled is not None]
    if known:
        rewards, evaluations = [(step, one.reward) for step, one in known], run.validation("mean_reward")
        words = [range_words(rewards, "mean reward of the sampled answers")]
        words += [range_words(evaluations, "mean reward on validation")] if evaluations else []
        yield Lines(
            key="reward",
            title="Reward",
            description=" ".join(words),
            series=[*raw_and_smoothed("sampled answers, ", rewards, 0), Series("validation", evaluations, "dots", 1)],
            x=STEPS,
            y=Axis("mean reward", short),
            is_wide=True,
            height=490,
        )
    if lengths := [(step.step, own.length) for step in run.steps if (own := step.own_answers) is not None]:
        yield Lines(
            key="length",
            title="Length of written answers",
            description=range_words(lengths, "mean length"),
            series=raw_and_smoothed("", lengths, 0),
            x=STEPS,
            y=Axis("tokens", short, from_zero=True),
        )
    if known:
        even = [(step, one.even_groups) for step, one in known]
        yield Lines(
            key="even",
            title="Groups whose answers all earned the same",
            description=f"{range_words(even, 'share of such groups')} They teach nothing.",
            series=raw_and_smoothed("", even, 0),
            x=STEPS,
            y=Axis("share of the groups", limits=(0.0, 1.0)),
        )


def _charts(plan: Plan, record: RunRecord, run: History) -> Iterator[Lines]:
    yield from _answer_charts(run)
    losses, evaluations = run.points("loss"), run.validation("val_loss")
    mark = None
    words = [range_words(losses, "training loss")] + (
        [range_words(evaluations, "validation loss")] if evaluations else []
    )
    if record.selected_step is not None:
        mark = (record.selected_step, f"selected: step {numbers.count(record.selected_step)}")
        words.append(f"The weights are those of step {numbers.count(record.selected_step)}.")
    yield Lines(
        key="loss",
        title="Loss",
        description=" ".join(words),
        series=[*raw_and_smoothed("training, ", losses, 0), Series("validation", evaluations, "dots", 1)],
        x=STEPS,
        y=Axis(plan.settings.loss_unit, short),
        mark=mark,
        is_wide=True,
        height=490,
    )
    rates, norms = run.points("learning_rate"), run.points("grad_norm")
    yield Lines(
        key="rate",
        title="Learning rate",
        description=f"Schedule {plan.settings.train.schedule.kind}. {range_words(rates, 'learning rate')}",
        series=[Series("each step", thinned(rates), "line")],
        x=STEPS,
        y=Axis("learning rate", numbers.rate, from_zero=True),
    )
    yield Lines(
        key="norm",
        title="Gradient norm, before clipping",
        description=range_words(norms, "gradient norm"),
        series=raw_and_smoothed("", norms, 0),
        x=STEPS,
        y=Axis("norm of all gradients", short, from_zero=True),
    )
    # Metrics of validation that are shares; nothing where there are fewer than two evaluations.
    names = sorted({name for one in run.evaluations for name in one.metrics} - {"val_loss"})
    lines = {name: run.validation(name) for name in names}
    shares = {
        name: points
        for name, points in lines.items()
        if len(points) > 1 and all(0 <= value <= 1 for _, value in points)
    }
    yield Lines(
        key="looks",
        title="Metrics on validation",
        description=" ".join(range_words(points, metric_title(name)) for name, points in shares.items()),
        series=[
            Series(metric_title(name), points, "dots" if number % 2 else "squares", number % COLORS)
            for number, (name, points) in enumerate(shares.items())
        ],
        x=STEPS,
        y=Axis("value", limits=(0.0, 1.0)),
        is_wide=True,
        is_full=True,
    )


def _evaluations(run: History) -> str:
    names = sorted({name for one in run.evaluations for name in one.metrics})
    rows = [
        (
            numbers.count(evaluation.step),
            *(numbers.metric(evaluation.metrics[name]) if name in evaluation.metrics else "" for name in names),
            "best so far" if evaluation.best else "",
        )
        for evaluation in run.evaluations
    ]
    titles = ("validation loss" if name == "val_loss" else metric_title(name) for name in names)
    header = ("step", *titles, "remark")
    return table("Validation", header, rows, right=range(len(names) + 1))
