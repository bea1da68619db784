"""A quality report's findings, which stop a plan or warn, and its lines for the plan. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ftc.compiler.quality.spellings import odd_labels
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.documents.quality import COPIES, SEEN_SHARE, TOKENS_UNSEARCHED, Agreement, CheckName, Kind, QualityReport
from ftc.spec.language.safe_repr import label_name
from ftc.spec.sections.data import QualityRules

__all__ = ["LEAST_AGREEMENT", "quality_checks", "quality_findings"]

LEAST_AGREEMENT = 0.667
"""Krippendorff's own bound, under which labels support no conclusion, not even a tentative one."""

_SHOWN = 3
_MOST_NOTES = 6


def quality_findings(report: QualityReport, rules: QualityRules) -> Iterator[Diagnostic]:
    """Errors and warnings; the recipe says what is borne."""
    yield from _overlaps(report, rules)
    trained = report.labels.get("train", {})
    odd = odd_labels(sum((Counter(counts) for counts in report.labels.values()), Counter()))  # FTC394, FTC395
    for part, counts in report.labels.items():
        missing = [label for label in trained if label not in counts and label not in odd]
        if part != "train" and missing:
            names = ", ".join(f"`{label_name(label)}` ({trained[label]:,} in train)" for label in missing[:5])
            yield diagnostic(
                "FTC387",
                f"{len(missing):,} of {len(trained):,} classes have no {part} row",
                help=f"raise `data.split.{part}`, or add rows of these classes",
                notes=names,
                path=f"data.split.{part}",
            )
    help_ = "decide which label is right, or remove these rows"
    yield from _grouped(report, "labels", "FTC383", "{} have the same text as another row but a different label", help_)
    help_ = "re-export the file as UTF-8, or fix these rows"
    yield from _grouped(report, "encoding", "FTC384", "encoding errors in {}", help_)
    severity = Severity.ERROR if rules.secrets == "refuse" else Severity.WARNING
    help_ = "remove and revoke them; a model can repeat what it was trained on"
    yield from _grouped(report, "secrets", "FTC385", "{} contain what looks like a secret", help_, severity)
    if rules.personal != "report":
        severity = Severity.ERROR if rules.personal == "refuse" else Severity.WARNING
        help_ = "remove it, or write `personal: report` in `data.quality` to only count it"
        yield from _grouped(report, "personal", "FTC386", "personal data in {}", help_, severity)
    found = report.agreement
    if found is not None and found.krippendorff is not None and found.krippendorff < LEAST_AGREEMENT:
        pairs = [f"{' and '.join(pair.columns)}: {pair.cohen:.3f}" for pair in found.pairs if pair.cohen is not None]
        yield diagnostic(
            "FTC388",
            f"low agreement between annotators: Krippendorff's alpha is {found.krippendorff:.3f}",
            help="clarify the guideline and annotate again, or train on the rows with agreement",
            notes=[
                f"{found.rows:,} rows have two or more labels; values under {LEAST_AGREEMENT} support no conclusion",
                *([f"Cohen's kappa of {', '.join(pairs[:5])}"] if pairs else []),
            ],
            path="data.quality.annotations",
        )


def _overlaps(report: QualityReport, rules: QualityRules) -> Iterator[Diagnostic]:
    """One finding for each pair of parts: an error where rows are trained on and measured, else a warning."""
    found = [finding for finding in report.findings if finding.kind == "overlap"]
    for part, other in dict.fromkeys((finding.split, finding.other) for finding in found):
        matches = [one for one in found if one.split == part and one.other == other]
        rows, of = sum(one.rows for one in matches), matches[0].of
        is_error = other == "train" and rows / of > rules.allow_overlap
        are_copies = all(one.likeness == COPIES for one in matches)
        verb = "are also training rows" if other == "train" else f"are also {other} rows"
        if not are_copies:
            verb = f"{verb}, or near duplicates of {'training' if other == 'train' else other} rows"
        share = -(-rows * 1000 // of) / 1000
        allowance = [f"or accept them: `data: {{quality: {{allow_overlap: {share:g}}}}}`"] if is_error else []
        by_rule = [] if are_copies else [", ".join(f"{one.rule}: {one.rows:,}" for one in matches)]
        samples = [sample for one in matches for sample in one.samples][:_SHOWN]
        yield diagnostic(
            "FTC370",
            f"{rows:,} of {of:,} {part} rows {verb}",
            help=[f"remove them from {other} or from {part}", *allowance],
            notes=[*by_rule, *(f"{one.place}: {one.shown}" if one.shown else one.place for one in samples)],
            path=f"data.split.{part}",
            severity=Severity.ERROR if is_error else Severity.WARNING,
        )


def _grouped(
    report: QualityReport, kind: Kind, code: str, words: str, help_: str, severity: Severity | None = None
) -> Iterator[Diagnostic]:
    """One finding for all rules of a kind."""
    if found := [finding for finding in report.findings if finding.kind == kind]:
        rows, notes = report.rows_by_kind[kind], []
        for finding in found[:_MOST_NOTES]:
            first = finding.samples[0]
            where = f"{first.place}: {first.shown}" if first.shown else first.place
            notes.append(f"{finding.rule}: {finding.rows:,} of {finding.of:,} {finding.split} rows, first {where}")
        yield diagnostic(
            code,
            words.format(f"{rows:,} row{'' if rows == 1 else 's'}"),
            help=help_,
            notes=notes,
            path="data.source",
            severity=severity,
        )


_MOST_LABELS = 20
_NAMES = (
    ("encoding", "encoding errors"),
    ("secrets", "secrets"),
    ("personal", "personal data"),
    ("length", "length outliers"),
)


def quality_checks(report: QualityReport, num_parts: int) -> Iterator[Check]:
    """What was checked and how much was found."""
    if num_parts > 1:
        yield _check(CheckName.LEAKAGE, _leakage(report))
    for one in report.contamination:
        if one.rows:
            words = f"{one.rows:,} of {one.of:,} rows share {one.run}-grams with training rows"
            nearly = f"{one.mostly:,} of them at least {SEEN_SHARE * 100:.0f} % of theirs"
            yield _check(CheckName.ngrams(one.split), f"{words}, {nearly}")
    if report.chosen_by:
        yield _check(CheckName.CHOICE, f"{report.chosen_by:,} test rows are also validation rows")
    for part, counts in report.labels.items():
        words = ", ".join(f"{label_name(name)} {count}" for name, count in list(counts.items())[:_MOST_LABELS])
        yield _check(f"labels of {part}", words)
    yield _check(CheckName.DUPLICATES, ", ".join(_by_rule(report, "copies")) or "none")
    kinds = []  # each with its count of rows, and what it was where there is any: by rule, if there are several
    for kind, name in _NAMES:
        by_rule = Counter[str]()
        for finding in report.findings:
            if finding.kind == kind:
                by_rule[finding.rule] += finding.rows
        rules = list(by_rule) if len(by_rule) == 1 else [f"{rule} {count:,}" for rule, count in by_rule.items()]
        kinds.append(f"{name} {report.rows_by_kind.get(kind, 0):,}" + (f" ({', '.join(rules)})" if rules else ""))
    yield _check(CheckName.ROWS, ", ".join(kinds))
    if report.presidio is not None:
        used = report.presidio
        yield _check("presidio", f"release {used.version} searched for {len(used.kinds)} kinds of personal data")
    if report.agreement is not None:
        yield _check("agreement", _agreement(report.agreement))


def _leakage(report: QualityReport) -> str:
    """What the parts share by their texts, and by their tokens where these are equal in more rows: where texts differ
    only behind the maximum length, or in what the tokenizer leaves out.
    """
    by_text = _by_rule(report, "overlap")
    by_tokens = []
    counted = (("train", "training", report.trained_on), ("validation", "validation", report.chosen_by))
    for other, words, rows in counted:
        pairs = (one for one in report.findings if one.kind == "overlap" and one.split == "test")
        if rows and rows > sum(one.rows for one in pairs if one.other == other):
            by_tokens.append(f"{rows:,} test row{' has' if rows == 1 else 's have'} the tokens of {words} rows")
    near = "" if report.similarity is None else f" or near duplicates (Jaccard ≥ {report.similarity:g})"
    if report.trained_on is None:
        texts = by_text or [f"no texts are duplicates{near} across splits"]
        return f"{', '.join([*texts, *by_tokens])}; {TOKENS_UNSEARCHED}"
    if by_text or not by_tokens:
        return ", ".join([*by_text, *by_tokens]) or f"No leakage: no duplicates{near} across splits."
    return f"{' and '.join(by_tokens)}, though no texts are duplicates{near} across splits."


def _check(name: str, result: str) -> Check:
    return Check(name=name, code=None, result=result)


def _by_rule(report: QualityReport, kind: str) -> list[str]:
    return [f"{one.split} {one.rule} {one.rows:,}" for one in report.findings if one.kind == kind]


def _agreement(found: Agreement) -> str:
    kappa = found.pairs[0].cohen if len(found.pairs) == 1 else None
    figures = [f"Cohen {kappa:.3f}"] if kappa is not None else []
    if found.fleiss is not None:
        figures.append(f"Fleiss {found.fleiss:.3f} over {found.complete_rows:,} rows")
    if found.krippendorff is not None:
        figures.append(f"Krippendorff {found.krippendorff:.3f} over {found.rows:,} rows")
    nothing = "only one label, which chance explains" if found.rows else "no row with two labels"
    return f"{len(found.columns)} annotators: {', '.join(figures) or nothing}"
