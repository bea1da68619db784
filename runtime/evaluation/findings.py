"""What a result says of itself: classes that are never predicted, and baselines that are as good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ftc.runtime.metrics import ClassCounts
from ftc.spec.documents.findings import BaselineResult, RunFinding
from ftc.spec.documents.outcomes import best_prompted
from ftc.spec.documents.record import Evaluation
from ftc.spec.metrics import metric_named

__all__ = ["result_findings"]

_MOST_NAMED = 8


def result_findings(metrics: Sequence[str], by_class: ClassCounts, evaluation: Evaluation) -> Iterator[RunFinding]:
    """What should be said beside the figures of the test split.

    Args:
        metrics: The plan's metrics, in its order.
        by_class: What the tuned model predicts.
        evaluation: The figures.
    """
    yield from _never_predicted(by_class)
    yield from _not_better(metrics, evaluation)
    yield from _not_better_than_a_prompt(metrics, evaluation)


def _never_predicted(by_class: ClassCounts) -> Iterator[RunFinding]:
    missing = {name: expected for name, (expected, predicted) in by_class.items() if expected and not predicted}
    if not missing:
        return
    shown = sorted(missing, key=lambda name: -missing[name])[:_MOST_NAMED]
    named = ", ".join(f"`{name}` ({missing[name]:,} test {'row' if missing[name] == 1 else 'rows'})" for name in shown)
    more = f" and {len(missing) - len(shown):,} more" if len(missing) > len(shown) else ""
    kinds = sum(expected > 0 for expected, _ in by_class.values())
    yield RunFinding(
        code="FTC245",
        severity="warning",
        text=f"{len(missing):,} of {kinds:,} classes are never predicted: {named}{more}.",
        help="Train longer, or at another learning rate; if these classes are rare, add rows of them.",
    )


def _not_better(metrics: Sequence[str], evaluation: Evaluation) -> Iterator[RunFinding]:
    """The best of the baselines that the tuned model doesn't beat, by the first metric in which it doesn't."""
    for name in metrics:
        value = evaluation.tuned.metrics[name]
        card = metric_named(name)
        sign = 1 if card is None or card.higher_is_better else -1
        found = [one for one in evaluation.baselines if name in one.metrics and sign * (value - one.metrics[name]) <= 0]
        if found:
            best = max(found, key=lambda one: sign * one.metrics[name])
            yield _beaten(best, name, value, found)
            return


def _not_better_than_a_prompt(metrics: Sequence[str], evaluation: Evaluation) -> Iterator[RunFinding]:
    """The best prompt for the untouched base, where the rows don't show that the tuned model is better."""
    found = best_prompted(metrics, evaluation)
    if found is None:
        return
    name, best = found
    card, value, gain = metric_named(name), evaluation.tuned.metrics[name], best.gains.get(name)
    sign = 1 if card is None or card.higher_is_better else -1
    is_better = sign * (value - best.metrics[name]) > 0
    if is_better and gain is not None and gain.is_shown:
        return
    sure = "no interval can be given"
    if gain is not None and gain.interval is not None:
        between = f"{gain.interval.low:+.3f} to {gain.interval.high:+.3f}"
        sure = f"difference {gain.value:+.3f}, 95 % interval {between}"
    verdict = "not shown to be better" if is_better else "not better"
    yield RunFinding(
        code="FTC256",
        severity="warning",
        text=(
            f"The tuned model is {verdict} than the untouched base model with a {best.title}: "
            f"{card.title if card else name} {value:.3f}, and {best.metrics[name]:.3f} ({sure})."
        ),
        help=("Use the prompt if its tokens are cheaper than training, train longer, or measure on more test rows."),
    )


def _beaten(best: BaselineResult, name: str, value: float, found: Sequence[BaselineResult]) -> RunFinding:
    card = metric_named(name)
    title = card.title if card else name
    gain = best.gains.get(name)
    sure = ""
    if gain is not None and gain.interval is not None:
        between = f"{gain.interval.low:+.3f} to {gain.interval.high:+.3f}"
        sure = f" (difference {gain.value:+.3f}, 95 % interval {between})"
    others = (
        f" {len(found) - 1} further simple baseline{'s are' if len(found) > 2 else ' is'} no worse."
        if found[1:]
        else ""
    )
    return RunFinding(
        code="FTC246",
        severity="warning",
        text=(
            f"The tuned model is not better than a simple baseline: {title} {value:.3f}, and {best.metrics[name]:.3f} "
            f"by {best.method}{sure}.{others}"
        ),
        help=(
            "No score can be better. Use the simple model, or test on rows that are harder."
            if card is not None and card.higher_is_better and value >= card.most
            else "Train longer or at a higher learning rate, or use the simple model if it is good enough."
        ),
    )
