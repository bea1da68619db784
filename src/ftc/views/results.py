"""What was measured: reservations, groups, and probes beside the test rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.quality import SEEN_SHARE
from ftc.spec.documents.record import (
    ClassifierResult,
    Evaluation,
    Gain,
    Gap,
    GateResult,
    Interval,
    JudgeResult,
    RewardModelResult,
    SliceResult,
    SwapsResult,
)
from ftc.spec.heads import head_card
from ftc.spec.metrics import metric_named
from ftc.spec.row_names import shown_row
from ftc.views import numbers
from ftc.views.estimates import use_words
from ftc.views.page import Page, escaped, fitted, table
from ftc.views.report.elements import facts, section, text
from ftc.views.report.elements import table as html_table
from ftc.views.row_texts import RowTexts
from ftc.views.words import metric_title

__all__ = [
    "FEW_ROWS",
    "MANY_ROWS",
    "Comparison",
    "Trend",
    "by_chance",
    "change_words",
    "classifier_section",
    "comparisons",
    "judge_section",
    "probe_blocks",
    "reservations",
    "retention_section",
    "reward_model_section",
    "slice_blocks",
    "swaps_section",
]

MANY_ROWS = 100
"""Test rows from which a figure needs no warning: a share's 95 % interval is then at most 0.1 to each side."""

_MOST_NAMED = 5


def reservations(plan: Plan, evaluation: Evaluation) -> Iterator[str]:
    """Sentences that belong beside the figures."""
    rows = evaluation.tuned.rows
    if rows < MANY_ROWS:
        yield f"Only {numbers.plural(rows, 'test row')} ({MANY_ROWS} or more advised). Rely on the intervals."
    if evaluation.base is not None and head_card(plan.settings.model.head).is_new:
        yield "The base model's head is randomly initialized: its score is chance, and a gain over it shows little."
    counts = plan.quality.labels
    seen = counts.get("test")
    absent = [] if seen is None else sorted(name for name in counts.get("train", ()) if not seen.get(name))
    if absent:
        named = ", ".join(f"`{escaped(name)}`" for name in absent[:_MOST_NAMED])
        more = f" and {len(absent) - _MOST_NAMED:,} more" if len(absent) > _MOST_NAMED else ""
        yield f"No test row has {named}{more}: these classes are not measured; their F1, precision and recall are 0."
    if plan.quality.chosen_by and plan.settings.train.select == "best":
        shared = f"{plan.quality.chosen_by:,} of {numbers.plural(rows, 'test row')}"
        yield f"{shared} are also validation rows, which chose the checkpoint: the test set is not held out."
    if plan.quality.trained_on is None:
        yield "It is unknown whether the model was trained on these rows: the training rows are no longer in the cache."
    elif plan.quality.trained_on:
        found = f"{plan.quality.trained_on:,} of {numbers.plural(rows, 'test row')}"
        yield f"{found} are also training rows: the model has seen the answers."
    for one in plan.quality.contamination:
        if one.split == "test" and one.mostly:
            found = f"{one.mostly:,} of {numbers.plural(one.of, 'test row')}"
            share = f"at least {100 * SEEN_SHARE:.0f} % of their {one.run}-grams"
            yield f"{found} share {share} with training rows; the score is probably too high."


FEW_ROWS = 30
"""Rows below which a group's figures say little; they are marked."""


def slice_blocks(evaluation: Evaluation, page: Page) -> Iterator[list[str]]:
    """The lines of each slice."""
    for one in evaluation.slices:
        yield [f"tuned, by {escaped(one.slice)}", *_lines(one, list(evaluation.tuned.metrics), page)]


def _lines(one: SliceResult, metrics: list[str], page: Page) -> list[str]:
    titles = ("", "rows", *map(metric_title, metrics), "")
    rows = [
        (
            escaped(group.group),
            numbers.count(group.rows),
            *(numbers.metric(group.tuned[metric]) for metric in metrics),
            page.alert("few rows") if group.rows < FEW_ROWS else escaped(group.detail),
        )
        for group in one.groups
    ]

    def gap(metric: str) -> str:
        found = one.gaps[metric]
        between = f" ({numbers.interval(found.interval)})" if found.interval else ""
        return numbers.metric(found.value) + between

    if one.gaps:
        rows.append(("largest gap", "", *map(gap, metrics), ""))
        rows.append(("expected by chance", "", *(by_chance(one.gaps[metric]) for metric in metrics), ""))
    return fitted(titles, rows, page, right=range(1, len(metrics) + 2), indent=2)


def by_chance(gap: Gap) -> str:
    """The gap that groups dealt by lot would have."""
    return "–" if gap.by_chance is None else numbers.metric(gap.by_chance)


_MOST_PAIRS = 8


def probe_blocks(evaluation: Evaluation, page: Page) -> Iterator[list[str]]:
    """The lines of each, where it was measured."""
    if evaluation.retention is not None:
        found = evaluation.retention
        yield page.flow(
            "general",
            [
                f"{numbers.count(found.tokens)} tokens of general text",
                f"{found.base:.3f} nats per token before tuning, {found.tuned:.3f} after",
                f"forgetting {numbers.gain(found.forgetting)}",
            ],
        )
    if evaluation.judge is not None:
        yield page.flow("judge", [*_judge_words(evaluation.judge)])
    if evaluation.classifier is not None:
        yield page.flow("classifier", [*_classifier_words(evaluation.classifier)])
    if evaluation.reward_model is not None:
        yield page.flow("reward model", [*_reward_model_words(evaluation.reward_model)])
    if evaluation.swaps is not None:
        ranked = sorted(evaluation.swaps.pairs, key=lambda pair: (-pair.changed, -pair.rows))[:_MOST_PAIRS]
        rows = [
            (f"{escaped(one.phrase)} → {escaped(one.other)}", f"{one.changed:,} of {one.rows:,}")
            for one in ranked
            if one.rows
        ]
        yield [*page.flow("swaps", [*_swaps_words(evaluation.swaps)]), *table(rows, right=(1,), indent=2)]


def _judge_words(found: JudgeResult) -> Iterator[str]:
    if found.tuned is None:
        yield f"{escaped(found.model)} graded nothing"
    else:
        sure = f" ({numbers.interval(found.interval, '{:.2f}'.format)})" if found.interval else ""
        yield f"{escaped(found.model)} gives {found.tuned:.2f} of 10 to the tuned model{sure}"
    if found.base is not None and found.gain is not None:
        yield f"{found.base:.2f} to the base, gain {numbers.gain(found.gain)}"
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
    note = "A judge is a model too: it prefers long and familiar answers, and an answer can manipulate it."
    return section("judge", "Judge", f"<p>{text(words)}.</p>", f"<p>{note}</p>")


def _classifier_words(found: ClassifierResult) -> Iterator[str]:
    share = f"{numbers.percent(found.tuned)} of {numbers.plural(found.rows, 'answer')} are `{escaped(found.label)}`"
    yield f"{share} ({numbers.interval(found.interval, numbers.percent)}) by {escaped(found.name)}"
    if found.base is not None and found.gain is not None:
        yield f"{numbers.percent(found.base)} before tuning, change {numbers.gain(found.gain)}"
    if found.cut:
        yield f"{numbers.plural(found.cut, 'answer')} truncated: too long for it"


def classifier_section(evaluation: Evaluation | None) -> str:
    """The share of answers that a classifier gives its label."""
    if evaluation is None or evaluation.classifier is None:
        return ""
    found = evaluation.classifier
    words = "; ".join(_classifier_words(found))
    rows = ", ".join(map(numbers.count, found.examples))
    where = f"<p>Rows whose answers have the label, the first ones: {rows}.</p>" if rows else ""
    note = "A classifier makes mistakes too: before you rely on small differences, read some of these answers."
    return section("classifier", "Classifier", f"<p>{text(words)}.</p>", where, f"<p>{note}</p>")


def _reward_model_words(found: RewardModelResult) -> Iterator[str]:
    sure = f" ({numbers.interval(found.interval, '{:.3f}'.format)})" if found.interval else ""
    yield f"{escaped(found.name)} gives {found.tuned:.3f} to the tuned model{sure}"
    if found.base is not None and found.gain is not None:
        yield f"{found.base:.3f} to the base, gain {numbers.gain(found.gain)}"
    if found.cut:
        yield f"{numbers.plural(found.cut, 'answer')} not read whole: too long for it"


def reward_model_section(evaluation: Evaluation | None) -> str:
    """The mean score of a reward model in words."""
    if evaluation is None or evaluation.reward_model is None:
        return ""
    words = "; ".join(_reward_model_words(evaluation.reward_model))
    note = "A reward model is a model too. Trained on pairs, its score has no zero: only the gain means something."
    return section("reward-model", "Reward model", f"<p>{text(words)}.</p>", f"<p>{note}</p>")


def _swaps_words(found: SwapsResult) -> Iterator[str]:
    sure = f" ({numbers.interval(found.interval, numbers.percent)})" if found.interval else ""
    yield f"{numbers.percent(found.share)} of {numbers.plural(found.rows, 'prediction')} change{sure}"
    if found.base is not None and found.change is not None:
        yield f"{numbers.percent(found.base)} before tuning, change {numbers.gain(found.change)}"


def retention_section(evaluation: Evaluation | None) -> str:
    """General text before and after, with what the figure means."""
    if evaluation is None or evaluation.retention is None:
        return ""
    found = evaluation.retention
    rows = [
        ("general text", f"{numbers.count(found.tokens)} tokens in {numbers.plural(found.blocks, 'block')}"),
        ("before tuning", f"{found.base:.4f} nats per token"),
        ("after tuning", f"{found.tuned:.4f} nats per token"),
        ("forgetting", numbers.gain(found.forgetting)),
    ]
    words = "Forgetting check: the loss per token of general text that is unrelated to the task. Lower is better."
    return section("retention", "Forgetting", f"<p>{words}</p>", facts(rows))


def swaps_section(evaluation: Evaluation | None, texts: RowTexts) -> str:
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
            numbers.percent(one.changed, one.rows) if one.rows else "–",
        )
        for one in found.pairs
    ]
    examples = []
    for one in found.examples:
        name = shown_row(one.place, one.row)
        before, after = texts.row(name, one.before, one.after)
        examples.append((text(name), text(f"{one.phrase} → {one.other}"), text(before), text(after)))
    of_base = ("changed, base",) if found.base is not None else ()
    header = ("phrase", "replaced by", "rows", *of_base, "changed, tuned", "share, tuned")
    return section(
        "swaps",
        "Counterfactual substitutions",
        f"<p>When a phrase of a test row is replaced: {text('; '.join(_swaps_words(found)))}.</p>",
        html_table("By phrase", header, pairs, right=range(2, len(header))),
        html_table("Predictions that change", ("row", "exchange", "before", "after"), examples),
    )


Trend = Literal["better", "worse", "equal", "not significant"]


class Comparison(NamedTuple):
    """One metric of the tuned model beside the base."""

    name: str
    base: float | None
    tuned: float
    gate: GateResult | None
    gain: Gain | None = None
    interval: Interval | None = None
    """Of the tuned model's value."""

    @property
    def change(self) -> float | None:
        """Tuned minus base."""
        return None if self.base is None else self.tuned - self.base

    @property
    def higher_is_better(self) -> bool:
        """Which way is up."""
        kind = metric_named(self.name)
        return kind.higher_is_better if kind else True

    @property
    def trend(self) -> Trend | None:
        """Whether tuning helped, as far as the rows can show it; None without a base."""
        if self.change is None:
            return None
        if self.change == 0:
            return "equal"
        if self.gain is not None and not self.gain.is_shown:
            return "not significant"
        return "better" if (self.change > 0) == self.higher_is_better else "worse"


def change_words(one: Comparison) -> str:
    """Such as `+0.746, 95 % interval +0.685 to +0.803 (better)`; empty without a base."""
    if one.change is None:
        return ""
    found = one.gain.interval if one.gain else None
    between = f", 95 % interval {numbers.interval(found, numbers.signed)}" if found else ""
    return f"{numbers.signed(one.change)}{between} ({one.trend})"


def comparisons(evaluation: Evaluation) -> tuple[Comparison, ...]:
    """Every metric, in the order in which it was measured."""
    base = evaluation.base.metrics if evaluation.base else {}
    gates = {gate.metric: gate for gate in evaluation.gates}
    return tuple(
        Comparison(
            name,
            base.get(name),
            value,
            gates.get(name),
            evaluation.gains.get(name),
            evaluation.tuned.intervals.get(name),
        )
        for name, value in evaluation.tuned.metrics.items()
    )
