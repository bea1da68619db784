"""A sweep on one page: how its trials went, which settings were good, what mattered, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.documents.sweep_report import SweepReport, TrialReport
from ftc.spec.version import VERSION
from ftc.views import numbers
from ftc.views.report.charts import Axis, Drawer, Lines, Range, Ranges, Series, drawer, figure
from ftc.views.report.elements import facts, framed, section, table, text
from ftc.views.sweep import KINDS, mean_rows, objective_words, shown_value, status_word, verdict_words

__all__ = ["sweep_html"]

_WIDTH, _HEIGHT, _TOP, _SIDE = 720, 300, 34, 60
"""Pixels of the parallel coordinates, and of the space for their titles."""


def sweep_html(found: SweepReport, drawn: Drawer | None = None) -> str:
    """The page.

    Args:
        found: The sweep.
        drawn: Who draws the charts; by default the library of the `report` extra, where it is installed.
    """
    drawn = drawn or drawer()
    ended = sum(one.status == "complete" for one in found.trials)
    complete = [one for one in found.trials if one.status == "complete" and found.kind == "search"]
    lead = f"{len(found.trials)} of {found.wanted} trials, {ended} complete."
    if found.verdict is not None:
        lead += f" {verdict_words(found)[0].capitalize()}."
    title = f"Sweep {found.name}"
    header = f'<header><p class="kind">{KINDS[found.kind]} {text(found.recipe)}</p><h1>{text(title)}</h1>'
    header += f'<p class="lead">{text(lead)}</p></header>'
    parts = [
        ("result", "Result", _result(found)),
        ("means", "Learning curve" if found.kind == "curve" else "Means", _repeated(found, drawn)),
        ("history", "History", section("history", "History", *_history(found, complete, drawn))),
        ("settings", "Settings", section("settings", "Settings", _parallel(found, complete), *_shares(found, drawn))),
        ("trials", "Trials", section("trials", "Trials", _table(found))),
    ]
    return framed(title, header, parts, f"Made by ftc {text(VERSION)}.", drawn.name)


def _result(found: SweepReport) -> str:
    rows = [("Objective", text(" and ".join(map(objective_words, found.metrics, found.higher_is_better))))]
    if found.kind == "search":
        rows.append(("Search", text(found.search)))
    for number in found.best:
        one = found.trials[number]
        values = ", ".join(map(shown_value, found.metrics, one.values))
        said = " ".join(one.overrides)
        rows.append((f"Trial {number}", f"{text(values)} with <code>{text(said)}</code>"))
    if found.own:
        rows.append(("The recipe's own values", text(", ".join(map(shown_value, found.metrics, found.own)))))
    if found.verdict is not None:
        rows.append(("Verdict", text("; ".join(verdict_words(found)))))
    return section("result", "Result", facts(rows))


def _repeated(found: SweepReport, drawn: Drawer) -> str:
    """Means over seeds and folds; of a learning curve as a picture too."""
    if not found.means:
        return ""
    metric, title = found.metrics[0], "Learning curve" if found.kind == "curve" else "Means"
    header, rows = mean_rows(found)
    method = next((f"95 % intervals {one.method}" for one in found.means if one.method), "One training each")
    values = table(method, header, [tuple(map(text, row)) for row in rows], right=(1,))
    chart = ""
    if found.kind == "curve" and len(found.means) > 1:
        points = [(float(one.rows), one.mean) for one in found.means]
        words = f"{metric} is {shown_value(metric, points[-1][1])} with {found.means[-1].rows:,} training rows."
        single = [(float(one.rows), value) for one in found.means for value in one.values]
        series = [Series("mean", points, "line"), Series("trainings", single, "cloud", 1)]
        axes = Axis("training rows", whole=True), Axis(metric)
        chart = figure(Lines("curve-chart", f"{metric} by training rows", words, series, *axes), drawn)
    repeats = f"<p>Trainings: {text('; '.join(found.repeats))}.</p>" if found.repeats else ""
    return section("means", title, chart, values, repeats)


def _history(found: SweepReport, complete: Sequence[TrialReport], drawn: Drawer) -> list[str]:
    """Each trial's first objective in order, and the best so far; of two objectives also one over the other."""
    if len(complete) < 2:
        return []
    choose = max if found.higher_is_better[0] else min
    points = [(float(one.number), one.values[0]) for one in complete]
    best = [(number, choose(value for _, value in points[: index + 1])) for index, (number, _) in enumerate(points)]
    metric = found.metrics[0]
    series = [Series("trials", points, "cloud"), Series("best so far", best, "line", 1)]
    if found.own:
        ends = (points[0][0], points[-1][0])
        series.append(Series("the recipe's own values", [(end, found.own[0]) for end in ends], "ideal", 2))
    words = f"The best of {len(complete)} trials is {shown_value(metric, best[-1][1])}, the first is "
    words += f"{shown_value(metric, points[0][1])}."
    axes = Axis("trial", whole=True), Axis(metric)
    charts = [Lines("history-chart", f"{metric} by trial", words, series, *axes)]
    if len(found.metrics) > 1:
        front = sorted((found.trials[number].values[1], found.trials[number].values[0]) for number in found.best)
        cloud = [(one.values[1], one.values[0]) for one in complete]
        pareto = [Series("trials", cloud, "cloud"), Series("not beaten in both", front, "dots", 1)]
        words = f"{len(front)} trials are not beaten in both {metric} and {found.metrics[1]}."
        titles = Axis(found.metrics[1]), Axis(metric)
        charts.append(Lines("pareto-chart", f"{metric} over {found.metrics[1]}", words, pareto, *titles))
    return [figure(chart, drawn) for chart in charts]


def _shares(found: SweepReport, drawn: Drawer) -> list[str]:
    """How much each setting matters."""
    if not found.importances:
        return []
    rows = [
        (one.setting, [Range(0, one.share, None, f"{one.setting} {numbers.percent(one.share)}")])
        for one in found.importances
    ]
    first, metric = found.importances[0], found.metrics[0]
    words = f"{first.setting} explains {numbers.percent(first.share)} of the spread of {metric}, by PED-ANOVA."
    axis = Axis(f"share of the spread of {metric}", numbers.percent, from_zero=True)
    return [figure(Ranges("importance-chart", "What matters", words, rows, ("importance",), axis), drawn)]


def _parallel(found: SweepReport, complete: Sequence[TrialReport]) -> str:
    """Parallel coordinates: an axis for each setting and one for the objective, a line for each trial."""
    if len(complete) < 2:
        return ""
    names = list(complete[0].settings)
    columns = [[one.settings[name] for one in complete] for name in names]
    values = [one.values[0] for one in complete]
    heights = [*map(_places, columns), _places(values)]
    shown: list[Sequence[object]] = [*columns, values]
    titles = [*(name.rpartition(".")[2] for name in names), found.metrics[0]]
    step = (_WIDTH - 2 * _SIDE) / max(1, len(titles) - 1)
    across = [_SIDE + step * index for index in range(len(titles))]
    axes = []
    for x, title, column in zip(across, titles, shown, strict=True):
        low, high = _ends(column)
        axes.append(
            f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{_TOP}" y2="{_HEIGHT}" class="axis"/>'
            f'<text x="{x:.0f}" y="14" text-anchor="middle">{text(title)}</text>'
            f'<text x="{x:.0f}" y="{_TOP - 6}" text-anchor="middle">{text(high)}</text>'
            f'<text x="{x:.0f}" y="{_HEIGHT + 16}" text-anchor="middle">{text(low)}</text>'
        )
    best = set(found.best)
    order = sorted(range(len(complete)), key=lambda index: complete[index].number in best)
    lines = []
    for index in order:
        heights_here = [_HEIGHT - (_HEIGHT - _TOP) * column[index] for column in heights]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, heights_here, strict=True))
        kind = "best" if complete[index].number in best else "other"
        said = f"trial {complete[index].number}: {' '.join(complete[index].overrides)}"
        lines.append(f'<polyline points="{points}" class="{kind}"><title>{text(said)}</title></polyline>')
    label = f"Parallel coordinates of {len(complete)} trials; the strong line is the best one."
    return (
        f'<figure class="parallel"><figcaption>Settings of each trial</figcaption><svg viewBox="0 0 {_WIDTH} '
        f'{_HEIGHT + 24}" role="img" aria-label="{text(label)}">{"".join(axes)}{"".join(lines)}</svg></figure>'
    )


def _places(column: Sequence[object]) -> list[float]:
    """Where on its axis each value stands, from 0 to 1: by size where all are numbers, else in order of appearance."""
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in column):
        known = sorted(set(column))  # type: ignore[type-var]
    else:
        known = list(dict.fromkeys(column))
    place = {value: index / max(1, len(known) - 1) for index, value in enumerate(known)}
    return [place[value] for value in column]


def _ends(column: Sequence[object]) -> tuple[str, str]:
    """The lowest and the highest value of an axis, as they are written."""
    places = _places(column)
    low, high = column[places.index(min(places))], column[places.index(max(places))]
    return _written(low), _written(high)


def _written(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(found: SweepReport) -> str:
    names = list(found.trials[0].settings) if found.trials else []
    header = ("trial", *names, *found.metrics, "status", "runs", "time")
    rows = [
        (
            str(one.number),
            *(text(one.settings[name]) for name in names),
            *(
                text(shown_value(metric, one.values[index])) if index < len(one.values) else "–"
                for index, metric in enumerate(found.metrics)
            ),
            text(f"{status_word(one)}: {one.reason}" if one.reason else status_word(one)),
            text(" ".join(one.runs)),
            text(numbers.duration(one.seconds)),
        )
        for one in found.trials
    ]
    return table("All trials", header, rows, right=range(len(names) + len(found.metrics) + 1))
