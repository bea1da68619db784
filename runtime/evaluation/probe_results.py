"""Forgetting and the effect of swaps, made into documents."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from ftc.runtime.evaluation.evaluate import Measurement
from ftc.runtime.metrics import loss_statistics
from ftc.runtime.metrics.bootstrap import intervals
from ftc.runtime.metrics.intervals import means
from ftc.runtime.metrics.sums import Statistics, difference, mean_of_groups, share_of
from ftc.spec.documents.probes import Swapped
from ftc.spec.documents.record import Gain, RetentionResult, SwapExample, SwapPair, SwapsResult
from ftc.spec.documents.streams import TokenStream

__all__ = ["retention_result", "swaps_result"]

_MOST_EXAMPLES = 8
_SHOWN_CHARACTERS = 200


def retention_result(base: Measurement | None, tuned: Measurement) -> RetentionResult | None:
    """Both models on the same blocks of general text; None where it wasn't measured."""
    if base is None or not tuned.retained:
        return None
    before, after = (loss_statistics("loss", one.retained) for one in (base, tuned))
    sure = intervals([difference(before, after)])[0]
    return RetentionResult(
        blocks=len(tuned.retained),
        tokens=sum(score.targets for score in tuned.retained),
        base=before.observed,
        tuned=after.observed,
        forgetting=Gain(value=after.observed - before.observed, interval=sure),
    )


def swaps_result(swapped: Swapped, rows: TokenStream, base: Measurement | None, tuned: Measurement) -> SwapsResult:
    """What became of both models' predictions.

    Args:
        swapped: Which rows are exchanged, and how.
        rows: The test split.
        base: The untouched model on both, where it was measured.
        tuned: The tuned one.
    """
    changes = _changes(swapped, tuned)
    before = _changes(swapped, base) if base else None
    found = means([_share(swapped, column) for column in (changes, before) if column is not None])
    shown = [number for number, is_changed in enumerate(changes) if is_changed][:_MOST_EXAMPLES]
    return SwapsResult(
        rows=len(changes),
        share=found.tuned,
        interval=found.interval,
        base=found.base,
        change=found.gain,
        pairs=_pairs(swapped, changes, before),
        examples=tuple(_example(swapped, number, rows, tuned) for number in shown),
    )


def _share(swapped: Swapped, changes: Sequence[bool]) -> Statistics:
    """The share of changes; the exchanged rows of one test row are drawn together, since they are alike."""
    scores = [float(one) for one in changes]
    if len(set(swapped.rows)) == len(swapped.rows):
        return share_of(scores)
    return mean_of_groups(scores, swapped.rows)


def _changes(swapped: Swapped, measured: Measurement) -> list[bool]:
    """Whether the prediction of each exchanged row differs from that of its row."""
    return [measured.swapped[number] != measured.texts[place] for number, place in enumerate(swapped.rows)]


def _pairs(swapped: Swapped, changes: list[bool], before: list[bool] | None) -> tuple[SwapPair, ...]:
    counts, changed = Counter(swapped.pair), Counter(itertools.compress(swapped.pair, changes))
    of_base = None if before is None else Counter(itertools.compress(swapped.pair, before))
    return tuple(
        SwapPair(
            phrase=phrase,
            other=other,
            rows=counts[index],
            changed=changed[index],
            base=None if of_base is None else of_base[index],
        )
        for index, (phrase, other) in enumerate(swapped.pairs)
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
