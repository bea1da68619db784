"""How often `ftc drift` says that new rows differ where they don't, and how often it notices where they do.

Texts of five topics are simulated, with the answers of a classifier that is right in 90 of 100 rows. For each case it
prints in how many reports some test, and each test, says so.

    python benchmarks/drift.py [400] [--rows 100] [--reference 200] [--level 0.01]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ftc.runtime.evaluation.drift_tests import Sample, compared, damage_tests, settled

__all__ = ["CASES", "alarms", "draw"]

TOPICS = 5
_WORDS = 400
_EVEN = (0.2,) * TOPICS


def draw(
    generator: np.random.Generator,
    rows: int,
    shares: Sequence[float] = _EVEN,
    *,
    other: float = 0.0,
    longer: float = 1.0,
    broken: float = 0.02,
    right: float = 0.9,
) -> Sample:
    """Rows of topics, each a mix of common words and of its topic's.

    Args:
        generator: Draws the rows.
        rows: How many.
        shares: How frequent each topic is.
        other: Share of rows whose words are all unknown to the others.
        longer: By how much rows are longer than usual.
        broken: Share of rows with encoding errors.
        right: Share of answers that are right.
    """
    tokens, classes, confidence = [], [], []
    for topic in generator.choice(TOPICS, size=rows, p=shares):
        length = max(4, int(generator.poisson(30 * longer)))
        common = generator.zipf(1.3, size=length) % _WORDS
        own = generator.random(length) < 0.3
        words = np.where(own, 1000 * (1 + topic) + common % 60, common)
        tokens.append((words + 10_000 * (generator.random() < other)).tolist())
        said = topic if generator.random() < right else generator.integers(TOPICS)
        classes.append((f"topic {said}",))
        confidence.append(float(generator.beta(8, 2)))
    damaged = {"rows with encoding errors": (int((generator.random(rows) < broken).sum()), rows)}
    return Sample.of(tokens, names={"predicted classes": classes}, numbers={"confidence": confidence}, damaged=damaged)


def _copied(sample: Sample, times: int) -> Sample:
    return sample.kept([row for row in range(len(sample.keys) // times) for _ in range(times)])


CASES: dict[str, Callable[[np.random.Generator, int], Sample]] = {
    "no drift": draw,
    "each row four times": lambda chance, rows: _copied(draw(chance, rows), 4),
    "one topic 40 % instead of 20 %": lambda chance, rows: draw(chance, rows, (0.4, 0.15, 0.15, 0.15, 0.15)),
    "one topic 60 % instead of 20 %": lambda chance, rows: draw(chance, rows, (0.6, 0.1, 0.1, 0.1, 0.1)),
    "10 % of the rows in unknown words": lambda chance, rows: draw(chance, rows, other=0.1),
    "20 % of the rows in unknown words": lambda chance, rows: draw(chance, rows, other=0.2),
    "rows longer by a quarter": lambda chance, rows: draw(chance, rows, longer=1.25),
    "encoding errors in 15 % instead of 2 %": lambda chance, rows: draw(chance, rows, broken=0.15),
}
"""New rows beside a reference of `draw` as it is."""


def alarms(case: str, count: int, *, rows: int, reference: int, level: float, seed: int = 7) -> Counter[str]:
    """In how many of so many reports each test says `drifted`, and under `any` in how many some test does."""
    generator, found = np.random.default_rng(seed), Counter[str]()
    for _ in range(count):
        known, new = draw(generator, reference), CASES[case](generator, rows)
        tests = [*compared(known, new, level).tests, *damage_tests(known, new)]
        said = [one.name for one in settled(tests, level) if one.drifted]
        found.update(said + (["any"] if said else []))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=400)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--reference", type=int, default=200)
    parser.add_argument("--level", type=float, default=0.01)
    args = parser.parse_args()
    print(f"{args.count} reports a case, {args.rows} new rows beside {args.reference}, level {args.level:g}")
    for case in CASES:
        started = time.process_time()
        found = alarms(case, args.count, rows=args.rows, reference=args.reference, level=args.level)
        seconds = (time.process_time() - started) / args.count
        shown = ", ".join(f"{name} {number}" for name, number in found.most_common() if name != "any")
        print(f"{case}: {found['any']} of {args.count} ({shown or 'no test'}); {seconds:.2f} CPU s a report")


if __name__ == "__main__":
    main()
