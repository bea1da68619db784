"""How training went, as charts with the figures behind them."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.views import numbers
from ftc.views.curves import overfitting_words
from ftc.views.headline import metric_title
from ftc.views.report.charts import COLORS, Axis, Drawer, Lines, Series, figure
from ftc.views.report.elements import details, section, table, text
from ftc.views.report.history import History, thinned
from ftc.views.report.steps import STEPS, range_words, raw_and_smoothed, short

__all__ = ["training_section"]

_ROWS_SHOWN = 60


def training_section(plan: Plan, record: RunRecord, run: History, drawn: Drawer) -> str:
    """Loss, learning rate, gradient norm and what validation measured, over the steps."""
    charts = "".join(figure(chart, drawn) for chart in _charts(plan, record, run))
    grid = f'<div class="charts">{charts}</div>' if charts else ""
    curves = overfitting_words(run, record)
    told = f"<p>{text(curves)}</p>" if curves else ""
    parts = (_summary(plan, record, run), told, grid, _figures(run), _looks(run), _notices(run))
    return section("training", "Training", *parts)


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
    yield _looks_chart(run)


def _loss_chart(record: RunRecord, run: History) -> Lines:
    losses, looks = run.points("loss"), run.validation("val_loss")
    mark = None
    words = [range_words(losses, "training loss")] + ([range_words(looks, "validation loss")] if looks else [])
    if record.selected_step is not None:
        mark = (record.selected_step, f"selected: step {numbers.count(record.selected_step)}")
        words.append(f"The weights are those of step {numbers.count(record.selected_step)}.")
    return Lines(
        key="loss",
        title="Loss",
        description=" ".join(words),
        series=[*raw_and_smoothed("training, ", losses, 0), Series("validation", looks, "dots", 1)],
        x=STEPS,
        y=Axis("nats", short),
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
        description=" ".join(range_words(points, metric_title(name)) for name, points in shares.items()),
        series=[
            Series(metric_title(name), points, "dots" if number % 2 else "squares", number % COLORS)
            for number, (name, points) in enumerate(shares.items())
        ],
        x=STEPS,
        y=Axis("value", limits=(0.0, 1.0)),
        is_wide=True,
    )


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
