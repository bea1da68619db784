"""Answers written in batches that shrink: a row leaves once its answer has ended.

`generate` of transformers carries each row until the longest answer of its batch ends, so that a batch of short answers
and a long one costs as much as one of long answers. Here it is stopped whenever a quarter of the rows have ended, and
goes on with the others and their keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

__all__ = ["Draws", "written_by_shrinking"]

_LEAVE_TOGETHER = 4
"""One of so many rows of a batch has to have ended: to go on costs a copy of the cache, about as much as a token."""


class Draws(Protocol):
    """Picks each row's next token, as a logits processor of transformers."""

    def __call__(self, ids: torch.Tensor, logits: torch.Tensor, /) -> torch.Tensor:
        """(B, V) scores of which the largest is the token."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with some of its rows."""
        ...


class _Ended:
    """Notes which rows have ended, and stops `generate` when enough of them have: a stopping criterion.

    Args:
        stops: Tokens that end an answer.
        count: Rows of the batch.
        device: Where they are.
    """

    def __init__(self, stops: Sequence[int], count: int, device: torch.device) -> None:
        self.rows = torch.zeros(count, dtype=torch.bool, device=device)
        self._stops = torch.tensor(stops, device=device)

    def __call__(self, ids: torch.Tensor, _scores: Any, **_more: Any) -> torch.Tensor:
        """(B,) whether to stop, the same for each row."""
        self.rows |= torch.isin(ids[:, -1], self._stops)
        return torch.full_like(self.rows, bool(self.rows.sum() * _LEAVE_TOGETHER >= len(self.rows)))


def written_by_shrinking(
    model: Any,
    ids: torch.Tensor,
    attention: torch.Tensor,
    *,
    stops: Sequence[int],
    cache: tuple[str, Any],
    draw: Draws | None,
) -> list[list[int]]:
    """The tokens written behind each prompt, each as far as its batch went.

    Args:
        model: A decoder whose cache keeps all keys and values of each row, within a block of `configured`.
        ids: (B, T) prompts, padded on the left.
        attention: (B, T) what isn't padding.
        stops: Tokens that end an answer.
        cache: What the model calls keys and values, and those of the tokens that all prompts begin with, or None.
        draw: Picks the tokens; None for the likeliest.
    """
    name, known = cache
    most = model.generation_config.max_new_tokens
    lines: list[list[int]] = [[] for _ in ids]
    rows = list(range(len(ids)))
    while True:
        ended = _Ended(stops, len(rows), ids.device)
        output = model.generate(
            input_ids=ids,
            attention_mask=attention,
            max_new_tokens=most - len(lines[rows[0]]),
            stopping_criteria=[ended],
            return_dict_in_generate=True,
            **({} if known is None else {name: known}),
            **({} if draw is None else {"logits_processor": [draw]}),
        )
        for row, line in zip(rows, output.sequences[:, ids.shape[1] :].tolist(), strict=True):
            lines[row] += line
        left = (~ended.rows).nonzero()[:, 0]
        if not len(left) or len(lines[rows[0]]) >= most:
            return lines
        known = output["cache" if "cache" in output else "past_key_values"]  # by the version of transformers
        known.batch_select_indices(left)
        before, ids = ids.shape[1], output.sequences[left]
        grown = attention.new_ones(len(left), ids.shape[1] - before)
        attention = torch.cat((attention[left], grown), dim=1)
        rows = [rows[place] for place in left.tolist()]
        if draw is not None:
            draw.keep(left.tolist())
