"""What a judge will take on a plan's page, and beside what it took in the report."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.spec.base import Money
from ftc.spec.documents.estimates import SecondsRange
from ftc.spec.documents.judging import JudgeEstimate, TokenRange
from ftc.spec.documents.plan import Plan
from ftc.spec.sections.evaluation import Judge
from ftc.spec.sections.model import TokenPrice
from ftc.views.estimates import judge_rows
from ftc.views.plan import plan_text
from tests.support import documents
from tests.support.measured import JUDGED

SECONDS = SecondsRange(low=5.0, expected=8.0, high=13.0)


def plan(**changes: Any) -> Plan:
    judge = Judge(url="http://localhost/v1", model="<large>")
    usual: dict[str, Any] = {
        "requests": 18,
        "at_once": 4,
        "sent": TokenRange(low=5_000, expected=5_100, high=6_000),
        "received_high": 18_432,
        "method": "the base model's tokenizer",
        "seconds": None,
        "seconds_method": "",
    }
    plain = documents.plan()
    eval_ = plain.settings.eval.model_copy(update={"judge": judge})
    settings = plain.settings.model_copy(update={"eval": eval_})
    return plain.model_copy(update={"settings": settings, "judge": JudgeEstimate(**{**usual, **changes})})


def page(of: Plan) -> str:
    return " ".join(plan_text(of).split())


def rows(of: Plan, **use: int) -> dict[str, list[str]]:
    assert JUDGED.use is not None
    judged = JUDGED.model_copy(update={"use": JUDGED.use.model_copy(update=use)})
    return {name: rest for name, *rest in judge_rows(of, documents.evaluation(judge=judged))}


def test_a_plan_says_what_a_judge_will_take() -> None:
    text = page(plan())
    assert "Judge <large> at localhost" in text
    assert "18 requests, 4 at once" in text
    assert "5 k–6 k tokens sent, by the base model's tokenizer" in text
    assert "at most 18.4 k received" in text
    assert "Judge" not in page(documents.plan())


def test_time_and_cost_stand_there_where_they_are_known() -> None:
    cost = {"cost_low": Money(amount=0.5, currency="USD"), "cost_high": Money(amount=2, currency="USD")}
    text = page(plan(seconds=SECONDS, seconds_method="1 earlier run with this judge", **cost))
    assert "5.0–13 s by 1 earlier run with this judge" in text
    assert "0.50–2.00 USD" in text


def test_the_report_shows_what_a_judge_took_beside_it() -> None:
    told = rows(plan(), with_usage=18, sent_tokens=5_610, received_tokens=36)
    assert told["requests to the judge"] == ["18", "20", "+2"]
    assert told["tokens sent to the judge"] == ["5 k–6 k", "5,610", "10 % more"]
    assert told["tokens from the judge"] == ["at most 18.4 k", "36", "–"]
    assert list(judge_rows(documents.plan(), documents.evaluation(judge=JUDGED))) == []


@pytest.mark.parametrize("with_usage", [0, 17])
def test_tokens_that_not_every_answer_told_are_no_total(with_usage: int) -> None:
    told = rows(plan(), with_usage=with_usage, sent_tokens=5_610, received_tokens=36)
    assert told["tokens sent to the judge"][1] == told["tokens from the judge"][1] == "not estimated"


def test_what_was_paid_follows_from_the_endpoints_count() -> None:
    cost = {"cost_low": Money(amount=0.5, currency="USD"), "cost_high": Money(amount=2, currency="USD")}
    priced = plan(**cost)
    price = TokenPrice(sent=Money(amount=100.0, currency="USD"), received=Money(amount=1000.0, currency="USD"))
    budget = priced.recipe.budget.model_copy(update={"price_per_million_tokens": price})
    priced = priced.model_copy(update={"recipe": priced.recipe.model_copy(update={"budget": budget})})
    told = rows(priced, with_usage=18, sent_tokens=5_000, received_tokens=30)
    assert told["cost of the judge"] == ["0.50–2.00 USD", "0.53 USD", "–"]
