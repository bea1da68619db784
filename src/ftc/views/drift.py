"""What `ftc drift` says of new rows. Pure functions."""

from __future__ import annotations

from typing import assert_never

from ftc.spec.documents.data_drift import DataDrift, DriftTest, MetricDrift
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, fitted, shorten

__all__ = ["HEADER", "drift_text", "metric_words", "power_words", "test_cells", "verdict_words"]

HEADER = ("test", "difference", "shows from", "p", "both sides")
"""Columns of `test_cells`."""
_MOST_CLASSES = 10
_BESIDE, _SHORTEST = 46, 24
"""Cells beside the text of a novel row, and those that the text gets at least."""


def drift_text(found: DataDrift, *, page: Page = PLAIN) -> str:
    """The answer of the verb.

    Args:
        found: What was found.
        page: Width and colors.
    """
    sides = [f"{numbers.plural(found.new_rows, 'row')} of {escaped(found.data)}"]
    sides.append(f"beside {numbers.plural(found.reference_rows, f'{found.reference} row')} of run {found.run_id}")
    paint = {"drift": page.bad, "no drift": page.good, "too few rows": page.alert}[found.verdict]
    lines = [*page.flow("drift", sides), *page.flow("verdict", [paint(verdict_words(found))])]
    if found.tests:
        rows = [tuple(map(escaped, test_cells(one))) for one in found.tests]
        marked = [
            (page.bad(name) if one.drifted else name, *rest)
            for one, (name, *rest) in zip(found.tests, rows, strict=True)
        ]
        lines += ["", *fitted(HEADER, marked, page, right=(1, 2, 3)), ""]
    lines += page.flow("power", [power_words(found)])
    changed = sorted(found.classes.items(), key=lambda one: -abs(one[1][1] - one[1][0]))[:_MOST_CLASSES]
    lines += page.listed(
        "classes", [f"{escaped(name)} {100 * before:.1f} % -> {100 * now:.1f} %" for name, (before, now) in changed]
    )
    for name, metric in found.metrics.items():
        lines += page.flow("metric", [f"{escaped(name)} {metric_words(metric)}"])
    for words in found.failed_gates:
        lines += page.flow("gate", [f"{escaped(words)}: {page.bad('failed')}"])
    if found.novel:
        lines += ["", *page.flow("novel", ["the new rows that are least like the run's"])]
        room = max(_SHORTEST, page.columns - _BESIDE)
        cells = [
            (escaped(one.place), f"{one.distance:.2f}", f"{one.p:.3f}", shorten(escaped(one.text), room))
            for one in found.novel
        ]
        lines += fitted(("row", "distance", "p", "text"), cells, page, right=(1, 2))
    for note in found.notes:
        lines += page.flow("note", [escaped(note)])
    return "\n".join(lines) + "\n"


def verdict_words(found: DataDrift) -> str:
    """The verdict in a few words."""
    match found.verdict:
        case "drift":
            return f"the new rows differ in {', '.join(one.name for one in found.drifted)}"
        case "no drift":
            return "no drift shown"
        case "too few rows":
            return "too few rows to see a difference"
        case _:
            assert_never(found.verdict)


def power_words(found: DataDrift) -> str:
    """What these rows could have shown."""
    if found.minimum_detectable_auc is None:
        return "too few rows for tests of inputs and answers"
    return (
        "in 80 of 100 cases these rows show a shift by which a classifier tells new rows apart with an AUC of "
        f"{found.minimum_detectable_auc:.2f} (0.5 is not at all); at most "
        f"{numbers.percent(found.significance_level)} of reports without drift say `drift`"
    )


def test_cells(one: DriftTest) -> tuple[str, ...]:
    """A test as cells under `HEADER`."""
    form = "{:.2f}" if one.unit == "AUC" else "{:+.3f}" if "change" in one.unit else "{:.3f}"
    least = one.minimum_detectable
    smallest = "–" if least is None else f"{least:.2f}" if one.unit == "AUC" else f"{least:.3f}"
    p = "< 0.001" if one.adjusted_p < 0.001 else f"{one.adjusted_p:.3f}"
    return one.name, form.format(one.value), smallest, p, one.detail


def metric_words(one: MetricDrift) -> str:
    """A metric on the new rows beside the test rows."""
    words = f"{one.value:.3f}"
    if one.interval is not None:
        words += f" ({one.interval.low:.3f} to {one.interval.high:.3f})"
    words += f" on {numbers.plural(one.rows, 'row')}"
    if one.test_value is not None:
        words += f"; {one.test_value:.3f} on test rows"
        if one.test_interval is not None:
            words += f" ({one.test_interval.low:.3f} to {one.test_interval.high:.3f})"
    return words
