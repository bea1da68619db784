"""Models beside each other: runs on the same rows, tuned and base, two by their raters, merged and adapted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftc.spec.documents.difference import ComparedMetric, ComparedRun, RunComparison, Standing
from ftc.spec.documents.merged import Agreement, MergedModel, Room
from ftc.spec.documents.outcomes import HarnessReport, Tally, WinRate
from ftc.spec.documents.plan import Plan
from ftc.spec.metrics import metric_named
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, table, visible_width
from ftc.views.words import auto_class, metric_title

__all__ = [
    "agreement_words",
    "comparison_markdown",
    "comparison_text",
    "harness_text",
    "label",
    "merged_text",
    "prompted_words",
    "standing_words",
    "tally_text",
    "verdict",
]


def comparison_text(found: RunComparison, *, page: Page = PLAIN) -> str:
    """The comparison for people: each metric, the runs under each other, what is shown and what is not."""
    first = found.runs[0]
    names = [escaped(run.id) for run in found.runs]
    lines = page.wrap(
        f"on {numbers.plural(found.rows, 'test row')} common to all runs, compared with {escaped(first.id)}"
    )
    for run in found.runs:
        lines += page.flow(f"  {escaped(run.id)}", label(run, found), indent=len(escaped(run.id)) + 4)
    for one in found.metrics:
        rows = []
        for name, standing in zip(names, one.standings, strict=True):
            value, interval, change, change_interval, word = standing_words(one, standing)
            gained = f"{change} ({change_interval})" if change_interval else change
            around = f"({interval})" if interval else ""
            rows.append((name, page.strong(value), around, gained, page.trend(word, word)))
        rows += [(escaped(name), value, "", "", "") for name, value in prompted_words(found, one.metric)]
        title = metric_title(one.metric) + ("" if _is_higher_better(one.metric) else " (lower is better)")
        whole = table(rows, right=(1,), indent=2)
        if any(visible_width(line) > page.columns for line in whole):  # on a narrow page each change has its own line
            heads = table([row[:3] for row in rows], right=(1,), indent=2)
            changes = ["      " + "  ".join(filter(None, row[3:])) if any(row[3:]) else "" for row in rows]
            whole = [line for pair in zip(heads, changes, strict=True) for line in pair if line]
        lines += ["", page.strong(title), *whole]
    for reason in found.not_compared:
        lines += ["", *page.flow("left out", [escaped(reason)])]
    if len(found.runs) > 2:
        lines += ["", page.faint("each interval is for one pair of runs; about one in twenty misses by chance")]
    return "\n".join(lines) + "\n"


_MOST_SETTINGS = 4
"""By which runs are told apart on a terminal; `--json` has all."""


def label(run: ComparedRun, found: RunComparison) -> list[str]:
    """A run in words: its recipe, and the settings by which it differs from the others."""
    told = [f"{path.rpartition('.')[2]} {escaped(value)}" for path, value in run.settings.items()]
    more = len(told) - _MOST_SETTINGS
    told = [*told[:_MOST_SETTINGS], *([f"{more} more"] if more > 0 else [])]
    is_named = not told or len({one.name for one in found.runs}) > 1
    return [*([escaped(run.name)] if is_named else []), *(told or [escaped(run.strategy), escaped(run.model)])]


def comparison_markdown(found: RunComparison) -> str:
    """The comparison for a pull request."""
    lines = [
        f"On {numbers.plural(found.rows, 'test row')} common to all runs, compared with `{found.runs[0].id}`.",
        "",
        "| metric | run | value | 95 % interval | change | 95 % interval | |",
        "| --- | --- | ---: | --- | ---: | --- | --- |",
    ]
    for one in found.metrics:
        for run, standing in zip(found.runs, one.standings, strict=True):
            cells = (metric_title(one.metric), f"`{run.id}` {run.name}", *standing_words(one, standing))
            lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
        for name, value in prompted_words(found, one.metric):
            lines.append(f"| {metric_title(one.metric)} | {name} | {value} | | | | |")
    return "\n".join([*lines, *(f"\nLeft out: {reason}." for reason in found.not_compared)]) + "\n"


def prompted_words(found: RunComparison, metric: str) -> Iterator[tuple[str, str]]:
    """Each run's untouched base with each of its prompts, and its value of a metric."""
    for run in found.runs:
        for prompt, metrics in run.prompted.items():
            if metric in metrics:
                yield f"base of {run.id}, {prompt}", numbers.metric(metrics[metric])


def standing_words(one: ComparedMetric, standing: Standing) -> tuple[str, str, str, str, str]:
    """Value, its interval, the change against the first run, its interval, verdict; each empty where there is none."""
    value = numbers.metric(standing.value)
    interval = numbers.interval(standing.interval, none="")
    if standing.gain is None:
        return value, interval, "", "", ""
    change_interval = numbers.interval(standing.gain.interval, numbers.signed, none="")
    return value, interval, numbers.signed(standing.gain.value), change_interval, verdict(one, standing)


def verdict(one: ComparedMetric, standing: Standing) -> str:
    """Whether a run is better or worse than the first, as far as the rows can show it; empty for the first itself."""
    if standing.gain is None:
        return ""
    if not standing.gain.is_shown:
        return "not significant"
    return "better" if (standing.gain.value > 0) == _is_higher_better(one.metric) else "worse"


def _is_higher_better(metric: str) -> bool:
    kind = metric_named(metric)
    return kind.higher_is_better if kind else True


def harness_text(found: HarnessReport, page: Page = PLAIN) -> str:
    """A table of base and tuned model by task and metric.

    Args:
        found: The answer of `ftc run eval --harness`.
        page: Width and colors.
    """
    limit = f", at most {numbers.plural(found.limit, 'row')} of a task" if found.limit is not None else ""
    title = page.strong(f"run {escaped(found.run)} by lm_eval {escaped(found.lm_eval)}{limit}")
    rows: list[tuple[str, ...]] = [("task", "metric", "rows", "base", "tuned", "gain")]
    for one in found.metrics:
        name = one.metric if one.filter == "none" else f"{one.metric} ({one.filter})"
        less = ", lower is better" if one.higher_is_better is False else ""
        base, tuned = _with_error(one.base, one.base_error), _with_error(one.tuned, one.tuned_error)
        rows.append(
            (escaped(one.task), escaped(name) + less, numbers.count(one.rows), base, tuned, numbers.gain(one.gain))
        )
    return "\n".join([title, *table(rows, right=(2, 3, 4), indent=2)]) + "\n"


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


_FEW = 20
"""Decisions below which nothing is said about a leaning to one side."""


def tally_text(tally: Tally, *, page: Page = PLAIN) -> str:
    """The result for people, the answer first."""
    if tally.overall is None:
        words = f"no ratings yet: {numbers.plural(tally.rows, 'row')} with different answers"
        return f"{words}, {numbers.count(tally.same)} with the same answer\n"
    first, second = escaped(tally.first), escaped(tally.second)
    low, high = tally.overall.low, tally.overall.high
    if low is None or high is None:
        verdict = page.alert("too few ratings for an interval")
    elif low > 0.5:
        verdict = page.good(f"{second} is preferred: the 95 % interval excludes 50 %")
    elif high < 0.5:
        verdict = page.bad(f"{first} is preferred: the 95 % interval excludes 50 %")
    else:
        verdict = page.alert("no significant preference: the 95 % interval includes 50 %")
    rated = f"{numbers.count(tally.rated)} of {numbers.count(tally.rows)} rows with different answers"
    lines = [f"{page.strong(f'{second} against {first}')}: {_rate(tally.overall)}", verdict, ""]
    lines += page.flow("rated", [rated, f"{numbers.count(tally.same)} with the same answer need no rating"])
    for rater, rate in sorted(tally.raters.items()):
        counts = (
            f"{rate.wins} for {second}, {rate.losses} for {first}, {rate.ties} equally good, {rate.both_bad} both bad"
        )
        lines += page.flow("", [f"{escaped(rater)}: {_rate(rate)}", counts])
    for one in tally.agreement:
        kappa = "" if one.kappa is None else f", Cohen's kappa {one.kappa:.2f}"
        same = f"the same on {one.same} of {numbers.plural(one.rows, 'row')}{kappa}"
        lines += page.flow("agreement", [f"{' and '.join(map(escaped, one.raters))}: {same}"])
    if tally.decided >= _FEW:
        share = numbers.percent(tally.left_chosen, tally.decided)
        lines += page.flow("sides", [f"the left answer was chosen in {share} of {tally.decided} decisions"])
    return "\n".join(lines) + "\n"


def _rate(rate: WinRate) -> str:
    shown = f"preferred in {100 * rate.rate:.1f} %"
    return (
        shown if rate.low is None or rate.high is None else f"{shown} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
    )


def merged_text(plan: Plan, merged: MergedModel, room: Room, folder: str, *, page: Page = PLAIN) -> str:
    """The answer of the verb.

    Args:
        plan: The run's plan.
        merged: What was made.
        room: What that could take.
        folder: Its folder as the user typed it.
        page: Width and colors.
    """
    found = merged.agreement
    loader = f'{auto_class(plan)}.from_pretrained("{folder}")'
    commit = f" at commit {merged.base_commit[:12]}" if merged.base_commit else ""
    lines = [
        *page.flow(
            "merged", [f"run {page.strong(merged.run_id)} of {escaped(merged.name)}", plan.settings.strategy.words()]
        ),
        *page.flow(
            "base",
            (
                f"{escaped(merged.base)}{commit}",
                f"weights {merged.added_to}",
                f"tensors {numbers.digest(merged.base_content_sha256)}",
            ),
        ),
        *page.flow("agrees", agreement_words(found)),
        *page.flow(
            "weights",
            (
                f"{numbers.magnitude(merged.num_parameters)} in {merged.weight_type}",
                f"{numbers.byte_size(merged.weight_bytes)} in {numbers.plural(len(merged.weight_files), 'file')}",
                f"tensors {numbers.digest(merged.content_sha256)}",
            ),
        ),
        *page.flow(
            "memory",
            (
                f"planned {numbers.byte_size(room.memory_bytes)} at most",
                f"plus {numbers.byte_size(room.mapped_bytes)} of files that are read on demand",
            ),
        ),
        *page.flow("files", [escaped(folder), numbers.plural(len(merged.files) + 2, "file")]),
        *[line for note in merged.notes for line in page.flow("note", [note])],
        *page.flow("load", [escaped(loader)]),
    ]
    return "\n".join(lines) + "\n"


def agreement_words(found: Agreement) -> Sequence[str]:
    """How alike the merged model answers, in parts."""
    rows = f"{numbers.plural(found.rows, 'row')} of {found.split}"
    choices = f"{numbers.count(found.same_choices)} of {numbers.plural(found.choices, 'choice')} the same"
    return (
        (
            f"on {rows} the scores differ by at most {found.largest_difference:.2g}, {_percent(found.share)} of their "
            "range"
        ),
        f"{_percent(found.allowed)} is allowed",
        *((choices,) if found.choices else ()),  # numbers are no choices
    )


def _percent(share: float) -> str:
    """A share of which the size counts, however small: `0.0003 %`."""
    return f"{100 * share:.2g} %"
