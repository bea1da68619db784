"""The report's part on the rows themselves: who is alike, what is damaged or private, and how far annotators agree."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.quality import Agreement, QualityFinding, QualityReport
from ftc.views import numbers
from ftc.views.report.elements import details, facts, section, table, text

__all__ = ["quality_section"]

_KINDS = {
    "copies": "copies",
    "overlap": "overlap",
    "labels": "classes",
    "encoding": "damaged text",
    "length": "length",
    "personal": "personal data",
    "secrets": "secret",
}


def quality_section(plan: Plan) -> str:
    """What was found in the rows, with the first places of each finding."""
    report = plan.quality
    return section(
        "quality",
        "Quality of the rows",
        facts(_facts(report)),
        table("What was found", ("part", "kind", "what", "rows", "of"), list(_rows(report)), right=(3, 4)),
        details("Where it was found", table("Places", ("place", "what", "there"), list(_places(report)))),
        _contamination(report),
        _balance(report),
        _agreement(report.agreement),
    )


def _facts(report: QualityReport) -> Iterator[tuple[str, str]]:
    yield "looked at", text(numbers.plural(report.rows, "row"))
    near = "not looked for" if report.similarity is None else f"Jaccard similarity of {report.similarity:g} or more"
    yield "near duplicates", text(near)
    for reason in report.not_checked:
        yield "not looked at", text(reason)


def _rows(report: QualityReport) -> Iterator[tuple[str, ...]]:
    for one in report.findings:
        counts = (text(numbers.count(one.rows)), text(numbers.count(one.of)))
        yield (text(one.split), text(_KINDS[one.kind]), text(one.rule), *counts)


def _places(report: QualityReport) -> Iterator[tuple[str, ...]]:
    for one in report.findings:
        for sample in one.samples:
            yield (text(sample.place), text(one.rule), text(sample.shown or _unshown(one)))


def _unshown(one: QualityFinding) -> str:
    return "not shown here" if one.kind in ("personal", "secrets") else ""


def _contamination(report: QualityReport) -> str:
    """How much of the measured rows stands in training rows, token by token."""
    rows = [
        (
            text(one.split),
            text(numbers.count(one.of)),
            text(numbers.count(one.rows)),
            text(numbers.count(one.mostly)),
            text(numbers.percent(one.share)),
        )
        for one in report.contamination
    ]
    run = report.contamination[0].run if report.contamination else 0
    caption = f"Contamination: runs of {run} tokens that training rows have too"
    return table(caption, ("part", "rows", "with such a run", "four fifths of it", "tokens"), rows, right=range(1, 5))


def _balance(report: QualityReport) -> str:
    """Rows of each class, part by part."""
    names = list(dict.fromkeys(name for counts in report.labels.values() for name in counts))
    parts = list(report.labels)
    rows = [(text(name), *(text(numbers.count(report.labels[part].get(name, 0))) for part in parts)) for name in names]
    return table("Rows by class", ("class", *parts), rows, right=range(1, len(parts) + 1))


def _agreement(found: Agreement | None) -> str:
    if found is None:
        return ""
    pairs = [
        (text(" and ".join(pair.columns)), text("Cohen's kappa"), text(numbers.count(pair.rows)), _figure(pair.cohen))
        for pair in found.pairs
    ]
    everybody = text("all annotators")
    pairs.append((everybody, text("Fleiss' kappa"), text(numbers.count(found.complete_rows)), _figure(found.fleiss)))
    alpha = _figure(found.krippendorff)
    pairs.append((everybody, text("Krippendorff's alpha"), text(numbers.count(found.rows)), alpha))
    return table("Agreement beyond chance", ("annotators", "figure", "rows", "value"), pairs, right=(2, 3))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
