"""What a judge of answers will take, and what it took, for plan, run and report."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.judging import JudgeEstimate, JudgeUse
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.record import Evaluation
from ftc.spec.sections.budget import TokenPrice
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import Page

__all__ = ["judge_lines", "judge_rows", "use_words"]

_MILLION = 1_000_000
Row = tuple[str, str, str, str]


def judge_lines(plan: Plan, page: Page) -> list[str]:
    """The block of a plan's page; nothing where nobody is asked."""
    judge, found = plan.settings.eval.judge, plan.judge
    if judge is None or found is None:
        return []
    return page.flow("Judge", [f"{escaped(judge.model)} at {escaped(judge.host)}", *_planned(found)])


def _planned(found: JudgeEstimate) -> Iterator[str]:
    at_once = f", {found.at_once} at once" if found.at_once > 1 else ""
    yield f"{numbers.plural(found.requests, 'request')}{at_once}"
    yield f"{_tokens_range(found)} tokens sent, by {found.method}"
    yield f"at most {numbers.magnitude(found.received_high)} received"
    if found.seconds is not None:
        yield f"{numbers.duration_range(found.seconds.low, found.seconds.high)} by {found.seconds_method}"
    if found.cost_low is not None and found.cost_high is not None:
        yield numbers.money_range(found.cost_low.amount, found.cost_high.amount, found.cost_high.currency)


def _tokens_range(found: JudgeEstimate) -> str:
    low, high = numbers.magnitude(found.sent.low), numbers.magnitude(found.sent.high)
    return low if low == high else f"{low}–{high}"


def use_words(use: JudgeUse) -> str:
    """What asking took, in a sentence: `40 requests in 12 s, 6,512 tokens sent and 40 received by its own count`."""
    return f"{numbers.plural(use.requests, 'request')} in {numbers.duration(use.seconds)}, {_told(use)}"


def _told(use: JudgeUse) -> str:
    if not use.answered:
        return "none answered"
    if not use.with_usage:
        return "tokens not told by the endpoint"
    words = f"{use.sent_tokens:,} tokens sent and {use.received_tokens:,} received by the endpoint's count"
    return words if use.with_usage == use.answered else f"{words} for {use.with_usage:,} of {use.answered:,} answers"


def judge_rows(plan: Plan, evaluation: Evaluation | None) -> Iterator[Row]:
    """Planned, happened and the difference, row by row; nothing where nobody was asked."""
    found, result = plan.judge, evaluation.judge if evaluation else None
    use = result.use if result else None
    if found is None or use is None:
        return
    more = use.requests - found.requests
    yield (
        "requests to the judge",
        numbers.count(found.requests),
        numbers.count(use.requests),
        f"{more:+,}" if more else "–",
    )
    is_told = use.answered > 0 and use.with_usage == use.answered
    sent = numbers.count(use.sent_tokens) if is_told else "not told"
    apart = numbers.change_percent(use.sent_tokens, found.sent.expected) if is_told and found.sent.expected else "–"
    yield "tokens sent to the judge", _tokens_range(found), sent, apart
    received = numbers.count(use.received_tokens) if is_told else "not told"
    yield "tokens from the judge", f"at most {numbers.magnitude(found.received_high)}", received, "–"
    price = plan.recipe.budget.price_per_million_tokens
    if found.cost_low is not None and found.cost_high is not None and price is not None:
        planned = numbers.money_range(found.cost_low.amount, found.cost_high.amount, found.cost_high.currency)
        yield "cost of the judge", planned, _paid(use, price) if is_told else "not told", "–"


def _paid(use: JudgeUse, price: TokenPrice) -> str:
    amount = (use.sent_tokens * price.sent.amount + use.received_tokens * price.received.amount) / _MILLION
    return numbers.money_range(amount, amount, price.sent.currency)
