"""The place of an answer in its context, by a new output layer over begins and ends.

Padding takes no part in the choice, so that a row's loss doesn't depend on the rows beside it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from ftc.runtime.tasks.classification import has_token_types
from ftc.runtime.tasks.scorer import Arithmetic, Batch, Objective, Prediction, cross_entropy, padded, token_types_of
from ftc.spec.documents.settings import ModelSettings, Settings
from ftc.spec.documents.streams import TokenStream

__all__ = ["EXTRACTIVE", "SpanScorer"]

_BEST_EDGES = 20
"""Begins and ends of which all pairs are tried, as in the reference for SQuAD."""


class SpanScorer:
    """First and last token of an answer, of `longest` tokens at most; position 0 twice: the window holds none."""

    def __init__(self, model: Any, settings: ModelSettings, arithmetic: Arithmetic, longest: int) -> None:
        self._pad_id = settings.pad_id
        self._arithmetic = arithmetic
        self._longest = longest
        self._has_token_types = has_token_types(model)

    def batch(self, rows: TokenStream, numbers: list[int]) -> Batch:
        """The windows as tensors: scored are all tokens of each, as begin and as end of the answer."""
        ids, attention = padded([rows.ids(number) for number in numbers], self._pad_id)
        offsets = torch.full((*ids.shape, 2), -1, dtype=torch.int64)
        for line, number in enumerate(numbers):
            places = torch.from_numpy(rows.offsets[number].astype(np.int64)).view(-1, 2)
            offsets[line, : len(places)] = places
        targets = np.stack([rows.targets[number] for number in numbers]).astype(np.int64)
        lines = torch.arange(len(numbers))
        return Batch(
            ids=torch.from_numpy(ids),
            attention=torch.from_numpy(attention),
            positions=torch.arange(ids.size),
            targets=torch.from_numpy(targets).flatten(),
            owners=lines.repeat_interleave(2),
            token_types=token_types_of(rows, numbers, attention),
            offsets=offsets,
        )

    def num_targets(self, rows: TokenStream, number: int) -> int:  # noqa: ARG002 - alike for all windows
        """Two: begin and end."""
        return 2

    def logits(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """(2B, T) scores of each token as a begin, then as an end, row by row."""
        with self._arithmetic(batch.ids.device):
            types = {"token_type_ids": batch.token_types} if self._has_token_types else {}
            output = model(input_ids=batch.ids, attention_mask=batch.attention, **types)
        length = batch.ids.shape[1]  # virtual tokens before the row are no places of an answer
        both = torch.stack((output.start_logits[:, -length:], output.end_logits[:, -length:]), dim=1).float()
        return both.masked_fill(batch.attention[:, None] == 0, -math.inf).flatten(0, 1)

    def losses(self, logits: torch.Tensor, batch: Batch, smoothing: float = 0.0) -> torch.Tensor:  # noqa: ARG002
        """(2B,) cross entropy of each begin and end."""
        return cross_entropy(logits, batch.targets)

    def predictions(self, logits: torch.Tensor, batch: Batch) -> list[Prediction]:
        """For each window: score of "no answer here", score of its best answer, first and last character of that.

        A window in which nothing can be an answer has a best score of minus infinity.
        """
        assert batch.offsets is not None
        begins, ends = logits.view(-1, 2, logits.shape[-1]).cpu().unbind(dim=1)
        return [
            (float(begin[0] + end[0]), *self._best(begin, end, offsets))
            for begin, end, offsets in zip(begins, ends, batch.offsets, strict=True)
        ]

    def _best(self, begin: torch.Tensor, end: torch.Tensor, offsets: torch.Tensor) -> tuple[float, float, float]:
        inside = (offsets[: len(begin), 0] >= 0).nonzero().flatten()
        if not len(inside):
            return -math.inf, 0, 0
        first = inside[begin[inside].topk(min(_BEST_EDGES, len(inside))).indices]
        last = inside[end[inside].topk(min(_BEST_EDGES, len(inside))).indices]
        scores = begin[first][:, None] + end[last][None]
        sizes = last[None] - first[:, None] + 1
        scores = scores.masked_fill((sizes < 1) | (sizes > self._longest), -math.inf)
        place = int(scores.argmax())
        a, b = int(first[place // len(last)]), int(last[place % len(last)])
        return float(scores.flatten()[place]), float(offsets[a, 0]), float(offsets[b, 1])


def _scorer(model: Any, settings: Settings, arithmetic: Arithmetic) -> SpanScorer:
    longest = settings.eval.max_answer_tokens
    assert longest is not None, "the plan limits answers that are cut out"
    return SpanScorer(model, settings.model, arithmetic, longest)


EXTRACTIVE = Objective(
    head="span",
    is_pair=False,
    is_sampled=False,
    has_texts=False,
    scorer=_scorer,
    score_shape=lambda rows, shape, outputs: (outputs * rows, shape.length),
    stand_in_targets=lambda _: [0, 0],
    has_offsets=True,
)
