"""Answers written in batches that shrink: a row leaves once its answer has ended.

`generate` of transformers carries each row until the longest answer of its batch ends, so that a batch of short answers
and a long one costs as much as one of long answers. Here it is stopped whenever a quarter of the rows have ended, and
goes on with the others and their keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from ftc.spec.batches import LEAVE_TOGETHER

__all__ = ["Draws", "written_by_shrinking"]


class Draws(Protocol):
    """Picks each row's next token, as a logits processor of transformers."""

    def __call__(self, ids: torch.Tensor, logits: torch.Tensor, /) -> torch.Tensor:
        """(B, V) scores of which the largest is the token."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with some of its rows."""
        ...


class _EnoughEnded:
    """Stops `generate` when enough rows have ended: a stopping criterion of transformers.

    Args:
        stops: Tokens that end an answer.
        prompt: Tokens before the answers.
    """

    def __init__(self, stops: torch.Tensor, prompt: int) -> None:
        self._stops, self._prompt = stops, prompt

    def __call__(self, ids: torch.Tensor, _scores: Any, **_more: Any) -> torch.Tensor:
        """(B,) whether to stop, the same for each row."""
        ended = torch.isin(ids[:, self._prompt :], self._stops).any(dim=1)
        return torch.full_like(ended, bool(ended.sum() * LEAVE_TOGETHER >= len(ended)))


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
    ends = torch.tensor(stops, device=ids.device)
    while True:
        before = ids.shape[1]
        output = model.generate(
            input_ids=ids,
            attention_mask=attention,
            max_new_tokens=most - len(lines[rows[0]]),
            stopping_criteria=[_EnoughEnded(ends, before)],
            return_dict_in_generate=True,
            **({} if known is None else {name: known}),
            **({} if draw is None else {"logits_processor": [draw]}),
        )
        fresh = output.sequences[:, before:]
        for row, line in zip(rows, fresh.tolist(), strict=True):
            lines[row] += line
        left = (~torch.isin(fresh, ends).any(dim=1)).nonzero()[:, 0]
        if not len(left) or len(lines[rows[0]]) >= most:
            return lines
        known = output["cache" if "cache" in output else "past_key_values"]  # by the version of transformers
        known.batch_select_indices(left)
        ids, grown = output.sequences[left], attention.new_ones(len(left), fresh.shape[1])
        attention = torch.cat((attention[left], grown), dim=1)
        rows = [rows[place] for place in left.tolist()]
        if draw is not None:
            draw.keep(left.tolist())
