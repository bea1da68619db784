"""How often the interval of a gain holds the true one where two models differ on few rows, by simulation.

Pairs of models are drawn that say the same of most rows, and each draw gets its interval as a run would give it.
Printed are the draws that have one, the share of these that hold the true gain, the share in which a difference is
shown, and all three again for resamples that count every row.

    python benchmarks/gain_coverage.py [1000] [--case WORDS]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.metrics.classes import Decisions, decision_statistics
from ftc.runtime.metrics.statistics import Statistics, difference, intervals, mean_of, share_of
from ftc.spec.documents.record import Interval

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Statistics]
_MANY = 400_000
"""Rows whose gain counts as the true one where no formula gives it."""


@dataclass(frozen=True)
class Case:
    """Two models on rows, with what one gains in truth."""

    name: str
    draw: Draw
    truth: float


def shares(better: float, worse: float) -> Case:
    """Right answers, 70 % of them, of which some turn right and some turn wrong."""

    def draw(generator: np.random.Generator, count: int) -> Statistics:
        before, after = _turned(generator, generator.random(count) < 0.7, better, worse)
        return difference(*(share_of(one.astype(float).tolist()) for one in (before, after)))

    return Case(f"accuracy, {better:.0%} better, {worse:.0%} worse", draw, better - worse)


def classes(prior: Sequence[float], better: float, worse: float) -> Case:
    """Macro F1 of a classifier that is right in 90 %."""

    def draw(generator: np.random.Generator, count: int) -> Statistics:
        expected = generator.choice(len(prior), count, p=prior)
        other = (expected + generator.integers(1, len(prior), count)) % len(prior)
        sides = _turned(generator, generator.random(count) < 0.9, better, worse)
        said = [np.where(right, expected, other).tolist() for right in sides]
        names = [str(number) for number in range(len(prior))]
        decisions = [Decisions.single(names, expected, one) for one in said]
        return difference(*(decision_statistics("macro_f1", None, one) for one in decisions))

    truth = draw(np.random.default_rng(0), _MANY).observed
    return Case(f"macro F1 of {len(prior)}, {better:.0%} better, {worse:.0%} worse", draw, truth)


def scores(share: float, mean: float) -> Case:
    """Scores such as ROUGE, of which a share changes, up and down."""

    def draw(generator: np.random.Generator, count: int) -> Statistics:
        before = generator.beta(1, 2, count)
        change = np.where(generator.random(count) < share, generator.normal(mean, 0.4, count), 0.0)
        return difference(mean_of(before.tolist()), mean_of((before + change).tolist()))

    return Case(f"scores, {share:.0%} change by {mean}", draw, share * mean)


def _turned(
    generator: np.random.Generator, right: NDArray[np.bool_], better: float, worse: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    fate = generator.random(len(right))
    turns_right, turns_wrong = fate < better, (fate >= better) & (fate < better + worse)
    return (right & ~turns_right) | turns_wrong, (right | turns_right) & ~turns_wrong


def cases() -> Iterator[Case]:
    """From nearly equal models to clearly different ones."""
    for better, worse in ((0.01, 0.01), (0.04, 0.01), (0.1, 0.1), (0.1, 0.02)):
        yield shares(better, worse)
    for prior in ((0.5, 0.5), (0.8, 0.2), (0.25,) * 4):
        for better, worse in ((0.03, 0.03), (0.04, 0.01), (0.1, 0.05)):
            yield classes(prior, better, worse)
    for share, mean in ((0.03, 0.1), (0.06, 0.2), (0.2, 0.1), (1.0, 0.1)):
        yield scores(share, mean)


def _words(found: Sequence[Interval | None], truth: float) -> str:
    told = [one for one in found if one is not None]
    held = sum(one.low <= truth <= one.high for one in told) / max(1, len(told))
    shown = sum(one.low > 0 or one.high < 0 for one in told) / len(found)
    return f"{len(told) / len(found):6.1%} {held:7.1%} {shown:7.1%}"


def main() -> None:
    """Prints a line for each case and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repetitions", type=int, nargs="?", default=1000)
    parser.add_argument("--case", default="", help="only those whose name holds these words")
    args = parser.parse_args()
    print(f"{'':38}  rows  {'told, held, shown':22}  by resamples of every row")
    for case in (one for one in cases() if args.case in one.name):
        for count in (50, 100, 200, 500):
            drawn = [case.draw(np.random.default_rng(number), count) for number in range(args.repetitions)]
            every = [replace(one, shares=None, telling=None) for one in drawn]
            pair = ([intervals([one], seed=n)[0] for n, one in enumerate(side)] for side in (drawn, every))
            ours, plain = (_words(found, case.truth) for found in pair)
            print(f"{case.name:38} {count:5}  {ours}  {plain}", flush=True)


if __name__ == "__main__":
    main()
