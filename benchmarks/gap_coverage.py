"""How often the interval of a largest gap between groups holds the true one, by simulation.

Rows of groups are drawn from known distributions, as many times as asked, and each draw gets its interval as a run
would give it. Printed are the share of intervals that hold the true gap, the shares that lie above and below it, and
the mean width; with `--beside` also how often the interval holds it that resamples of the gap itself would give.

    python benchmarks/gap_coverage.py [2000] [--beside] [--case WORDS]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ftc.runtime.metrics.classes import Decisions, decision_statistics
from ftc.runtime.metrics.slices import gap_interval
from ftc.runtime.metrics.statistics import Statistics, intervals, mean_of
from ftc.spec.documents.record import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Groups whose true values are known.

    Attributes:
        name: What they are.
        sizes: Rows of each group.
        draw: A group's statistics, by its place.
        truth: The true gap.
        most: The largest gap that the metric allows.
    """

    name: str
    sizes: tuple[int, ...]
    draw: Callable[[np.random.Generator], Statistics]
    truth: float
    most: float


def right_answers(name: str, shares: Sequence[float], sizes: Sequence[int]) -> Case:
    """Groups with a share of right answers each."""
    of_rows = np.repeat(shares, sizes)

    def draw(generator: np.random.Generator) -> Statistics:
        return mean_of((generator.random(len(of_rows)) < of_rows).astype(float).tolist())

    return Case(f"accuracy, {name}", tuple(sizes), draw, max(shares) - min(shares), 1.0)


def losses(name: str, means: Sequence[float], sizes: Sequence[int]) -> Case:
    """Skewed losses: most rows cost little, few cost much."""
    of_rows = np.repeat(means, sizes)

    def draw(generator: np.random.Generator) -> Statistics:
        return mean_of((generator.gamma(1.5, 1 / 1.5, len(of_rows)) * of_rows).tolist())

    return Case(f"loss, {name}", tuple(sizes), draw, max(means) - min(means), np.inf)


def classes(name: str, accuracies: Sequence[float], sizes: Sequence[int]) -> Case:
    """Macro F1 of three classes, of which one is rare; its true value is that of very many rows."""

    def rows(generator: np.random.Generator, accuracy: Floats) -> Statistics:
        expected = generator.choice(3, len(accuracy), p=(0.5, 0.35, 0.15))
        other = (expected + generator.integers(1, 3, len(accuracy))) % 3
        predicted = np.where(generator.random(len(accuracy)) < accuracy, expected, other)
        return decision_statistics("macro_f1", None, Decisions.single("abc", expected, predicted))

    many = [rows(np.random.default_rng(0), np.full(400_000, one)).observed for one in accuracies]
    of_rows = np.repeat(accuracies, sizes)
    return Case(f"macro F1, {name}", tuple(sizes), lambda one: rows(one, of_rows), max(many) - min(many), 1.0)


def cases() -> Iterator[Case]:
    """Gaps of nothing, gaps of two groups, of many, of one group alone, and of clusters."""
    yield right_answers("2 equal groups of 50", [0.8] * 2, [50] * 2)
    yield right_answers("5 equal groups of 40", [0.8] * 5, [40] * 5)
    yield right_answers("20 equal groups of 20", [0.8] * 20, [20] * 20)
    yield right_answers("5 equal groups of 10 to 400", [0.9] * 5, [400, 200, 60, 25, 10])
    yield right_answers("0.9 and 0.7 of 50", [0.9, 0.7], [50] * 2)
    yield right_answers("0.9 and 0.7 of 20", [0.9, 0.7], [20] * 2)
    yield right_answers("0.97 and 0.9 of 100", [0.97, 0.9], [100] * 2)
    yield right_answers("0.9, 0.8 and 0.7 of 60", [0.9, 0.8, 0.7], [60] * 3)
    yield right_answers("5 from 0.6 to 0.9 of 60", np.linspace(0.6, 0.9, 5).tolist(), [60] * 5)
    yield right_answers("10 from 0.5 to 0.9 of 40", np.linspace(0.5, 0.9, 10).tolist(), [40] * 10)
    yield right_answers("9 of 0.85, one of 0.5, of 40", [0.85] * 9 + [0.5], [40] * 10)
    yield right_answers("19 of 0.8, one of 0.4, of 30", [0.8] * 19 + [0.4], [30] * 20)
    yield right_answers("5 of 0.9, 5 of 0.6, of 60", [0.9] * 5 + [0.6] * 5, [60] * 10)
    yield right_answers("5 of 0.85, 5 of 0.75, of 60", [0.85] * 5 + [0.75] * 5, [60] * 10)
    yield right_answers("0.9 to 0.6 of 400 to 25", [0.9, 0.85, 0.8, 0.6], [400, 200, 60, 25])
    yield losses("5 equal groups of 40", [1.0] * 5, [40] * 5)
    yield losses("1, 1.3 and 2 of 60", [1.0, 1.3, 2.0], [60] * 3)
    yield losses("9 of 1, one of 2, of 40", [1.0] * 9 + [2.0], [40] * 10)
    yield classes("4 equal groups of 60", [0.8] * 4, [60] * 4)
    yield classes("0.9, 0.8 and 0.6 of 80", [0.9, 0.8, 0.6], [80] * 3)
    yield classes("7 of 0.85, one of 0.6, of 60", [0.85] * 7 + [0.6], [60] * 8)


Method = Callable[[Statistics, Case], Interval | None]


def coverage(case: Case, repetitions: int, interval: Method) -> tuple[float, float, float, float]:
    """Shares of intervals that hold the truth, that lie above it and below it, and their mean width."""
    found = [interval(case.draw(np.random.default_rng(number)), case) for number in range(repetitions)]
    known = [one for one in found if one is not None]
    above = sum(one.low > case.truth + 1e-9 for one in known) / len(known)
    below = sum(one.high < case.truth - 1e-9 for one in known) / len(known)
    return 1 - above - below, above, below, sum(one.high - one.low for one in known) / len(known)


def members(case: Case) -> NDArray[np.bool_]:
    """(N, G) which group each row is in."""
    return np.repeat(np.eye(len(case.sizes), dtype=bool), case.sizes, axis=0)


def of_run(statistics: Statistics, case: Case) -> Interval | None:
    """The interval as runs give it."""
    return gap_interval(statistics, members(case), most=case.most)


def of_resamples(statistics: Statistics, case: Case) -> Interval | None:
    """What resamples of the rows give where the gap is taken for a metric like others."""
    width, belongs = statistics.rows.shape[1], members(case)
    rows = np.hstack([statistics.rows * belongs[:, [place]] for place in range(len(case.sizes))])

    def value(sums: Floats) -> Floats:
        parts = [statistics.value(sums[..., at : at + width]) for at in range(0, sums.shape[-1], width)]
        return np.asarray(np.ptp(np.stack(parts, axis=-1), axis=-1))

    return intervals([Statistics(rows, value)], resamples=600)[0]


def main() -> None:
    """Prints a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repetitions", nargs="?", type=int, default=1000)
    parser.add_argument("--beside", action="store_true", help="also what resamples of the gap give, on a tenth as many")
    parser.add_argument("--case", default="", help="only cases whose name has these words")
    asked = parser.parse_args()
    print("true gap   held  above  below  width  case")
    for case in cases():
        if asked.case not in case.name:
            continue
        held, above, below, width = coverage(case, asked.repetitions, of_run)
        beside = ""
        if asked.beside:
            beside = f" ({coverage(case, max(50, asked.repetitions // 10), of_resamples)[0]:.1%} by resamples)"
        print(
            f"{case.truth:8.3f} {held:6.1%} {above:6.1%} {below:6.1%} {width:6.3f}  {case.name}{beside}",
            flush=True,
        )


if __name__ == "__main__":
    main()
