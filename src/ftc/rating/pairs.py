"""Pairs of answers to rate: base against tuned of one run, or what two runs made of the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.verbs.runs import Run, load_outcomes

if TYPE_CHECKING:
    from ftc.spec.documents.outcomes import Outcome, Said

__all__ = ["Contest", "Pair", "contest_of"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one row.

    Attributes:
        row: Row number in the source, from 0.
        prompt: What both were given.
        expected: The row's own answer.
        first: Answer of the first contestant.
        second: Answer of the second contestant.
    """

    row: int
    prompt: str
    expected: str | None
    first: str
    second: str


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
        raise Refusal([_strangers(first, second)])
    name = f"{first.record.id}-{second.record.id}"
    return _contest(name, first.record.id, second.record.id, [(one, one.tuned, other) for one, other in common])


def _answered(run: Run) -> dict[tuple[int, str], Outcome]:
    """A run's outcomes with an answer, by row and prompt: the same row number of other data is another row."""
    found = {(one.row, one.prompt): one for one in load_outcomes(run.folder) if one.tuned.text is not None}
    if not found:
        raise Refusal([_none(run, "has no answers to rate", f"it is {run.record.status.replace('_', ' ')}")])
    return found


def _contest(name: str, first: str, second: str, found: Sequence[tuple[Outcome, Said | None, Said]]) -> Contest:
    pairs = tuple(
        Pair(one.row, one.prompt, one.expected, said.text or "", other.text or "")
        for one, said, other in found
        if said is not None and (said.text or "").strip() != (other.text or "").strip()
    )
    return Contest(name, first, second, pairs, len(found) - len(pairs))


def _chance(rater: str, seed: int, use: str, row: int) -> int:
    """64 bits that depend on nothing but what is named."""
    text = f"{seed}/{use}/{rater}/{row}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def _none(run: Run, summary: str, note: str) -> Diagnostic:
    help = "rate a finished run whose test split is measured; `ftc runs` lists them"
    return diagnostic("FTC680", f"run `{run.record.id}` {summary}", help=help, notes=note)


def _strangers(first: Run, second: Run) -> Diagnostic:
    summary = f"runs `{first.record.id}` and `{second.record.id}` have no test row in common"
    return diagnostic("FTC681", summary, help="rate runs whose data and split are the same")
