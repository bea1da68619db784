"""A sweep for people: what it would do, how its trials stand, and what it found."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.documents.sweep import PLAN_FIGURES
from ftc.spec.documents.sweep_report import Forecast, SweepReport, TrialReport
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, fitted, table
from ftc.views.words import metric_title

__all__ = [
    "KINDS",
    "edits_text",
    "forecast_text",
    "mean_rows",
    "objective_words",
    "shown_value",
    "status_word",
    "sweep_text",
    "trial_line",
    "verdict_words",
]

KINDS = {"search": "search over settings of", "curve": "learning curve of", "repeats": "repeated trainings of"}
"""What a sweep does with its recipe."""
_MOST_TRIALS = 12
"""Trials that a terminal lists; the page and `--json` have all."""


def forecast_text(found: Forecast, *, page: Page = PLAIN) -> str:
    """What a sweep would do, and whether it fits."""
    searched = [f"{escaped(one.path)} {escaped(one.words)}" for one in found.axes]
    lines = [
        *page.flow("sweep", [page.strong(found.name), f"of {escaped(found.recipe)}", found.goal]),
        *page.listed("space", searched),
        *page.flow("search", [found.search, numbers.plural(found.trials, "trial"), *found.notes]),
        *page.flow("checked", [numbers.plural(found.corners, "corner"), numbers.plural(found.startup, "first trial")]),
        *page.flow("memory", [f"at most {numbers.gibibytes(found.memory_bytes)} GiB expected, of {found.largest}"]),
    ]
    if found.seconds is None or found.total is None:
        lines += page.flow("time", ["not known; `ftc device calibrate` measures this machine"])
    else:
        each = numbers.duration_range(found.seconds.low, found.seconds.high)
        whole = numbers.duration_range(found.total.low, found.total.high)
        lines += page.flow("time", [f"{each} a trial", f"{whole} for {found.trainings} trainings"])
    if found.cost is not None:
        low, high, currency = found.cost.low, found.cost.high, found.cost.currency
        lines += page.flow("cost", [numbers.amount_range(low, high, currency)])
    if found.fitting is not None:
        enough = found.fitting >= found.trials
        words = f"{numbers.plural(found.fitting, 'trial')} of {found.trials} fit even if each takes longest"
        lines += page.flow("budget", [page.good(words) if enough else page.alert(words)])
    return "\n".join(lines) + "\n"


def sweep_text(found: SweepReport, *, page: Page = PLAIN) -> str:
    """How a sweep stands: the best trials first, what mattered, and the verdict."""
    by_state = {one: sum(trial.status == one for trial in found.trials) for one in ("complete", "pruned", "failed")}
    counts = [f"{count} {name}" for name, count in by_state.items() if count]
    running = sum(trial.status == "running" for trial in found.trials)
    if running:
        counts.append(f"{running} unfinished")
    searched = [f"search {found.search}"] if found.kind == "search" else []
    lines = [*page.flow("sweep", [page.strong(found.name), f"{KINDS[found.kind]} {escaped(found.recipe)}", *searched])]
    lines += page.flow("trials", [f"{len(found.trials)} of {found.wanted}", *counts])
    if found.means:
        lines += ["", *mean_lines(found, page)]
    if found.trials and found.kind == "search":
        shown = _ranked(found)[:_MOST_TRIALS]
        names = list(found.trials[0].settings)
        header = ("trial", *map(_last, names), *found.metrics, "status")
        own = [("recipe", *("" for _ in names), *map(shown_value, found.metrics, found.own), "its own values")]
        rows = [*_rows(found, shown, names, page), *(own if found.own else [])]
        right = range(1, len(names) + len(found.metrics) + 1)
        lines += ["", *fitted(header, rows, page, right=right)]
        if len(found.trials) > len(shown):
            lines.append(page.faint(f"{len(found.trials) - len(shown)} more: `--json` and the page have all"))
    lines += [line for one in found.trials if one.status == "failed" for line in _failed(one, page)]
    if found.importances:
        words = [f"{escaped(one.setting)} {numbers.percent(one.share)}" for one in found.importances]
        lines += ["", *page.flow("importance", words)]
    if found.verdict is not None:
        lines += ["", *page.flow("verdict", verdict_words(found, page))]
    return "\n".join(lines) + "\n"


def mean_rows(found: SweepReport) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the means: the recipe's own values last, of a curve by training rows."""
    name = "training rows" if found.kind == "curve" else ""
    header: tuple[str, ...] = (name, found.metrics[0], "95 % interval", "single trainings")
    rows: list[tuple[str, ...]] = []
    for one in found.means:
        name = "the recipe" if one.trial is None else f"trial {one.trial}"
        each = ", ".join(shown_value(found.metrics[0], value) for value in one.values) if len(one.values) > 1 else ""
        around = numbers.interval(one.interval)
        rows.append(
            (f"{one.rows:,}" if found.kind == "curve" else name, shown_value(found.metrics[0], one.mean), around, each)
        )
    return header, rows


def mean_lines(found: SweepReport, page: Page) -> list[str]:
    """The means on a terminal, and how their intervals were computed."""
    header, rows = mean_rows(found)
    lines = fitted(header, rows, page, right=(0, 1) if found.kind == "curve" else (1,))
    method = next((one.method for one in found.means if one.method), "")
    return [*lines, *([page.faint(f"intervals {method}")] if method else [])]


def status_word(one: TrialReport) -> str:
    """How a trial ended; one that did not may run, or may have been interrupted."""
    return "unfinished" if one.status == "running" else one.status


def trial_line(one: TrialReport, metrics: Sequence[str], *, page: Page = PLAIN) -> str:
    """One trial that has ended, on one line."""
    values = [f"{name} {shown_value(name, value)}" for name, value in zip(metrics, one.values, strict=False)]
    paint = {"complete": page.good, "pruned": page.alert, "failed": page.bad, "running": page.accent}[one.status]
    parts = [paint(one.status), *values, *map(escaped, one.overrides), *([escaped(one.reason)] if one.reason else [])]
    return "\n".join(page.flow(f"trial {one.number}", parts)) + "\n"


def verdict_words(found: SweepReport, page: Page = PLAIN) -> list[str]:
    """Whether the best trial is better than the recipe's own values, in words."""
    verdict = found.verdict
    assert verdict is not None, "somebody compared them"
    change = f"{metric_title(found.metrics[0].removeprefix('val_'))} {numbers.signed(verdict.change)}"
    around = f"({numbers.interval(verdict.interval, numbers.signed)})" if verdict.interval else "(no interval)"
    if found.kind == "curve":
        *_, fewer, every = found.means
        between = f"from {fewer.rows:,} to {every.rows:,} rows"
        if verdict.is_better:
            word = page.good(f"more rows helped {between}, so that still more will probably help")
        else:
            word = page.alert(f"inconclusive: it is not shown that more rows help {between}")
    elif verdict.is_better:
        word = page.good(f"trial {found.best[0]} is better than the recipe's own values")
    else:
        word = page.alert(f"inconclusive: trial {found.best[0]} is not shown to be better than the recipe's own values")
    return [word, f"{change} {around}", verdict.method]


def edits_text(found: SweepReport, chosen: TrialReport, *, written: bool, page: Page = PLAIN) -> str:
    """What the chosen trial changes in the recipe."""
    done = "written into" if written else "for"
    rows = [(f"  {path}:", page.strong(str(value))) for path, value in chosen.settings.items()]
    head = f"trial {chosen.number}, {done} {escaped(found.recipe)}"
    return "\n".join([head, *table(rows)]) + "\n"


def objective_words(metric: str, is_higher_better: bool) -> str:
    """An objective and its direction."""
    return f"{metric}, {'highest' if is_higher_better else 'lowest'} is best"


def _ranked(found: SweepReport) -> list[TrialReport]:
    """The best trials first, then those without a value."""
    sign = -1.0 if found.higher_is_better[0] else 1.0
    order = {"complete": 0, "pruned": 1, "running": 2, "failed": 3}
    place = {number: index for index, number in enumerate(found.best)}

    def rank(one: TrialReport) -> tuple[int, int, float, int]:
        value = sign * one.values[0] if one.values else 0.0
        return order[one.status], place.get(one.number, len(place)), value, one.number

    return sorted(found.trials, key=rank)


def _rows(found: SweepReport, trials: Sequence[TrialReport], names: Sequence[str], page: Page) -> list[tuple[str, ...]]:
    best = set(found.best)
    return [
        (
            page.strong(f"{one.number}") + (page.good(" best") if one.number in best else ""),
            *(escaped(str(one.settings[name])) for name in names),
            *(
                shown_value(name, one.values[index]) if index < len(one.values) else "–"
                for index, name in enumerate(found.metrics)
            ),
            status_word(one),
        )
        for one in trials
    ]


def _failed(one: TrialReport, page: Page) -> list[str]:
    return page.flow(f"trial {one.number}", [page.bad("failed"), escaped(one.reason)])


def shown_value(name: str, value: float) -> str:
    """A value of an objective."""
    if name == "memory":
        return numbers.gibibytes(int(value))
    if name in PLAN_FIGURES:
        return f"{value:,.0f}"
    return numbers.metric(value)


def _last(path: str) -> str:
    """The name of a setting without its section, as a heading."""
    return path.rpartition(".")[2]
