"""Pairs of answers to rate, each rater's decisions, and what raters said together.

Pairs are base against tuned of one run, or what two runs made of the same rows. A decision is a line on disk before the
page hears that it was taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.outcomes import CHOICES, Agreement, Choice, Rating, Tally, WinRate
from ftc.spec.storage.atomic_write import naming, sync_folder
from ftc.spec.storage.reading import read_regular
from ftc.verbs.runs import Run, load_outcomes

if TYPE_CHECKING:
    from ftc.spec.documents.outcomes import Given, Outcome, Said

__all__ = ["Ballot", "Contest", "Pair", "ballots", "contest_of", "open_ballot", "tally"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one row.

    Attributes:
        row: Row number in the source, from 0.
        prompt: What both were given.
        expected: The row's own answer.
        first: Answer of the first contestant.
        second: Answer of the second contestant.
        images: sha256 of each image that both were given beside the prompt.
    """

    row: int
    prompt: str
    expected: str | None
    first: str
    second: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contest:
    """Two contestants and all that they answered differently.

    Attributes:
        name: Name of the folder that keeps the ratings.
        first: What the first contestant is called, once all is rated.
        second: What the second is called.
        pairs: Rows with two different answers, in the order of the rows.
        same: Rows whose answers are equal; nobody needs to rate those.
    """

    name: str
    first: str
    second: str
    pairs: tuple[Pair, ...]
    same: int

    def order(self, rater: str, seed: int) -> list[Pair]:
        """The pairs as one rater sees them: every rater in an order of their own, and the same one after a break."""
        return sorted(self.pairs, key=lambda pair: _chance(rater, seed, "order", pair.row))

    def left(self, rater: str, seed: int, row: int) -> Literal["first", "second"]:
        """Who stands on the left for a rater."""
        return "first" if _chance(rater, seed, "side", row) < 2**63 else "second"


def contest_of(runs: Sequence[Run]) -> Contest:
    """The contest of one run's base and tuned model, or of two runs' tuned models.

    Raises:
        Refusal: A run has no answers (FTC680), or two runs have no row in common (FTC681).
    """
    outcomes = [_answered(run) for run in runs]
    if len(runs) == 1:
        run = runs[0]
        found = [(one, one.base, one.tuned) for one in outcomes[0].values() if one.base is not None]
        if not found:
            note = "the recipe says `eval.baseline: false`"
            raise Refusal([_none(run, "has no answers of the base model", note)])
        return _contest(run.record.id, "base", "tuned", found)
    first, second = runs
    common = [(one, outcomes[1][key].tuned) for key, one in outcomes[0].items() if key in outcomes[1]]
    if not common:
        summary = f"runs `{first.record.id}` and `{second.record.id}` have no test row in common"
        raise Refusal([diagnostic("FTC681", summary, help="rate runs whose data and split are the same")])
    name = f"{first.record.id}-{second.record.id}"
    return _contest(name, first.record.id, second.record.id, [(one, one.tuned, other) for one, other in common])


def _answered(run: Run) -> dict[Given, Outcome]:
    """A run's outcomes with an answer, by what the model was given."""
    found = {one.given: one for one in load_outcomes(run.folder) if one.tuned.text is not None}
    if not found:
        raise Refusal([_none(run, "has no answers to rate", f"it is {run.record.status.replace('_', ' ')}")])
    return found


def _contest(name: str, first: str, second: str, found: Sequence[tuple[Outcome, Said | None, Said]]) -> Contest:
    pairs = tuple(
        Pair(one.row, one.prompt, one.expected, said.text or "", other.text or "", one.images)
        for one, said, other in found
        if said is not None and (said.text or "").strip() != (other.text or "").strip()
    )
    return Contest(name, first, second, pairs, len(found) - len(pairs))


def _chance(rater: str, seed: int, use: str, row: int) -> int:
    """64 bits that depend on nothing but what is named."""
    text = f"{seed}/{use}/{rater}/{row}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def _none(run: Run, summary: str, note: str) -> Diagnostic:
    help = "rate a finished run whose test split was evaluated; `ftc run list` lists them"
    return diagnostic("FTC680", f"run `{run.record.id}` {summary}", help=help, notes=note)


_NAME = re.compile(r"[\w.-]{1,60}")


@dataclass(slots=True)
class Ballot:
    """What one rater said so far."""

    rater: str
    file: Path
    latest: dict[int, Rating] = field(default_factory=dict)
    """The rating that counts, by row, in the order in which the rows were rated."""

    def rate(self, row: int, choice: Choice | None, left: Literal["first", "second"]) -> Rating:
        """Writes a decision down; it is on the disk when this returns.

        Raises:
            OSError: The disk refused; nothing is counted.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        rating = Rating(row=row, choice=choice, left=left, at=at)
        line = json.dumps(rating.to_json(), sort_keys=True).encode() + b"\n"
        is_new = not self.file.exists()
        with naming(self.file), self.file.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self.file.parent)
        self._count(rating)
        return rating

    def _count(self, rating: Rating) -> None:
        self.latest.pop(rating.row, None)
        if rating.choice is not None:
            self.latest[rating.row] = rating


def open_ballot(folder: Path, rater: str) -> Ballot:
    """A rater's ballot, with all that was said before; made where there is none.

    Raises:
        Refusal: The rater's name can't be a file's (FTC682).
        OSError: The folder can't be written.
    """
    if not _NAME.fullmatch(rater):
        help = "use letters, digits, `_`, `.` and `-`, at most 60"
        raise Refusal([diagnostic("FTC682", f"`{rater}` is not a valid rater name", help=help)])
    folder.mkdir(parents=True, exist_ok=True)
    ballot = Ballot(rater, folder / f"{rater}.ndjson")
    if ballot.file.exists():
        _cut_torn_line(ballot.file)
        for rating in _ratings(read_regular(ballot.file).splitlines()):
            ballot._count(rating)
    return ballot


def ballots(folder: Path) -> list[Ballot]:
    """All raters' ballots of a contest, by name."""
    return [open_ballot(folder, file.stem) for file in sorted(folder.glob("*.ndjson"))]


def _cut_torn_line(file: Path) -> None:
    """A line without an end was being written when the machine died; nobody was told that it counts."""
    content = read_regular(file)
    if not content.endswith(b"\n"):
        os.truncate(file, content.rfind(b"\n") + 1)


def _ratings(lines: Iterable[bytes]) -> Iterable[Rating]:
    for line in lines:
        try:
            yield Rating.model_validate_json(line)
        except ValidationError:  # written by somebody else; the others still count
            continue


_POINTS: dict[Choice | None, float] = {"first": 0.0, "tie": 0.5, "bad": 0.5, "second": 1.0}


def tally(contest: Contest, raters: Sequence[Ballot]) -> Tally:
    """The result of a contest so far. Ratings of rows that are no longer part of it don't count."""
    known = {pair.row for pair in contest.pairs}
    said = {
        ballot.rater: [rating for row, rating in sorted(ballot.latest.items()) if row in known] for ballot in raters
    }
    every = [rating for ratings in said.values() for rating in ratings]
    decided = [rating for rating in every if rating.choice in ("first", "second")]
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
        by_row.setdefault(rating.row, []).append(_POINTS[rating.choice])
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
        both_bad=counts["bad"],
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
