"""Forgetting on general text, and predictions that change when phrases are exchanged, for terminal and report."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.record import ClassifierResult, Evaluation, Gain, JudgeResult, RetentionResult, SwapsResult
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.judging import use_words
from ftc.views.page import Page, table
from ftc.views.report.elements import facts, section, text
from ftc.views.report.elements import table as html_table

__all__ = ["classifier_section", "judge_section", "probe_blocks", "retention_section", "swaps_section"]

_MOST_PAIRS = 8


def probe_blocks(evaluation: Evaluation, page: Page) -> Iterator[list[str]]:
    """The lines of each, where it was measured."""
    if evaluation.retention is not None:
        yield page.flow("general", [*_retention_words(evaluation.retention)])
    if evaluation.judge is not None:
        yield page.flow("judge", [*_judge_words(evaluation.judge)])
    if evaluation.classifier is not None:
        yield page.flow("classifier", [*_classifier_words(evaluation.classifier)])
    if evaluation.swaps is not None:
        yield [*page.flow("swaps", [*_swaps_words(evaluation.swaps)]), *_pairs(evaluation.swaps)]


def _judge_words(found: JudgeResult) -> Iterator[str]:
    if found.tuned is None:
        yield f"{escaped(found.model)} graded nothing"
    else:
        sure = f" ({found.interval.low:.2f} to {found.interval.high:.2f})" if found.interval else ""
        yield f"{escaped(found.model)} gives {found.tuned:.2f} of 10 to the tuned model{sure}"
    if found.base is not None and found.gain is not None:
        yield f"{found.base:.2f} to the base, gain {_gain(found.gain)}"
    if found.graded < found.rows:
        left = f"{found.rows - found.graded:,} of {numbers.plural(found.rows, 'row')}"
        yield f"{left} not graded: {escaped(found.failure)}"
    if found.use is not None:
        yield use_words(found.use)


def judge_section(evaluation: Evaluation | None) -> str:
    """The judge's grades in words."""
    if evaluation is None or evaluation.judge is None:
        return ""
    words = "; ".join(_judge_words(evaluation.judge))
    note = "A judge is a model too: it prefers long and familiar answers, and may be talked into a grade by one."
    return section("judge", "Judge", f"<p>{text(words)}.</p>", f"<p>{note}</p>")


def _classifier_words(found: ClassifierResult) -> Iterator[str]:
    low, high = numbers.percent(found.interval.low), numbers.percent(found.interval.high)
    share = f"{numbers.percent(found.tuned)} of {numbers.plural(found.rows, 'answer')} are `{escaped(found.label)}`"
    yield f"{share} ({low} to {high}) by {escaped(found.name)}"
    if found.base is not None and found.gain is not None:
        yield f"{numbers.percent(found.base)} before tuning, change {_gain(found.gain)}"
    if found.cut:
        yield f"{numbers.plural(found.cut, 'answer')} read in part: too long for it"


def classifier_section(evaluation: Evaluation | None) -> str:
    """The share of answers that a classifier gives its label."""
    if evaluation is None or evaluation.classifier is None:
        return ""
    found = evaluation.classifier
    words = "; ".join(_classifier_words(found))
    rows = ", ".join(map(numbers.count, found.examples))
    where = f"<p>Rows whose answers have the label, the first ones: {rows}.</p>" if rows else ""
    note = "A classifier errs too: what it says of a few answers is worth reading those answers."
    return section("classifier", "Classifier", f"<p>{text(words)}.</p>", where, f"<p>{note}</p>")


def _retention_words(found: RetentionResult) -> Iterator[str]:
    yield f"{numbers.count(found.tokens)} tokens of general text"
    yield f"{found.base:.3f} nats a token before tuning, {found.tuned:.3f} after"
    yield f"forgetting {_gain(found.forgetting)}"


def _gain(gain: Gain) -> str:
    if gain.interval is None:
        return numbers.signed(gain.value)
    between = f"{numbers.signed(gain.interval.low)} to {numbers.signed(gain.interval.high)}"
    shown = "" if gain.is_shown else ", no difference shown"
    return f"{numbers.signed(gain.value)} ({between}{shown})"


def _swaps_words(found: SwapsResult) -> Iterator[str]:
    between = found.interval
    sure = f" ({numbers.percent(between.low)} to {numbers.percent(between.high)})" if between else ""
    yield f"{numbers.percent(found.share)} of {numbers.plural(found.rows, 'prediction')} change{sure}"
    if found.base is not None and found.change is not None:
        yield f"{numbers.percent(found.base)} before tuning, change {_gain(found.change)}"


def _pairs(found: SwapsResult) -> list[str]:
    ranked = sorted(found.pairs, key=lambda pair: (-pair.changed, -pair.rows))[:_MOST_PAIRS]
    rows = [
        (f"{escaped(one.phrase)} → {escaped(one.other)}", f"{one.changed:,} of {one.rows:,}")
        for one in ranked
        if one.rows
    ]
    return table(rows, right=(1,), indent=2)


def retention_section(evaluation: Evaluation | None) -> str:
    """General text before and after, with what the figure means."""
    if evaluation is None or evaluation.retention is None:
        return ""
    found = evaluation.retention
    gain = found.forgetting
    rows = [
        ("general text", f"{numbers.count(found.tokens)} tokens in {numbers.plural(found.blocks, 'block')}"),
        ("before tuning", f"{found.base:.4f} nats a token"),
        ("after tuning", f"{found.tuned:.4f} nats a token"),
        ("forgetting", text(_gain(gain))),
    ]
    words = "What a token of text costs more that has nothing to do with the task: less is better, none is best."
    return section("retention", "Forgetting", f"<p>{words}</p>", facts(rows))


def swaps_section(evaluation: Evaluation | None) -> str:
    """Which exchanges change predictions, and examples."""
    if evaluation is None or evaluation.swaps is None:
        return ""
    found = evaluation.swaps
    pairs = [
        (
            text(one.phrase),
            text(one.other),
            numbers.count(one.rows),
            *(("–" if one.base is None else numbers.count(one.base),) if found.base is not None else ()),
            numbers.count(one.changed),
            _share(one.changed, one.rows),
        )
        for one in found.pairs
    ]
    examples = [
        (numbers.count(one.row), text(f"{one.phrase} → {one.other}"), text(one.before), text(one.after))
        for one in found.examples
    ]
    of_base = ("changed, base",) if found.base is not None else ()
    header = ("phrase", "exchanged for", "rows", *of_base, "changed, tuned", "share, tuned")
    return section(
        "swaps",
        "Exchanged phrases",
        f"<p>When a phrase of a test row is exchanged: {text('; '.join(_swaps_words(found)))}.</p>",
        html_table("By phrase", header, pairs, right=range(2, len(header))),
        html_table("Predictions that change", ("row", "exchange", "before", "after"), examples, right=(0,)),
    )


def _share(changed: int, rows: int) -> str:
    return numbers.percent(changed, rows) if rows else "–"
