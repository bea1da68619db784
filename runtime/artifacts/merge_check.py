"""Whether two models say the same of some rows: their scores, held against how far one model's own are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ftc.runtime.evaluation.scoring import eval_mode
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.runtime.training.signals import StopRequest
from ftc.spec.documents.merged import Agreement
from ftc.spec.documents.streams import TokenStream

__all__ = ["agreement", "sampled", "scores_of"]

_ROWS = 8
_PLACES = 16
"""Places of a row whose scores are kept: a score for each word of a large vocabulary takes half a megabyte a place."""


def sampled(rows: TokenStream) -> list[int]:
    """Numbers of a few rows, evenly over all of them, the same each time."""
    return _evenly(len(rows), _ROWS)


def scores_of(
    work: ModelWithScorer, rows: TokenStream, numbers: Sequence[int], stop: StopRequest
) -> list[torch.Tensor]:
    """What a model says of rows, each by itself: (N, C) scores of N places at most, in float32.

    Raises:
        Interrupted: Somebody asked to stop.
    """
    found = []
    with eval_mode(work.model):
        for number in numbers:
            stop.check()
            batch = work.scorer.batch(rows, [number])
            scores = work.scorer.logits(work.model, batch)
            found.append(scores[_evenly(len(scores), _PLACES)].float().clone())
    return found


def agreement(
    before: Sequence[torch.Tensor], after: Sequence[torch.Tensor], *, split: str, allowed: float, several: bool
) -> Agreement:
    """How far scores are apart.

    Args:
        before: Of the model that is the measure, row by row.
        after: Of the other, on the same rows.
        split: Whose rows they are.
        allowed: The largest share of the spread that a difference may be.
        several: Whether each output is a choice of its own, as where a row has several labels.
    """
    known = [row[row.isfinite()] for row in before]  # a place that can't be chosen scores minus infinity
    spread = float(max(row.max() for row in known) - min(row.min() for row in known))
    largest = max(_largest(one, other) for one, other in zip(before, after, strict=True))
    chosen = [(_choices(one, several), _choices(other, several)) for one, other in zip(before, after, strict=True)]
    share = largest / spread if spread > 0 else 0.0 if largest == 0 else math.inf
    return Agreement.model_validate(
        {
            "split": split,
            "rows": len(before),
            "scores": sum(row.numel() for row in known),
            "largest_difference": _finite(largest),
            "spread": spread,
            "share": _finite(share),
            "allowed": allowed,
            "choices": sum(one.numel() for one, _ in chosen),
            "same_choices": sum(int((one == other).sum()) for one, other in chosen),
        }
    )


def _largest(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference; infinite where one is a number and the other isn't."""
    apart = (one - other).abs()
    return float(torch.where(one == other, 0.0, apart).nan_to_num(nan=math.inf).max())


def _finite(value: float) -> float:
    """A document holds no infinity; what is as large as can be is beyond every bound as well."""
    return min(value, torch.finfo(torch.float32).max)


def _choices(scores: torch.Tensor, several: bool) -> torch.Tensor:
    return scores > 0 if several else scores.argmax(dim=-1)


def _evenly(count: int, most: int) -> list[int]:
    return sorted({index * count // min(most, count) for index in range(min(most, count))})
