"""What raters said together: who won, how sure that is, and whether the raters agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from ftc.rating.ballots import Ballot
from ftc.rating.pairs import Contest
from ftc.spec.documents.outcomes import CHOICES, Agreement, Rating, Tally, WinRate

__all__ = ["tally"]

_POINTS = {"first": 0.0, "tie": 0.5, "second": 1.0}


def tally(contest: Contest, raters: Sequence[Ballot]) -> Tally:
    """The result of a contest so far. Ratings of rows that are no longer part of it don't count."""
    known = {pair.row for pair in contest.pairs}
    said = {
        ballot.rater: [rating for row, rating in sorted(ballot.latest.items()) if row in known] for ballot in raters
    }
    every = [rating for ratings in said.values() for rating in ratings]
    decided = [rating for rating in every if rating.choice != "tie"]
    return Tally(
        first=contest.first,
        second=contest.second,
        rows=len(contest.pairs),
        same=contest.same,
        rated=len({rating.row for rating in every}),
        overall=_win_rate(every) if every else None,
        raters={rater: _win_rate(ratings) for rater, ratings in said.items() if ratings},
        left_chosen=sum(rating.choice == rating.left for rating in decided),
        decided=len(decided),
        agreement=tuple(
            _agreement((one, other), said[one], said[other])
            for one, other in combinations(sorted(said), 2)
            if {rating.row for rating in said[one]} & {rating.row for rating in said[other]}
        ),
    )


def _win_rate(ratings: Sequence[Rating]) -> WinRate:
    """Rows are what is drawn by chance: several ratings of one row are one row's mean."""
    from ftc.runtime.metrics.statistics import intervals, mean_of

    by_row: dict[int, list[float]] = {}
    for rating in ratings:
        by_row.setdefault(rating.row, []).append(_POINTS[rating.choice or "tie"])
    found = mean_of([sum(points) / len(points) for points in by_row.values()])
    (interval,) = intervals([found])
    counts = {choice: sum(rating.choice == choice for rating in ratings) for choice in CHOICES}
    return WinRate(
        rate=found.observed,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        wins=counts["second"],
        losses=counts["first"],
        ties=counts["tie"],
    )


def _agreement(raters: tuple[str, str], one: Iterable[Rating], other: Iterable[Rating]) -> Agreement:
    """Cohen 1960, on the rows that both rated."""
    first, second = ({rating.row: rating.choice for rating in ratings} for ratings in (one, other))
    rows = sorted(first.keys() & second.keys())
    same = sum(first[row] == second[row] for row in rows)
    by_chance = (
        sum(
            sum(first[row] == choice for row in rows) * sum(second[row] == choice for row in rows) for choice in CHOICES
        )
        / len(rows) ** 2
    )
    kappa = (same / len(rows) - by_chance) / (1 - by_chance) if by_chance < 1 else None
    return Agreement(raters=raters, rows=len(rows), same=same, kappa=kappa)
