"""What raters said: who is preferred, how sure that is, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.rating import Agreement, Tally, WinRate
from ftc.views import numbers
from ftc.views.cells import escaped
from ftc.views.page import PLAIN, Page

__all__ = ["tally_text"]

_FEW = 20
"""Decisions below which nothing is said about a leaning to one side."""


def tally_text(tally: Tally, *, page: Page = PLAIN) -> str:
    """The result for people, the answer first."""
    if tally.overall is None:
        words = f"nothing is rated yet: {numbers.plural(tally.rows, 'row')} with different answers"
        return f"{words}, {numbers.count(tally.same)} with the same one\n"
    return "\n".join(_lines(tally, tally.overall, page)) + "\n"


def _lines(tally: Tally, overall: WinRate, page: Page) -> Iterator[str]:
    first, second = escaped(tally.first), escaped(tally.second)
    yield f"{page.strong(f'{second} against {first}')}: {_rate(overall)}"
    yield f"{_verdict(overall, first, second, page)}"
    yield ""
    rated = f"{numbers.count(tally.rated)} of {numbers.count(tally.rows)} rows with different answers"
    yield from page.flow("rated", [rated, f"{numbers.count(tally.same)} with the same answer need no rating"])
    for rater, rate in sorted(tally.raters.items()):
        yield from page.flow("", [f"{escaped(rater)}: {_rate(rate)}", _counts(rate, first, second)])
    for one in tally.agreement:
        yield from page.flow("agreement", [_agreement(one)])
    if tally.decided >= _FEW:
        share = numbers.percent(tally.left_chosen, tally.decided)
        yield from page.flow("sides", [f"the left answer was chosen in {share} of {tally.decided} decisions"])


def _rate(rate: WinRate) -> str:
    shown = f"preferred in {100 * rate.rate:.1f} %"
    return (
        shown if rate.low is None or rate.high is None else f"{shown} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
    )


def _counts(rate: WinRate, first: str, second: str) -> str:
    return f"{rate.wins} for {second}, {rate.losses} for {first}, {rate.ties} equally good"


def _verdict(rate: WinRate, first: str, second: str, page: Page) -> str:
    """A preference is shown where even odds lie outside the interval."""
    if rate.low is None or rate.high is None:
        return page.alert("too few or too equal ratings for an interval")
    if rate.low > 0.5:
        return page.good(f"{second} is preferred: even odds lie outside the 95 % interval")
    if rate.high < 0.5:
        return page.bad(f"{first} is preferred: even odds lie outside the 95 % interval")
    return page.alert("no preference shown: even odds lie inside the 95 % interval")


def _agreement(one: Agreement) -> str:
    kappa = "" if one.kappa is None else f", Cohen's kappa {one.kappa:.2f}"
    names = " and ".join(map(escaped, one.raters))
    return f"{names}: the same on {one.same} of {numbers.plural(one.rows, 'row')}{kappa}"
