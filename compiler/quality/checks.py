"""A quality report in a few lines, for the plan's list of what was looked at. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ftc.spec.documents.plan import Check
from ftc.spec.documents.quality import Agreement, QualityReport

__all__ = ["quality_checks"]

_MOST_LABELS = 20
_NAMES = (
    ("encoding", "damaged text"),
    ("secrets", "secrets"),
    ("personal", "personal data"),
    ("length", "odd lengths"),
)


def quality_checks(report: QualityReport, num_parts: int) -> Iterator[Check]:
    """What was looked for and how much of it was there."""
    if num_parts > 1:
        yield _check("overlap", _overlap(report))
    for one in report.contamination:
        if one.rows:
            words = f"{one.rows:,} of {one.of:,} rows share runs of {one.run} tokens with train"
            yield _check(f"contamination of {one.split}", f"{words}, {one.mostly:,} nearly all")
    if report.chosen_by:
        yield _check("choice", f"{report.chosen_by:,} test rows are validation rows as well")
    for part, counts in report.labels.items():
        words = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:_MOST_LABELS])
        yield _check(f"labels of {part}", words)
    yield _check("copies", ", ".join(_by_rule(report, "copies")) or "none")
    yield _check("rows", ", ".join(_rows(report)))
    if report.presidio is not None:
        used = report.presidio
        yield _check("presidio", f"release {used.version} looked for {len(used.kinds)} kinds of personal data")
    if report.agreement is not None:
        yield _check("agreement", _agreement(report.agreement))


def _check(name: str, result: str) -> Check:
    return Check(name=name, code=None, result=result)


def _overlap(report: QualityReport) -> str:
    near = "" if report.similarity is None else f", or is near to one by {report.similarity:g}"
    return ", ".join(_by_rule(report, "overlap")) or f"no row is both trained on and measured{near}"


def _by_rule(report: QualityReport, kind: str) -> list[str]:
    return [f"{one.split} {one.rule} {one.rows:,}" for one in report.findings if one.kind == kind]


def _rows(report: QualityReport) -> Iterator[str]:
    """Each kind with its count of rows, and what it was where there is any: by rule, if there are several."""
    for kind, name in _NAMES:
        rows = report.rows_by_kind.get(kind, 0)
        counts = Counter[str]()
        for one in report.findings:
            if one.kind == kind:
                counts[one.rule] += one.rows
        rules = list(counts) if len(counts) == 1 else [f"{rule} {count:,}" for rule, count in counts.items()]
        yield f"{name} {rows:,}" + (f" ({', '.join(rules)})" if rules else "")


def _agreement(found: Agreement) -> str:
    figures = [
        f"Cohen {pair.cohen:.3f}" for pair in found.pairs[:1] if pair.cohen is not None and len(found.pairs) == 1
    ]
    if found.fleiss is not None:
        figures.append(f"Fleiss {found.fleiss:.3f} over {found.complete_rows:,} rows")
    if found.krippendorff is not None:
        figures.append(f"Krippendorff {found.krippendorff:.3f} over {found.rows:,} rows")
    nothing = "a single label, which chance explains" if found.rows else "no row with two labels"
    return f"{len(found.columns)} annotators: {', '.join(figures) or nothing}"
