"""All runs of a project on one page: a card each, its curve on the scale of its recipe, and filters without script.

A filter is the fragment of the page's address, so that it stays when the page is loaded again while a run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from ftc.spec.documents.events import Event
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.version import VERSION
from ftc.views import numbers
from ftc.views.report.elements import framed, section, text
from ftc.views.report.training import History, history, thinned
from ftc.views.words import headline, steps_words

__all__ = ["Listed", "runs_html"]

_REFRESH_SECONDS = 5
_WIDTH, _HEIGHT, _TOP = 300, 96, 8
"""Units of a curve's drawing."""
_MOST_POINTS = 150


@dataclass(frozen=True, slots=True)
class Listed:
    """One run.

    Attributes:
        plan: Its plan.
        record: Its record; of a run whose process is gone, as the next process will find it.
        evaluation: The measurement on the test split, if it came to that.
        events: What it said so far.
        report: Its page; None where there is none yet.
    """

    plan: Plan
    record: RunRecord
    evaluation: Evaluation | None
    events: Sequence[Event]
    report: Path | None

    @property
    def is_running(self) -> bool:
        """Whether a process works on it."""
        return self.record.status == "running"


def runs_html(found: Sequence[Listed], folder: Path) -> str:
    """The page.

    Args:
        found: The runs, newest first.
        folder: Where the page lies; links to reports are relative to it.
    """
    kinds: dict[str, list[str]] = {
        "recipe": sorted({one.record.name for one in found}),
        "status": sorted({str(one.record.status) for one in found}),
        "task": sorted({one.plan.recipe.task.kind for one in found}),
        "base": sorted({one.plan.model.name for one in found}),
    }
    keys = [(kind, value) for kind, values in kinds.items() if len(values) > 1 for value in values]
    filters = {key: f"only-{index}" for index, key in enumerate(keys)}
    curves = [history(one.events) for one in found]
    # The lowest and highest loss of each recipe's runs, so that their curves can be compared.
    values: dict[str, list[float]] = {}
    for one, run in zip(found, curves, strict=True):
        losses = values.setdefault(one.record.name, [])
        losses += [value for _, value in run.points("loss") + run.validation("val_loss")]
    scales = {name: (min(losses), max(losses)) if losses else (0.0, 0.0) for name, losses in values.items()}
    cards = "".join(
        _card(one, run, scales[one.record.name], filters, folder) for one, run in zip(found, curves, strict=True)
    )
    alive = sum(one.is_running for one in found)
    recipes = len({one.record.name for one in found})
    lead = f"{numbers.plural(len(found), 'run')} of {numbers.plural(recipes, 'recipe')}"
    lead += f", {numbers.count(alive)} running now." if alive else "."
    header = (
        f'<header><p class="kind">All runs of this project</p><h1>Runs</h1><p class="lead">{text(lead)}</p></header>'
    )
    body = f'<div class="runs">{cards}</div>' if found else "<p>No runs yet.</p>"
    rules = "".join(f"body:has(#{key}:target) .run:not(.{key}){{display:none}}" for key in filters.values())
    rules += "".join(
        f"body:has(#{key}:target) .filters a[href='#{key}']{{font-weight:700}}" for key in filters.values()
    )
    head = f"<style>{rules}</style>\n"
    if alive:
        head += f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">\n'
    page = section("runs", "Runs", _filter_links(filters), body)
    footer = f"Made by ftc {text(VERSION)}."
    return framed("All runs", header, [("runs", "Runs", page)], footer, None, head=head, says_charts=False)


def _filter_links(filters: Mapping[tuple[str, str], str]) -> str:
    if not filters:
        return ""
    kinds = dict.fromkeys(kind for kind, _ in filters)
    marks = "".join(f'<span id="{key}"></span>' for key in filters.values())
    lines = [
        f"<li>{kind}: "
        + " ".join(f'<a href="#{key}">{text(value)}</a>' for (one, value), key in filters.items() if one == kind)
        + "</li>"
        for kind in kinds
    ]
    return f'{marks}<ul class="filters"><li><a href="#runs">all runs</a></li>{"".join(lines)}</ul>'


def _card(
    one: Listed, run: History, scale: tuple[float, float], filters: Mapping[tuple[str, str], str], folder: Path
) -> str:
    record, steps = one.record, one.plan.settings.train.num_steps
    kinds = {
        "recipe": record.name,
        "status": record.status,
        "task": one.plan.recipe.task.kind,
        "base": one.plan.model.name,
    }
    classes = " ".join(["run", *(key for (kind, value), key in filters.items() if kinds[kind] == value)])
    began = record.segments[0].started_at[:16].replace("T", " ") if record.segments else "not begun"
    name = f"<code>{text(record.id)}</code>"
    if one.report is not None:
        name = f'<a href="{quote(Path(relpath(one.report, folder)).as_posix())}">{name}</a>'
    result = headline(one.evaluation)
    status = f'<span class="status {text(record.status)}">{text(record.status.replace("_", " "))}</span>'
    about = (
        one.plan.recipe.task.kind,
        one.plan.model.name,
        one.plan.settings.strategy.words(),
        f"step {numbers.count(record.steps_done)} of {numbers.count(steps)}"
        if one.plan.settings.model.fetched is None
        else steps_words(one.plan, record),
        began,
    )
    return (
        f'<article class="{classes}"><h3>{text(record.name)} {name} {status}</h3>'
        f"{f'<p>{text(result)}</p>' if result else ''}{_curve(run, scale, f'{record.name} {record.id}')}"
        f"<p><small>{text(' · '.join(about))}</small></p></article>"
    )


def _curve(run: History, scale: tuple[float, float], name: str) -> str:
    """Training loss as a line and validation loss as dots, with their last values in words."""
    loss = thinned(run.points("loss"), _MOST_POINTS)
    if not loss:
        return "<p><small>no step yet</small></p>"
    validation = run.validation("val_loss")
    low, high = scale
    first, last = loss[0][0], max(loss[-1][0], validation[-1][0] if validation else 0)

    def place(point: tuple[float, float]) -> tuple[str, str]:
        across = (point[0] - first) / (last - first) if last > first else 0.0
        down = (high - point[1]) / (high - low) if high > low else 0.5
        return f"{4 + (_WIDTH - 8) * across:.1f}", f"{_TOP + (_HEIGHT - 2 * _TOP) * down:.1f}"

    line = " ".join(",".join(place(point)) for point in loss)
    dots = "".join('<circle cx="{}" cy="{}" r="3"/>'.format(*place(point)) for point in validation)
    words = f"training loss {numbers.metric(loss[-1][1])}"
    words += f", validation loss {numbers.metric(validation[-1][1])}" if validation else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(f"{name}: {words}")}" class="spark">'
        f'<polyline points="{line}"/>{dots}</svg><p><small>{text(words)}; scale {numbers.metric(low)} to '
        f"{numbers.metric(high)} for all runs of the recipe</small></p>"
    )
