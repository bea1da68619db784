"""Several runs on one page: what is shown to differ, curves, settings, and the rows that tell the runs apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ftc.spec.documents.difference import ComparedMetric, RunComparison, Standing
from ftc.spec.documents.events import Event
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import RunRecord
from ftc.spec.documents.thumbnails import Thumbnail
from ftc.spec.row_names import shown_row
from ftc.spec.version import VERSION
from ftc.views import numbers
from ftc.views.comparison import label, prompted_words, standing_words, verdict
from ftc.views.report.charts import (
    COLORS,
    Axis,
    Drawer,
    Lines,
    Range,
    Ranges,
    Series,
    Style,
    are_shares,
    drawer,
    figure,
)
from ftc.views.report.elements import details, framed, long_text, marked_up, pictures, section, table, text
from ftc.views.report.origins import setting_words
from ftc.views.report.rows import is_right
from ftc.views.report.training import STEPS, history, range_words, short, smoothed, thinned
from ftc.views.row_texts import RowTexts, row_pictures
from ftc.views.run import wall_seconds
from ftc.views.words import metric_title, steps_words

__all__ = ["Side", "comparison_html"]

_MOST_METRICS = 4
"""Metrics that have a picture each."""
_ROWS_A_WAY = 5
"""Rows shown on which a run gained most, and on which it lost most."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the runs.

    Attributes:
        plan: What it executed.
        record: What it recorded.
        events: What it said, in order.
        outcomes: What its model made of each test row.
        thumbnails: Small pictures of images of rows, by the sha256 of the image.
    """

    plan: Plan
    record: RunRecord
    events: Sequence[Event]
    outcomes: Sequence[Outcome]
    thumbnails: Mapping[str, Thumbnail] = field(default_factory=dict)


def comparison_html(
    found: RunComparison,
    sides: Sequence[Side],
    drawn: Drawer | None = None,
    *,
    shows_personal_data: bool = False,
) -> str:
    """The page.

    Args:
        found: The comparison.
        sides: The runs, in its order.
        drawn: Who draws the charts; by default the library of the `report` extra, where it is installed.
        shows_personal_data: Whether rows that match a rule for personal data are shown as they are.
    """
    drawn = drawn or drawer()
    first, *others = sides
    labels = {name for side in sides for name in side.plan.settings.text.labels}
    kept = {image: one for side in sides for image, one in side.thumbnails.items()}
    images = row_pictures(first.outcomes, kept, shows_all=shows_personal_data)
    texts = RowTexts(labels, shows_personal_data, pictures=images)
    differing = [_told_apart(first, other, texts) for other in others]
    charts = "".join(figure(chart, drawn) for chart in _curves(sides))
    parts = [
        ("result", "Result", _result(found, drawn)),
        ("rows", "Rows", section("rows", "Rows with different results", *differing)),
        ("training", "Training", section("training", "Training", charts)),
        ("resources", "Planned vs actual", _resources(sides)),
        ("settings", "Settings", _settings(sides)),
        ("provenance", "Provenance", _provenance(sides)),
    ]
    given = f"{numbers.plural(found.rows, 'test row')} common to all runs"
    lead = f"The runs have no common metric, on {given}."
    if found.metrics:
        main, base, *tried = found.metrics[0], *found.runs
        start, *standings = main.standings
        words = [
            f"{run.id} {numbers.metric(one.value)} ({verdict(main, one)})"
            for run, one in zip(tried, standings, strict=True)
        ]
        name = metric_title(main.metric)
        name = name[:1].upper() + name[1:]
        lead = f"{name} of {base.id} is {numbers.metric(start.value)}; {', '.join(words)}. On {given}."
    title = f"Runs {', '.join(run.id for run in found.runs)}"
    masked = f'<p class="masked">{marked_up(texts.note)}</p>' if texts.note else ""
    header = (
        f'<header><p class="kind">Comparison of {len(sides)} runs</p><h1>{text(title)}</h1>'
        f'<p class="lead">{text(lead)}</p>{masked}</header>'
    )
    return framed(title, header, parts, f"Made by ftc {text(VERSION)}.", drawn.name)


def _settings(sides: Sequence[Side]) -> str:
    """Settings that differ; what is equal is only counted."""
    paths = sorted({path for side in sides for path in side.plan.origins})
    values = [(path, [setting_words(side.plan, path) for side in sides]) for path in paths]
    rows = [
        (f"<code>{text(path)}</code>", *(f"<code>{text(one)}</code>" for one in found))
        for path, found in values
        if len(set(found)) > 1
    ]
    header = ("setting", *(side.record.id for side in sides))
    equal = f"<p>{numbers.plural(len(values) - len(rows), 'setting')} equal in all runs.</p>"
    grid = table("Settings that differ", header, rows, kind="settings")
    return section("settings", "Settings", grid, equal)


def _result(found: RunComparison, drawn: Drawer) -> str:
    charts = "".join(
        figure(_metric_chart(found, number), drawn) for number in range(len(found.metrics))[:_MOST_METRICS]
    )
    rows: list[tuple[str, ...]] = [
        (
            text(metric_title(one.metric)),
            f"<code>{text(run.id)}</code> {text(', '.join(label(run, found)))}",
            *map(text, standing_words(one, standing)),
        )
        for one in found.metrics
        for run, standing in zip(found.runs, one.standings, strict=True)
    ]
    rows += [
        (text(metric_title(one.metric)), text(name), value, "–", "–", "–", "")
        for one in found.metrics
        for name, value in prompted_words(found, one.metric)
    ]
    header = ("metric", "run", "value", "95 % interval", "change", "95 % interval of the change", "verdict")
    left = "".join(f"<li>{text(reason)}</li>" for reason in found.not_compared)
    caption = f"On {numbers.plural(found.rows, 'common test row')}, compared with {found.runs[0].id}"
    many = "<p>Each interval is for one pair of runs; about one in twenty misses by chance.</p>"
    return section(
        "result",
        "Result on the common test rows",
        charts,
        table(caption, header, rows, right=(2, 3, 4, 5)),
        many if len(found.runs) > 2 else "",
        f"<h3>Left out</h3><ul>{left}</ul>" if left else "",
    )


def _metric_chart(found: RunComparison, number: int) -> Ranges:
    one = found.metrics[number]
    title = metric_title(one.metric)
    pairs = list(zip(found.runs, one.standings, strict=True))
    rows = [
        (
            f"{place + 1}: {run.id}",
            [
                Range(
                    place,
                    standing.value,
                    (standing.interval.low, standing.interval.high) if standing.interval else None,
                    _standing_label(run.id, one, standing),
                )
            ],
        )
        for place, (run, standing) in enumerate(pairs)
    ]
    is_share = are_shares(value for _, values in rows for value in values)
    return Ranges(
        key=f"metric-{number}",
        title=f"{title[:1].upper()}{title[1:]}, with 95 % intervals",
        description="; ".join(_standing_label(run.id, one, standing) for run, standing in pairs),
        rows=rows,
        names=(),
        axis=Axis(title, limits=(0.0, 1.0) if is_share else None),
        marks=[_mark(place) for place in range(len(pairs))],
    )


def _mark(number: int) -> tuple[Style, int]:
    """Shape and color of a run, the same in every picture of the page."""
    return ("squares" if number % 2 else "dots", number % COLORS)


def _standing_label(run: str, one: ComparedMetric, standing: Standing) -> str:
    word = f", {verdict(one, standing)}" if standing.gain else ""
    return f"{run}: {numbers.metric(standing.value)}{word}"


def _told_apart(first: Side, other: Side, texts: RowTexts) -> str:
    """The test rows whose loss fell and rose most from one run to the other."""
    theirs = {one.given: one for one in other.outcomes}
    pairs = [(one, theirs[one.given]) for one in first.outcomes if one.given in theirs]
    ranked = sorted(pairs, key=lambda pair: (pair[1].tuned.loss - pair[0].tuned.loss, pair[0].row))
    better = [pair for pair in ranked[:_ROWS_A_WAY] if pair[1].tuned.loss < pair[0].tuned.loss]
    worse = [pair for pair in ranked[::-1][:_ROWS_A_WAY] if pair[1].tuned.loss > pair[0].tuned.loss]
    name, words = other.record.id, ""
    if pairs and all(one.tuned.text is not None and one.expected is not None for pair in pairs for one in pair):
        # How many rows one of the two has right and the other has not.
        judged = [(is_right(one, one.tuned), is_right(another, another.tuned)) for one, another in pairs]
        both, gained, lost = map(judged.count, ((True, True), (False, True), (True, False)))
        words = (
            f"Of {numbers.plural(len(pairs), 'common row')} both runs are correct on {numbers.count(both)}, only "
            f"{name} on {numbers.count(gained)}, only {first.record.id} on {numbers.count(lost)}."
        )
        words = f"<p>{text(words)}</p>"
    return (
        f"<h3>{text(name)}</h3>{words}"
        f"{_row_table(f'Rows where the loss of {name} is below the first run', better, texts)}"
        f"{_row_table(f'Rows where the loss of {name} is above the first run', worse, texts)}"
    )


def _row_table(caption: str, pairs: Sequence[tuple[Outcome, Outcome]], texts: RowTexts) -> str:
    has_text = any(one.tuned.text is not None for pair in pairs for one in pair)
    rows = []
    for one, another in pairs:
        name = shown_row(one.place, one.row)
        prompt, *answers = map(long_text, texts.row(name, one.prompt, one.expected, one.tuned.text, another.tuned.text))
        losses = f"{numbers.metric(one.tuned.loss)} → {numbers.metric(another.tuned.loss)}"
        images = None if name in texts.masked else texts.pictures.get(one.row)  # by what the other run answers, too
        rows.append((text(name), pictures(name, images) + prompt, *(answers if has_text else ()), losses))
    header = ("row", "text", *(("expected", "first run", "this run") if has_text else ()), "loss")
    kind = "answers" if has_text else "texts"
    return table(caption, header, rows, right=(len(header) - 1,), kind=f"predictions apart {kind}")


def _curves(sides: Sequence[Side]) -> Iterator[Lines]:
    """Training loss, smoothed, and validation loss of each run."""
    runs = [history(side.events) for side in sides]
    means = [thinned(smoothed(run.points("loss"), max(5, len(run.steps) // 12))) for run in runs]
    for key, title, lines in (
        ("loss", "Training loss", means),
        ("val-loss", "Validation loss", [run.validation("val_loss") for run in runs]),
    ):
        named = [
            (number, side.record.id, points) for number, (side, points) in enumerate(zip(sides, lines, strict=True))
        ]
        yield Lines(
            key=key,
            title=f"{title}, smoothed" if key == "loss" else title,
            description=" ".join(range_words(points, f"{title.lower()} of {run}") for _, run, points in named),
            series=[
                Series(
                    f"{number + 1}: {run}",
                    points,
                    "line" if key == "loss" else _mark(number)[0],
                    _mark(number)[1],
                    str(number + 1),
                )
                for number, run, points in named
            ],
            x=STEPS,
            y=Axis("nats", short),
            is_wide=True,
            is_full=True,
        )


def _resources(sides: Sequence[Side]) -> str:
    rows = [
        (
            f"<code>{text(side.record.id)}</code>",
            text(side.plan.settings.strategy.words()),
            numbers.count(side.plan.model.num_trainable),
            text(steps_words(side.plan, side.record).removesuffix(" steps")),
            numbers.known(side.record.tokens),
            _beside(
                None if side.record.peak_memory_bytes is None else numbers.byte_size(side.record.peak_memory_bytes),
                numbers.byte_size(side.plan.memory.peak_bytes),
            ),
            _beside(
                None if (whole := wall_seconds(side.record)) is None else numbers.duration(whole),
                numbers.duration_range(time.low_seconds, time.high_seconds) if (time := side.plan.time) else None,
            ),
        )
        for side in sides
    ]
    header = ("run", "strategy", "trainable", "steps", "tokens", "memory (planned)", "time (planned)")
    return section("resources", "Planned vs actual", table("Resources of each run", header, rows, right=range(2, 7)))


def _beside(measured: str | None, planned: str | None) -> str:
    """A measured value with the planned one below it."""
    return f"{measured or '–'}<br><small>({planned or 'not estimated'})</small>"


def _provenance(sides: Sequence[Side]) -> str:
    rows = []
    for side in sides:
        record, model = side.record, side.plan.model.name
        digests = (record.plan_sha256, side.plan.lock.digest(), record.sha256, record.final_weights_sha256)
        codes = [f"<code>{text(one)}</code>" if one else "–" for one in digests]
        rows.append((f"<code>{text(record.id)}</code>", text(record.name), text(model), *codes))
    header = ("run", "name", "model", "plan", "lock", "record", "weights")
    ran = [
        (
            f"<code>{text(side.record.id)}</code>",
            text(side.record.observed.device),
            text(side.record.ftc_version),
            text(side.record.segments[0].started_at if side.record.segments else "–"),
        )
        for side in sides
    ]
    return section(
        "provenance",
        "Provenance",
        table("Digests", header, rows),
        details("Machines", table("Machine and code of each run", ("run", "device", "ftc", "started"), ran)),
    )
