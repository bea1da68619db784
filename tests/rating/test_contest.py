"""What can be rated, in which order, and what comes out when people disagree."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc import api
from ftc.rating.ballots import Contest, Pair, ballots, contest_of, open_ballot, tally
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.outcomes import Choice
from ftc.views.comparison import tally_text
from tests.support.contests import answered_run


def contest(rows: int) -> Contest:
    pairs = tuple(Pair(row, f"question {row}", None, f"a{row}", f"b{row}") for row in range(rows))
    return Contest("one-two", "one", "two", pairs, same=3)


def test_base_and_tuned_of_one_run_are_a_contest_and_equal_answers_need_no_rating(tmp_path: Path) -> None:
    folder = answered_run(tmp_path, "aaa", 6, tuned=lambda row: f"{'base' if row % 3 == 0 else 'tuned'} {row}")
    found = contest_of([api.find_run(str(folder))])
    assert (found.first, found.second, found.same) == ("base", "tuned", 2)
    assert [pair.row for pair in found.pairs] == [1, 2, 4, 5]
    assert (found.pairs[0].first, found.pairs[0].second) == ("base 1", "tuned 1")


def test_two_runs_are_compared_on_the_rows_that_both_were_given(tmp_path: Path) -> None:
    one = answered_run(tmp_path, "aaa", 5)
    two = answered_run(
        tmp_path, "bbb", 5, tuned=lambda row: f"other {row}", prompt=lambda row: f"question {max(row, 2)}"
    )
    found = contest_of([api.find_run(str(folder)) for folder in (one, two)])
    assert [pair.row for pair in found.pairs] == [2, 3, 4]
    assert (found.first, found.second, found.name) == ("aaa", "bbb", "aaa-bbb")


def test_what_can_not_be_rated_says_so(tmp_path: Path) -> None:
    alone = answered_run(tmp_path, "aaa", 3, base=None)
    other = answered_run(tmp_path, "bbb", 3, prompt=lambda row: f"something else {row}")
    empty = answered_run(tmp_path, "ccc", 0)
    runs = {folder.name: api.find_run(str(folder)) for folder in (alone, other, empty)}
    for chosen, code in ((["aaa"], "FTC680"), (["ccc"], "FTC680"), (["aaa", "bbb"], "FTC681")):
        with pytest.raises(Refusal) as refused:
            contest_of([runs[name] for name in chosen])
        assert [one.code for one in refused.value.diagnostics] == [code]


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "x" * 61])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        open_ballot(tmp_path, name)
    assert refused.value.diagnostics[0].code == "FTC682"


def test_sides_and_order_differ_between_raters_and_stay_for_each() -> None:
    found = contest(400)
    ann, bob = ([found.left(rater, 0, row) for row in range(400)] for rater in ("ann", "bob"))
    assert ann == [found.left("ann", 0, row) for row in range(400)]
    assert 150 < ann.count("first") < 250
    assert 120 < sum(one == other for one, other in zip(ann, bob, strict=True)) < 280
    assert found.order("ann", 0) != found.order("bob", 0) != found.order("bob", 1)
    assert sorted(pair.row for pair in found.order("ann", 0)) == list(range(400))


def test_the_last_word_counts_and_survives_a_torn_line(tmp_path: Path) -> None:
    ballot = open_ballot(tmp_path, "ann")
    ballot.rate(4, "first", "first")
    ballot.rate(5, "tie", "second")
    ballot.rate(4, "second", "first")
    ballot.rate(5, None, "second")
    with ballot.file.open("ab") as file:
        file.write(b'{"row": 9, "choi')
    again = open_ballot(tmp_path, "ann")
    assert {row: rating.choice for row, rating in again.latest.items()} == {4: "second"}
    again.rate(9, "tie", "first")
    assert [one.latest.keys() for one in ballots(tmp_path)] == [{4: None, 9: None}.keys()]


def test_win_rate_and_agreement_are_those_computed_by_hand(tmp_path: Path) -> None:
    said: dict[str, dict[Choice, int]] = {
        "ann": {"second": 6, "first": 2, "tie": 2},
        "bob": {"second": 4, "first": 4, "tie": 2},
    }
    for rater, counts in said.items():
        ballot = open_ballot(tmp_path, rater)
        choices: list[Choice] = [one for one, count in counts.items() for _ in range(count)]
        for row, choice in enumerate(choices):
            ballot.rate(row, choice, "first" if row % 2 else "second")
    found = tally(contest(12), ballots(tmp_path))
    assert (found.rows, found.rated, found.same) == (12, 10, 3)
    assert found.raters["ann"].rate == pytest.approx(0.7)
    assert found.raters["bob"].rate == pytest.approx(0.5)
    assert found.overall
    assert found.overall.rate == pytest.approx(0.6)
    assert (found.overall.wins, found.overall.losses, found.overall.ties) == (10, 6, 4)
    (agreement,) = found.agreement
    assert (agreement.rows, agreement.same) == (10, 8)
    assert agreement.kappa == pytest.approx((0.8 - 0.36) / (1 - 0.36))  # by chance: .2 x .4 + .6 x .4 + .2 x .2
    text = tally_text(found)
    assert "two against one: preferred in 60.0 %" in text
    assert "ann and bob: the same on 8 of 10 rows, Cohen's kappa 0.69" in text


def test_a_clear_winner_is_told_from_chance(tmp_path: Path) -> None:
    ballot = open_ballot(tmp_path, "ann")
    for row in range(40):
        ballot.rate(row, "first" if row % 5 == 0 else "second", "first")
    assert "two is preferred: the 95 % interval excludes 50 %" in tally_text(tally(contest(40), [ballot]))
    for row in range(40):
        ballot.rate(row, "first" if row % 2 == 0 else "second", "first")
    assert "no significant preference" in tally_text(tally(contest(40), [ballot]))
    assert "the left answer was chosen in 50" in tally_text(tally(contest(40), [ballot]))
