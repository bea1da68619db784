"""The report's part on single rows and on groups of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, pairwise

from ftc.spec.documents.attributions import Attribution, AttributionMethod
from ftc.spec.documents.outcomes import Outcome, Said, by_loss
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation, SliceResult
from ftc.spec.heads import head_card
from ftc.spec.row_names import shown_row
from ftc.views import numbers
from ftc.views.report.charts import Axis, Drawer, Lines, Point, Range, Ranges, Series, are_shares, figure
from ftc.views.report.elements import beginning_html, details, long_text, pictures, section, table, text
from ftc.views.results import FEW_ROWS, by_chance
from ftc.views.row_texts import RowTexts
from ftc.views.words import main_metric, metric_title

__all__ = ["is_right", "reasons_section", "rows_section", "slices_section"]

_ROWS_A_GROUP = 20
"""Rows that a group of like length needs at least, so that a mean says something."""
_MOST_GROUPS = 10
_MOST_ROWS = 300
"""Single rows that are drawn."""


def rows_section(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer, texts: RowTexts) -> str:
    """The rows with the highest and the lowest loss, and quality over length; empty where nothing was measured."""
    if not outcomes:
        return ""
    highest, lowest = by_loss(outcomes, plan.settings.eval.samples)
    words = f"{numbers.plural(len(outcomes), 'test row')}, sorted by the tuned model's loss."
    return section(
        "rows",
        "Highest-loss and lowest-loss examples",
        f"<p>{text(words)}</p>" if highest else "",
        _ranked("Highest-loss examples of the tuned model", plan, highest, texts),
        details("Lowest-loss examples of the tuned model", _ranked("Best at", plan, lowest, texts)),
        _by_length(plan, outcomes, drawn),
    )


def _confidence(said: Said) -> str:
    return "–" if said.confidence is None else numbers.percent(said.confidence)


def _ranked(caption: str, plan: Plan, shown: Sequence[Outcome], texts: RowTexts) -> str:
    is_class = head_card(plan.settings.model.head).has_confidence
    has_text = any(one.tuned.text is not None for one in shown)
    header = (
        "row",
        "text",
        *(("expected", "tuned") if has_text else ()),
        "loss",
        *(("confidence",) if is_class else ()),
    )
    begin, rows = texts.beginning([one.prompt for one in shown]), []
    for one in shown:
        name = shown_row(one.place, one.row)
        prompt, *answers = map(long_text, texts.row(name, one.prompt[begin:], one.expected, one.tuned.text))
        rows.append(
            (
                text(name),
                pictures(name, texts.pictures.get(one.row)) + prompt,
                *(answers if has_text else ()),
                numbers.metric(one.tuned.loss),
                *((_confidence(one.tuned),) if is_class else ()),
            )
        )
    kind = "labels" if is_class else "answers" if has_text else "texts"
    numeric = [header.index(title) for title in ("loss", "confidence") if title in header]
    grid = table(caption, header, rows, right=numeric, kind=f"predictions {kind}")
    return (beginning_html(shown[0].prompt[:begin]) if shown else "") + grid


_METHODS: dict[AttributionMethod, str] = {
    "gradient_times_input": "gradient times input on the token embeddings, often wrong of confident models",
    "integrated_gradients": "integrated gradients from the average token embedding",
}
_SHADES = 10
"""Steps of the style sheet."""


def reasons_section(evaluation: Evaluation | None, texts: RowTexts) -> str:
    """Why the tuned model chose, token by token; empty where nothing of that was recorded."""
    if evaluation is None or not evaluation.attributions:
        return ""
    rows = []
    for one in evaluation.attributions:
        name, whole = shown_row(one.place, one.row), "".join(token.text for token in one.tokens)
        (shown,) = texts.row(name, whole)
        rows.append((text(name), _shaded(one) if shown == whole else text(shown), text(one.label)))
    words = (
        "What each token adds to the score of the class that the tuned model chose, by "
        f"{_METHODS[evaluation.attributions[0].method]}. Blue raises the score and orange lowers it, the darker the "
        "more within its row. This shows what the score depends on, and not whether that is a good reason."
    )
    grid = table("Tokens by what they add to the score", ("row", "text", "chosen"), rows, kind="predictions labels")
    return section("reasons", "Why the model chose", f"<p>{words}</p>", grid)


def _shaded(one: Attribution) -> str:
    most = max((abs(token.weight) for token in one.tokens), default=0.0) or 1.0
    return "".join(
        f'<span class="s{0 if token.weight >= 0 else 1} q{math.ceil(_SHADES * (abs(token.weight) / most))}" '
        f'title="{token.weight:+.3g}">{text(token.text)}</span>'
        for token in one.tokens
    )


def _by_length(plan: Plan, outcomes: Sequence[Outcome], drawn: Drawer) -> str:
    """Groups of like many rows, from the shortest to the longest, and how good each model is in each."""
    count = min(_MOST_GROUPS, len(outcomes) // _ROWS_A_GROUP)
    ordered = sorted(outcomes, key=lambda one: (len(one.prompt), one.row))
    if count < 2 or len(ordered[0].prompt) == len(ordered[-1].prompt):
        return ""
    edges = [len(ordered) * number // count for number in range(count + 1)]
    groups = [ordered[start:end] for start, end in pairwise(edges)]
    # The share of tags or rows that are right where there are such, else the loss.
    is_loss = plan.settings.labels != "words" and not plan.settings.has_one_answer
    unit = plan.settings.loss_unit
    axis = Axis("loss, nats per token" if unit == "nats" else f"loss, {unit}", from_zero=True)
    if not is_loss:
        noun = "tags" if plan.settings.labels == "words" else "rows"
        axis = Axis(f"share of correct {noun}", limits=(0.0, 1.0))

    labels = plan.settings.labels
    tuned = [_at_length(group, [one.tuned for one in group], labels, is_loss) for group in groups]
    bases = [(group, [one.base for one in group if one.base]) for group in groups if group[0].base]
    base = [_at_length(group, said, labels, is_loss) for group, said in bases]
    stride = -(-len(ordered) // _MOST_ROWS)  # single rows are spread evenly from the shortest to the longest
    rows = [(float(len(one.prompt)), one.tuned.loss) for one in ordered[::stride]] if is_loss else []
    title = "Loss (lower is better)" if is_loss else f"{axis.title[:1].upper()}{axis.title[1:]}"
    ends = "from the shortest to the longest rows"
    words = f"{title}, {ends}: tuned from {numbers.metric(tuned[0][1])} to {numbers.metric(tuned[-1][1])}"
    if base:
        words += f", base from {numbers.metric(base[0][1])} to {numbers.metric(base[-1][1])}"
    cells = [
        (
            f"{numbers.count(len(group[0].prompt))} to {numbers.count(len(group[-1].prompt))}",
            *((numbers.metric(base[number][1]),) if base else ()),
            numbers.metric(tuned[number][1]),
            numbers.count(len(group)),
        )
        for number, group in enumerate(groups)
    ]
    header = ("characters", *(("base",) if base else ()), "tuned", "test rows")
    grid = table(f"{title} by length of the text", header, cells, right=range(1, len(header)))
    return figure(
        Lines(
            key="length",
            title=f"{title} by length of the text",
            description=f"{words}.",
            series=[
                Series("tuned, single rows", rows, "cloud", 0),
                Series("base", base, "squares", 7),
                Series("tuned", tuned, "dots", 0),
            ],
            x=Axis("characters", "{:,.0f}".format, whole=True),
            y=axis,
            is_wide=True,
            is_full=True,
        ),
        drawn,
    ) + details("Values of the chart of lengths", grid)


def _at_length(rows: Sequence[Outcome], said: Sequence[Said], labels: str | None, is_loss: bool) -> Point:
    """The median length of a group in characters, and its loss or its share of right tags or rows."""
    pairs = zip(rows, said, strict=True)
    if is_loss:
        quality = sum(one.loss_sum for one in said) / max(1, sum(one.targets for one in said))
    elif labels == "words":
        tags = [tag for row, one in pairs for tag in zip(row.targets, one.predicted, strict=False)]
        quality = sum(target == found for target, found in tags) / max(1, len(tags))
    else:
        quality = sum(is_right(row, one) for row, one in pairs) / len(rows)
    return float(len(rows[len(rows) // 2].prompt)), quality


def is_right(row: Outcome, said: Said) -> bool:
    """Whether an answer is the expected one, or one of several right ones, white space around it aside."""
    answer = (said.text or "").strip()
    return answer in {one.strip() for one in row.right} if row.right else answer == (row.expected or "").strip()


_MOST_DRAWN = 30
"""Groups that still fit in a picture."""


_GAP_HEADER = (
    *("metric", "gap, base", "gap, tuned", "95 % interval", "by chance"),
    *("lowest, tuned", "highest, tuned"),
)
_GAP_NOTE = (
    "<p>More groups and fewer rows per group make a larger gap by chance alone. The gap expected from random "
    "groups of these sizes is shown too, and the interval accounts for it.</p>"
)


def slices_section(evaluation: Evaluation | None, drawn: Drawer, texts: RowTexts) -> str:
    """A chart and tables for each slice; empty where results are not told apart. Groups are values of a column."""
    if evaluation is None or not evaluation.slices or not evaluation.tuned.metrics:
        return ""
    few = any(group.rows < FEW_ROWS for one in evaluation.slices for group in one.groups)
    note = f"<p>Groups of fewer than {FEW_ROWS} rows are marked: their scores are uncertain.</p>" if few else ""
    main = main_metric(evaluation)
    parts = [_slice(_masked(one, texts), number, main, drawn) for number, one in enumerate(evaluation.slices)]
    return section("slices", "Groups of test rows", note, *parts)


def _masked(one: SliceResult, texts: RowTexts) -> SliceResult:
    """A slice whose groups are named as the rows of the page are shown."""

    def shown(group: str) -> str:
        return texts.row(f"group {group}", group)[0]

    groups = tuple(group.model_copy(update={"group": shown(group.group)}) for group in one.groups)
    gaps = {
        name: gap.model_copy(update={"lowest": shown(gap.lowest), "highest": shown(gap.highest)})
        for name, gap in one.gaps.items()
    }
    return one.model_copy(update={"groups": groups, "gaps": gaps})


def _slice(one: SliceResult, number: int, main: str, drawn: Drawer) -> str:
    """The groups in the metric that stands for all, with the interval of each, then all metrics, then the gaps."""
    title, metrics = metric_title(main), [*dict.fromkeys(name for group in one.groups for name in group.tuned)]
    has_base = any(group.base for group in one.groups)
    chart_rows, rows = [], []
    for group in one.groups:
        if main in group.tuned:
            sure, base = group.intervals.get(main), group.base.get(main)
            label = f"{group.group}, tuned: {numbers.metric(group.tuned[main])}"
            values = [Range(1, group.tuned[main], (sure.low, sure.high) if sure else None, label)]
            if base is not None:
                values.insert(0, Range(0, base, None, f"{group.group}, base: {numbers.metric(base)}"))
            chart_rows.append((group.group, values))
        detail = f" <small>({text(group.detail)})</small>" if group.detail else ""
        few = " <small>(few rows)</small>" if group.rows < FEW_ROWS else ""
        cells = [f"{text(group.group)}{detail}{few}", numbers.count(group.rows)]
        for metric in metrics:
            cells += [numbers.metric(group.base[metric]) if metric in group.base else "–"] if has_base else []
            value = group.tuned.get(metric)
            shown = "–" if value is None else numbers.metric(value)
            cells += [shown, numbers.interval(group.intervals.get(metric))]
        rows.append(cells)
    is_share = are_shares(value for _, values in chart_rows for value in values)
    chart = Ranges(
        key=f"slice-{number}",
        title=f"{title[:1].upper()}{title[1:]} by {one.slice}",
        description=f"{title} of the tuned model: "
        + "; ".join(f"{group} {numbers.metric(values[-1].value)}" for group, values in chart_rows)
        + ".",
        rows=chart_rows if len(chart_rows) <= _MOST_DRAWN else [],
        names=("base", "tuned, with its 95 % interval"),
        axis=Axis(title, limits=(0.0, 1.0) if is_share else None),
    )
    sides = ("base", "tuned") if has_base else ("tuned",)
    titles = [(*(f"{metric_title(metric)}, {side}" for side in sides), "95 % interval") for metric in metrics]
    header = ("group", "rows", *chain.from_iterable(titles))
    gaps = [
        (
            text(metric_title(metric)),
            "–" if gap.base is None else numbers.metric(gap.base),
            numbers.metric(gap.value),
            numbers.interval(gap.interval),
            by_chance(gap),
            text(gap.lowest),
            text(gap.highest),
        )
        for metric, gap in one.gaps.items()
    ]
    return (
        figure(chart, drawn)
        + table(f"By {one.slice}", header, rows, right=range(1, len(header)))
        + (_GAP_NOTE if gaps else "")
        + table(f"Largest gap between groups, by {one.slice}", _GAP_HEADER, gaps, right=(1, 2, 3, 4))
    )
