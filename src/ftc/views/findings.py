"""What a run found about itself, and the simple baselines beside the tuned model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftc.spec.documents.findings import BaselineResult, RunFinding
from ftc.spec.documents.record import Evaluation, RunRecord
from ftc.spec.sections.evaluation import SimpleBaseline
from ftc.views import numbers
from ftc.views.page import Page, escaped, fitted
from ftc.views.report.elements import marked_up, section, text
from ftc.views.report.elements import table as html_table
from ftc.views.words import metric_title

__all__ = [
    "baseline_lines",
    "baseline_table",
    "baselines_section",
    "finding_lines",
    "findings_list",
    "is_still_falling",
]

_TITLES: dict[SimpleBaseline, str] = {
    "majority": "most frequent label",
    "tfidf": "TF-IDF + logistic regression",
    "nearest": "nearest training row",
}


def is_still_falling(record: RunRecord) -> bool:
    """Whether the run found that it ended too early, so that nothing can be said of overfitting."""
    return any(one.code == "FTC247" for one in record.findings)


def finding_lines(findings: Sequence[RunFinding], page: Page) -> list[str]:
    """Each finding with what to do about it, warnings first."""
    lines = []
    for one in _ordered(findings):
        word = f"{one.severity} {one.code}: {escaped(one.text)}"
        lines += [page.alert(line) if one.severity == "warning" else line for line in page.wrap(word)]
        lines += [page.faint(line) for line in page.wrap(f"  {escaped(one.help)}")] if one.help else []
    return lines


def findings_list(findings: Sequence[RunFinding]) -> str:
    """The same as HTML, each a paragraph that stands out."""
    return "".join(
        f'<p class="reservation"><strong>{text(one.severity)} {text(one.code)}:</strong> {marked_up(one.text)} '
        f"{marked_up(one.help)}</p>"
        for one in _ordered(findings)
    )


def _ordered(findings: Sequence[RunFinding]) -> list[RunFinding]:
    return sorted(findings, key=lambda one: one.severity != "warning")


def _rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """A row a baseline, the tuned model last; metrics that need probabilities are blank."""
    names = _names(evaluation)
    for one in evaluation.baselines:
        values = (numbers.metric(one.metrics[name]) if name in one.metrics else "" for name in names)
        yield _TITLES[one.kind], *values
    yield "tuned model", *(numbers.metric(evaluation.tuned.metrics[name]) for name in names)


def _names(evaluation: Evaluation) -> list[str]:
    return [name for name in evaluation.tuned.metrics if any(name in one.metrics for one in evaluation.baselines)]


def _fitted(found: BaselineResult) -> str:
    return f"fitted on {numbers.plural(found.rows, 'training row')}"


def baseline_lines(evaluation: Evaluation, page: Page) -> list[str]:
    """The baselines as a small table; nothing where there are none."""
    if not evaluation.baselines:
        return []
    header = ("", *map(metric_title, _names(evaluation)))
    lines = fitted(header, [*_rows(evaluation)], page, right=range(1, len(header)), indent=2)
    return [f"simple baselines, {_fitted(evaluation.baselines[0])}", *lines]


def baseline_table(evaluation: Evaluation) -> str:
    """The same in Markdown."""
    names = _names(evaluation)
    header = ("", *map(metric_title, names))
    lines = [header, ("---", *("---:" for _ in names)), *_rows(evaluation)]
    title = f"Simple baselines on the same rows, {_fitted(evaluation.baselines[0])}:"
    return title + "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def baselines_section(evaluation: Evaluation | None) -> str:
    """What simple models reach on the same rows, and how the tuned model compares with each."""
    if evaluation is None or not evaluation.baselines:
        return ""
    names = _names(evaluation)
    values = html_table(
        f"On the same test rows, {_fitted(evaluation.baselines[0])}",
        ("", *map(metric_title, names)),
        [tuple(map(text, row)) for row in _rows(evaluation)],
        right=range(1, 1 + len(names)),
    )
    gains = html_table(
        "Tuned model less baseline (95 % interval)",
        ("", *map(metric_title, names)),
        [
            (text(_TITLES[one.kind]), *(numbers.gain(one.gains[name]) if name in one.gains else "–" for name in names))
            for one in evaluation.baselines
        ],
        right=range(1, 1 + len(names)),
    )
    methods = "; ".join(f"{_TITLES[one.kind]}: {one.method}" for one in evaluation.baselines)
    return section("baselines", "Simple baselines", values, gains, f"<p><small>{text(methods)}.</small></p>")
