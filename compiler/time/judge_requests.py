"""What a judge of answers will take: requests and tokens as counted, time as earlier runs found it, and its price."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.compiler.draft import Draft
from ftc.spec.base import Money
from ftc.spec.documents.estimates import SecondsRange
from ftc.spec.documents.judging import AT_ONCE, JudgeEstimate, JudgeUse, TokenRange

__all__ = ["judge_estimate"]

_BEYOND = 0.6
"""How far beyond the requests of earlier runs the next ones may lie: others use the service, too."""
_SHOWN_RUNS = 8
_MILLION = 1_000_000


def judge_estimate(draft: Draft) -> JudgeEstimate | None:
    """The estimate for a draft's run; None where nobody is asked, or the rows' messages weren't counted."""
    judge, counted = draft.recipe.eval.judge, draft.judged
    longest = draft.eval.max_new_tokens
    if judge is None or counted is None or longest is None:
        return None
    subjects = 2 if draft.eval.baseline else 1
    requests = subjects * draft.splits["test"].measured(draft.text.form)
    high = subjects * counted.empty + requests * longest
    sent = TokenRange(low=subjects * counted.empty, expected=min(subjects * counted.expected, high), high=high)
    received = requests * judge.max_tokens
    seconds, method = _seconds(requests, _asked_before(draft))
    return JudgeEstimate(
        requests=requests,
        at_once=min(AT_ONCE, requests),
        sent=sent,
        received_high=received,
        method="the base model's tokenizer, since the judge's isn't known",
        seconds=seconds,
        seconds_method=method,
        cost_low=_cost(draft, sent.low, requests),
        cost_high=_cost(draft, sent.high, received),
    )


def _asked_before(draft: Draft) -> list[JudgeUse]:
    """Earlier runs that were answered by the same judge; the newest first."""
    judge = draft.recipe.eval.judge
    assert judge is not None, "the caller looked"
    uses = ((run.judge_model, run.judge) for run in draft.past_runs)
    found = [use for model, use in uses if use and use.answered and (model, use.url) == (judge.model, judge.url)]
    return found[:_SHOWN_RUNS]


def _seconds(requests: int, before: Sequence[JudgeUse]) -> tuple[SecondsRange | None, str]:
    """As long as requests took before, so many at once."""
    each = [use.answer_seconds / use.answered for use in before if use.at_once == min(AT_ONCE, requests)]
    if not each or not requests:
        return None, ""
    rounds = requests / min(AT_ONCE, requests)
    words = f"{len(each)} earlier {'run' if len(each) == 1 else 'runs'} that asked this judge"
    return (
        SecondsRange(
            low=rounds * min(each) / (1 + _BEYOND),
            expected=rounds * sum(each) / len(each),
            high=rounds * max(each) * (1 + _BEYOND),
        ),
        words,
    )


def _cost(draft: Draft, sent: int, received: int) -> Money | None:
    price = draft.recipe.budget.price_per_million_tokens
    if price is None:
        return None
    amount = (sent * price.sent.amount + received * price.received.amount) / _MILLION
    return Money(amount=amount, currency=price.sent.currency)
