"""Losses of single rows in `predictions.ndjson`, beside what the same rows say of answer and confidence.

Where a metric sums losses up, that sum is computed again with the others. A report shows single rows besides, and a
loss that no metric depends on has to fit the rest of its row: a class has the probability that its loss says, numbers
are as far apart as theirs says. What a row can't tell of itself, only a whole repetition can.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from ftc.compiler.audit.tally import ROWS, Tally, finding
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.documents.plan import Plan
from ftc.spec.number_losses import number_loss

__all__ = ["check_row_losses"]

_CLOSE = 1e-4
"""Losses and probabilities come from float32, on whatever device."""
_SINGLE = 1e-6
"""Relative, of a float32 that went through some operations."""
_MOST = 5
"""Findings that are listed."""


def check_row_losses(tally: Tally, plan: Plan, rows: Sequence[Outcome]) -> None:
    """Compares each row's losses with its other figures, and says that this is all which this level can do.

    Args:
        tally: What was found so far.
        plan: Head, classes and loss.
        rows: The lines of `predictions.ndjson`.
    """
    if rows:
        tally.findings[:0] = list(_contradictions(plan, rows))[:_MOST]
        tally.not_checked.append(ROWS)


def _contradictions(plan: Plan, rows: Sequence[Outcome]) -> Iterator[Finding]:
    for number, row in enumerate(rows, 1):
        models = {"base": row.base, "tuned": row.tuned, **{f"prompted.{one}": two for one, two in row.prompted.items()}}
        for name, said in models.items():
            try:
                limits = _limits(plan, row, said) if said is not None else None
            except (ValueError, ArithmeticError):  # no figures of such a row; the scores say so
                limits = None
            if said is None or limits is None:
                continue
            least, most = limits
            if not least - _CLOSE <= said.loss_sum <= most + _CLOSE:
                ought = f"{least:.6g} to {most:.6g}" if most < math.inf else f"{least:.6g} or more"
                hint = "its answer and the right one give that; restore the run's folder from a copy"
                yield finding(
                    "FTC537", f"predictions.ndjson, line {number}: loss_sum of {name}", ought, said.loss_sum, hint
                )


def _limits(plan: Plan, row: Outcome, said: Said) -> tuple[float, float] | None:
    """Between which losses a row's lies, as far as its other figures say; None where they say nothing of it."""
    match plan.settings.answer:
        case "label":
            return _of_class(len(plan.settings.text.labels), said.confidence, is_right=said.text == row.expected)
        case "labels":
            wrong = len({*row.targets} ^ {int(one) for one in said.predicted})
            share = wrong / max(1, len(plan.settings.text.labels)) * math.log(2)
            return share, math.inf if wrong else math.log(2)
        case "numbers":
            return _of_numbers(plan, row, said)
        case "written label" | "tags" | "span" | "pair" | "rated" | "rank" | "rewarded" | "filled" | "text":
            return None


def _of_class(count: int, confidence: float | None, *, is_right: bool) -> tuple[float, float] | None:
    """Cross entropy of the right class, of which the chosen one leaves as much as it doesn't have itself."""
    if confidence is None:
        return None
    if is_right:
        return _nats(confidence + _SINGLE), _nats(confidence - _SINGLE)
    left = 1 - confidence
    return _nats(min(confidence, left) + _SINGLE), _nats(left - _SINGLE) if count == 2 else math.inf


def _nats(probability: float) -> float:
    return -math.log(min(1.0, probability)) if probability > 0 else math.inf


def _of_numbers(plan: Plan, row: Outcome, said: Said) -> tuple[float, float] | None:
    """Mean of the losses of a row's numbers, in the unit in which the head learns them."""
    learned = plan.settings.train.regression
    if learned is None:
        return None
    card, low, high = number_loss(learned.loss), list[float](), list[float]()
    for scale, right, predicted in zip(learned.scales, map(float, row.right), said.predicted, strict=True):
        rounding = _SINGLE * (1 + (abs(predicted) + abs(right) + abs(scale.mean)) / scale.spread)
        least, most = card.least_and_most(predicted / scale.spread, right / scale.spread, rounding)
        low.append(least)
        high.append(most)
    return fmean(low), fmean(high) * (1 + _SINGLE)
