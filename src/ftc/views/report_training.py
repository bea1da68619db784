"""How training went, as charts with the figures behind them, and memory and time against the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftc.spec.plan import Plan
from ftc.spec.record import RunRecord
from ftc.views import numbers
from ftc.views.curves import overfitting_words
from ftc.views.headline import metric_title
from ftc.views.report_charts import COLORS, Axis, Drawer, Lines, Series, figure
from ftc.views.report_elements import details, facts, section, table, text
from ftc.views.report_history import History, Point, smoothed, thinned
from ftc.views.report_memory import memory_section
from ftc.views.run import wall_seconds
from ftc.views.tasks import learnt_noun
from ftc.views.times import phase_word

__all__ = ["resources_section", "training_section"]

_ROWS_SHOWN = 60
_SHORTEST_SMOOTHED = 12
_MEANS_DRAWN = 120
_STEPS = Axis("step", "{:,.0f}".format, whole=True)


def training_section(plan: Plan, record: RunRecord, run: History, drawn: Drawer) -> str:
    """Loss, learning rate, gradient norm and what validation measured, over the steps."""
    charts = "".join(figure(chart, drawn) for chart in _charts(plan, record, run))
    grid = f'<div class="charts">{charts}</div>' if charts else ""
    curves = overfitting_words(run, record)
    told = f"<p>{text(curves)}</p>" if curves else ""
    parts = (_summary(plan, record, run), told, grid, _figures(run), _looks(run), _notices(run))
    return section("training", "Training", *parts)


def resources_section(plan: Plan, record: RunRecord, run: History, drawn: Drawer) -> str:
    """Memory planned and measured, then time."""
    speed = figure(_speed_chart(run), drawn)
    return section("resources", "Memory and time", memory_section(plan, record, drawn), _time(plan, record, run), speed)


def _summary(plan: Plan, record: RunRecord, run: History) -> str:
    train = plan.settings.train
    of = f" of {numbers.count(train.num_steps)}" if record.steps_done != train.num_steps else ""
    words = [f"{numbers.count(record.steps_done)}{of} steps of {numbers.plural(train.batch_size, 'row')}"]
    if record.selected_step is not None:
        words.append(f"the weights are those of step {numbers.count(record.selected_step)}")
    if any(segment.ended_by == "early_stop" for segment in record.segments):
        words.append("training stopped early")
    if len(run.steps) < record.steps_done:
        words.append(f"the log holds {numbers.plural(len(run.steps), 'step')}")
    return f"<p>{text('; '.join(words))}.</p>"


def _charts(plan: Plan, record: RunRecord, run: History) -> Iterator[Lines]:
    yield _loss_chart(record, run)
    rates, norms = run.points("learning_rate"), run.points("grad_norm")
    yield Lines(
        key="rate",
        title="Learning rate",
        description=f"Schedule {plan.settings.train.schedule.kind}. {_range(rates, 'learning rate')}",
        series=[Series("each step", thinned(rates), "line")],
        x=_STEPS,
        y=Axis("learning rate", numbers.rate, from_zero=True),
    )
    yield Lines(
        key="norm",
        title="Gradient norm, before clipping",
        description=_range(norms, "gradient norm"),
        series=_raw_and_smoothed("", norms, 0),
        x=_STEPS,
        y=Axis("norm of all gradients", _short, from_zero=True),
    )
    yield _looks_chart(run)


def _loss_chart(record: RunRecord, run: History) -> Lines:
    losses, looks = run.points("loss"), run.validation("val_loss")
    mark = None
    words = [_range(losses, "training loss")] + ([_range(looks, "validation loss")] if looks else [])
    if record.selected_step is not None:
        mark = (record.selected_step, f"selected: step {numbers.count(record.selected_step)}")
        words.append(f"The weights are those of step {numbers.count(record.selected_step)}.")
    return Lines(
        key="loss",
        title="Loss",
        description=" ".join(words),
        series=[*_raw_and_smoothed("training, ", losses, 0), Series("validation", looks, "dots", 1)],
        x=_STEPS,
        y=Axis("nats", _short),
        mark=mark,
        is_wide=True,
        height=490,
    )


def _looks_chart(run: History) -> Lines:
    """Metrics of validation that are shares; nothing where there are fewer than two looks."""
    names = sorted({name for look in run.looks for name in look.metrics} - {"val_loss"})
    lines = {name: run.validation(name) for name in names}
    shares = {
        name: points
        for name, points in lines.items()
        if len(points) > 1 and all(0 <= value <= 1 for _, value in points)
    }
    return Lines(
        key="looks",
        title="Metrics on validation",
        description=" ".join(_range(points, metric_title(name)) for name, points in shares.items()),
        series=[
            Series(metric_title(name), points, "dots" if number % 2 else "squares", number % COLORS)
            for number, (name, points) in enumerate(shares.items())
        ],
        x=_STEPS,
        y=Axis("0 to 1"),
    )


def _speed_chart(run: History) -> Lines:
    speeds = run.throughput()
    return Lines(
        key="speed",
        title="Throughput",
        description=_range(speeds, "throughput"),
        series=_raw_and_smoothed("", speeds, 0),
        x=_STEPS,
        y=Axis("tokens per second", _short, from_zero=True),
        is_wide=True,
    )


def _raw_and_smoothed(prefix: str, points: Sequence[Point], color: int) -> list[Series]:
    """A faint line of every step and a main line of means; one line alone where steps are few."""
    if len(points) < _SHORTEST_SMOOTHED:
        return [Series(f"{prefix}each step", points, "line", color)]
    span = max(5, len(points) // 12) // 2 * 2 + 1
    stride = -(-len(points) // _MEANS_DRAWN)
    return [
        Series(f"{prefix}each step", thinned(points), "raw", color),
        Series(f"{prefix}mean of {span} steps", smoothed(points, span)[::stride], "line", color),
    ]


def _range(points: Sequence[Point], name: str) -> str:
    if not points:
        return f"No {name}."
    values = [value for _, value in points]
    (first, start), (last, end) = points[0], points[-1]
    return (
        f"The {name} is {_short(start)} at step {round(first):,} and {_short(end)} at step {round(last):,}, "
        f"between {_short(min(values))} and {_short(max(values))}."
    )


def _short(value: float) -> str:
    """A value of an axis: `0.25`, `1.5`, `12,000`, `2e-4`."""
    if value and abs(value) < 0.001:
        return numbers.rate(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _figures(run: History) -> str:
    """The charts' figures as a table, for those who cannot see the charts and those who want the numbers."""
    looks = {look.step: look.metrics.get("val_loss") for look in run.looks}
    stride = -(-len(run.steps) // _ROWS_SHOWN) or 1
    kept = [
        step
        for index, step in enumerate(run.steps)
        if index % stride == 0 or index == len(run.steps) - 1 or step.step in looks
    ]
    rows = []
    for step in kept:
        look = looks.get(step.step)
        rows.append(
            (
                numbers.count(step.step),
                f"{step.loss:.4f}",
                "" if look is None else f"{look:.4f}",
                numbers.rate(step.learning_rate),
                f"{step.grad_norm:.4f}",
                numbers.count(step.tokens),
                numbers.count(step.supervised),
                numbers.count(round(step.tokens / step.seconds)) if step.seconds > 0 else "",
            )
        )
    header = ("step", "loss", "validation loss", "learning rate", "gradient norm", "tokens", "supervised", "tokens/s")
    caption = "Every step" if stride == 1 else f"Every {stride}th step, those with validation, and the last"
    return details("Figures behind the charts", table(caption, header, rows, right=range(8)))


def _looks(run: History) -> str:
    names = sorted({name for look in run.looks for name in look.metrics})
    rows = [
        (
            numbers.count(look.step),
            *(numbers.metric(look.metrics[name]) if name in look.metrics else "" for name in names),
            "best so far" if look.best else "",
        )
        for look in run.looks
    ]
    header = ("step", *(name.replace("_", " ") for name in names), "remark")
    return table("Validation", header, rows, right=range(len(names) + 1))


def _notices(run: History) -> str:
    items = "".join(f"<li>{text(notice.text)} <code>{text(notice.code)}</code></li>" for notice in run.notices)
    return f"<h3>Noticed on the way</h3><ul>{items}</ul>" if items else ""


def _time(plan: Plan, record: RunRecord, run: History) -> str:
    whole = wall_seconds(record)
    rows = []
    if plan.time is not None:
        planned = numbers.duration_range(plan.time.low_seconds, plan.time.high_seconds)
        rows.append(("planned", f"{planned} ({text(plan.time.method)})"))
    if whole is not None:
        several = f", over {len(record.segments)} stretches" if len(record.segments) > 1 else ""
        rows.append(("measured", f"{numbers.duration(whole)} from start to end{several}"))
    rows.append(("training steps", numbers.duration(record.train_seconds)))
    if record.train_seconds > 0:
        speed = f"{numbers.count(round(record.tokens / record.train_seconds))} tokens/s"
        rows.append(("mean throughput", f"{speed}, padding not counted"))
    rows.append(("tokens", f"{numbers.count(record.tokens)}; {_supervised(plan, record)}"))
    phases: dict[str, float] = {}
    for phase in run.phases:
        phases[phase.phase] = phases.get(phase.phase, 0.0) + phase.seconds
    rows += [(f"phase: {name}", numbers.duration(seconds)) for name, seconds in phases.items()]
    return f"<h3>Time</h3>{facts(rows)}{_time_by_phase(record)}"


def _time_by_phase(record: RunRecord) -> str:
    """Planned and measured side by side."""
    rows = [
        (
            text(phase_word(one.phase)),
            numbers.duration_range(one.planned.low, one.planned.high) if one.planned else "–",
            numbers.duration(one.seconds),
            numbers.change_percent(one.seconds, one.planned.expected) if one.planned else "–",
        )
        for one in record.time_by_phase
    ]
    header = ("phase", "planned", "measured", "beside the expected figure")
    return table("Time by phase", header, rows, right=(1, 2, 3)) if rows else ""


def _supervised(plan: Plan, record: RunRecord) -> str:
    noun = learnt_noun(plan)
    return f"{numbers.count(record.supervised_tokens)} {f'{noun} learnt' if noun else 'supervised'}"
