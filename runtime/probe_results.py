"""Forgetting and the effect of swaps, made into documents."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ftc.runtime.bootstrap import difference, intervals
from ftc.runtime.evaluate import Measurement
from ftc.runtime.row_statistics import loss_statistics, mean_statistics
from ftc.runtime.scoring import RowScore
from ftc.spec.probes import Swapped
from ftc.spec.record import Gain, RetentionResult, SwapExample, SwapPair, SwapsResult
from ftc.spec.streams import TokenStream

__all__ = ["retention_result", "swaps_result"]

_MOST_EXAMPLES = 8
_SHOWN_CHARACTERS = 200


def retention_result(base: Measurement | None, tuned: Measurement) -> RetentionResult | None:
    """Both models on the same blocks of general text; None where it wasn't measured."""
    if base is None or not tuned.retained:
        return None
    before, after = (loss_statistics("loss", _sums(one.retained)) for one in (base, tuned))
    values = [_mean(one.retained) for one in (base, tuned)]
    sure = intervals([difference(before, after)])[0]
    return RetentionResult(
        blocks=len(tuned.retained),
        tokens=sum(score.targets for score in tuned.retained),
        base=values[0],
        tuned=values[1],
        forgetting=Gain(value=values[1] - values[0], interval=sure),
    )


def _sums(scores: Sequence[RowScore]) -> list[tuple[float, int]]:
    return [(score.loss_sum, score.targets) for score in scores]


def _mean(scores: Sequence[RowScore]) -> float:
    return math.fsum(score.loss_sum for score in scores) / max(1, sum(score.targets for score in scores))


def swaps_result(swapped: Swapped, rows: TokenStream, tuned: Measurement) -> SwapsResult:
    """What became of the tuned model's predictions.

    Args:
        swapped: Which rows are exchanged, and how.
        rows: The test split.
        tuned: The tuned model on both.
    """
    changes = [tuned.swapped[number] != tuned.texts[place] for number, place in enumerate(swapped.rows)]
    counts = Counter(swapped.pair)
    changed = Counter(pair for pair, is_changed in zip(swapped.pair, changes, strict=True) if is_changed)
    sure = intervals([mean_statistics([float(one) for one in changes])])[0]
    shown = [number for number, is_changed in enumerate(changes) if is_changed][:_MOST_EXAMPLES]
    return SwapsResult(
        rows=len(changes),
        share=sum(changes) / len(changes),
        interval=sure,
        pairs=tuple(
            SwapPair(phrase=phrase, other=other, rows=counts[index], changed=changed[index])
            for index, (phrase, other) in enumerate(swapped.pairs)
        ),
        examples=tuple(_example(swapped, number, rows, tuned) for number in shown),
    )


def _example(swapped: Swapped, number: int, rows: TokenStream, tuned: Measurement) -> SwapExample:
    phrase, other = swapped.pairs[swapped.pair[number]]
    place = swapped.rows[number]
    return SwapExample(
        row=int(rows.rows[place]),
        phrase=phrase,
        other=other,
        before=tuned.texts[place][:_SHOWN_CHARACTERS],
        after=tuned.swapped[number][:_SHOWN_CHARACTERS],
    )
