"""What of a quality report stops a plan or warns: each kind once, with counts and the first places. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.quality import Agreement, Kind, QualityFinding, QualityReport
from ftc.spec.sections.data import QualityRules

__all__ = ["LEAST_AGREEMENT", "quality_findings"]

LEAST_AGREEMENT = 0.667
"""Krippendorff's own bound, under which labels support no conclusion, not even a tentative one."""

_SHOWN = 3
_MOST_NOTES = 6


def quality_findings(report: QualityReport, rules: QualityRules) -> Iterator[Diagnostic]:
    """Errors and warnings; the recipe says what is borne."""
    yield from _overlaps(report, rules)
    yield from _classes_not_measured(report)
    yield from _grouped(report, "labels", "FTC383", "the text of {} stands elsewhere with another class", _MEND_LABELS)
    yield from _grouped(report, "encoding", "FTC384", "damaged text in {}", _MEND_ENCODING)
    yield from _grouped(
        report,
        "secrets",
        "FTC385",
        "what looks like a secret stands in {}",
        "take them out and revoke them; a model can repeat what it was trained on",
        Severity.ERROR if rules.secrets == "refuse" else Severity.WARNING,
    )
    if rules.personal != "report":
        severity = Severity.ERROR if rules.personal == "refuse" else Severity.WARNING
        help_ = "take them out, or write `personal: report` in `data.quality` to have them counted"
        yield from _grouped(report, "personal", "FTC386", "personal data in {}", help_, severity)
    if report.agreement is not None:
        yield from _little_agreement(report.agreement)


_MEND_LABELS = "settle which class is right, or take these rows out"
_MEND_ENCODING = "read the source again in its own encoding, or mend the rows"


def _overlaps(report: QualityReport, rules: QualityRules) -> Iterator[Diagnostic]:
    """One finding for each pair of parts: an error where rows are trained on and measured, else a warning."""
    found = [finding for finding in report.findings if finding.kind == "overlap"]
    for part, other in dict.fromkeys((finding.split, finding.rule.split()[-2]) for finding in found):
        matches = [one for one in found if one.split == part and one.rule.split()[-2] == other]
        rows, of = sum(one.rows for one in matches), matches[0].of
        is_error = other == "train" and rows / of > rules.allow_overlap
        are_copies = all(one.rule.startswith("copies of") for one in matches)
        verb = "are trained on as well" if other == "train" else f"stand in {other} as well"
        summary = f"{rows:,} of {of:,} {part} rows {verb if are_copies else _resembles(verb, other)}"
        yield diagnostic(
            "FTC370",
            summary,
            help=[f"take them out of {other} or out of {part}", *_allowance(rows, of, is_error)],
            notes=[*_by_rule(matches, are_copies), *_places(matches)],
            path=f"data.split.{part}",
            severity=Severity.ERROR if is_error else Severity.WARNING,
        )


def _resembles(verb: str, other: str) -> str:
    return f"{verb}, or resemble {'training' if other == 'train' else other} rows"


def _allowance(rows: int, of: int, is_error: bool) -> list[str]:
    share = -(-rows * 1000 // of) / 1000
    return [f"or bear them: `data: {{quality: {{allow_overlap: {share:g}}}}}`"] if is_error else []


def _by_rule(matches: Sequence[QualityFinding], are_copies: bool) -> list[str]:
    return [] if are_copies else [", ".join(f"{one.rule}: {one.rows:,}" for one in matches)]


def _places(matches: Iterable[QualityFinding]) -> list[str]:
    samples = [sample for one in matches for sample in one.samples]
    return [f"{sample.place}: {sample.shown}" if sample.shown else sample.place for sample in samples[:_SHOWN]]


def _classes_not_measured(report: QualityReport) -> Iterator[Diagnostic]:
    trained = report.labels.get("train", {})
    for part, counts in report.labels.items():
        missing = [label for label in trained if label not in counts]
        if part != "train" and missing:
            names = ", ".join(f"`{label[:64]}` ({trained[label]:,} in train)" for label in missing[:5])
            yield diagnostic(
                "FTC387",
                f"{len(missing):,} of {len(trained):,} classes have no {part} row",
                help=f"raise `data.split.{part}`, or add rows of these classes",
                notes=names,
                path=f"data.split.{part}",
            )


def _grouped(
    report: QualityReport, kind: Kind, code: str, words: str, help_: str, severity: Severity | None = None
) -> Iterator[Diagnostic]:
    """One finding for all rules of a kind."""
    if found := [finding for finding in report.findings if finding.kind == kind]:
        rows = report.rows_by_kind[kind]
        yield diagnostic(
            code,
            words.format(f"{rows:,} row{'' if rows == 1 else 's'}"),
            help=help_,
            notes=[_note(finding) for finding in found[:_MOST_NOTES]],
            path="data.source",
            severity=severity,
        )


def _note(finding: QualityFinding) -> str:
    """A finding in one line, with the first row that it is about."""
    first = finding.samples[0]
    count = f"{finding.rows:,} of {finding.of:,} {finding.split} rows"
    return f"{finding.rule}: {count}, first {first.place}{f': {first.shown}' if first.shown else ''}"


def _little_agreement(found: Agreement) -> Iterator[Diagnostic]:
    alpha = found.krippendorff
    if alpha is not None and alpha < LEAST_AGREEMENT:
        pairs = [f"{' and '.join(pair.columns)}: {pair.cohen:.3f}" for pair in found.pairs if pair.cohen is not None]
        yield diagnostic(
            "FTC388",
            f"annotators agree little beyond chance: Krippendorff's alpha is {alpha:.3f}",
            help="sharpen the guideline and annotate anew, or train on the rows that they agree on",
            notes=[
                f"{found.rows:,} rows have two labels or more; under {LEAST_AGREEMENT} they support no conclusion",
                *([f"Cohen's kappa of {', '.join(pairs[:5])}"] if pairs else []),
            ],
            path="data.quality.annotations",
        )
