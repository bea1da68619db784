"""What models are fed that write answers: prompts, which are read at once, and answers, token by token."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.time.amounts import Amounts, batch_amounts, leaving_amounts, prompt_amounts, target_amounts
from ftc.compiler.time.workload import RowShape, device_share, is_padded, summed
from ftc.spec.batches import cut
from ftc.spec.documents.streams import RowLengths

__all__ = ["answer_amounts", "own_answers", "prompts_amounts"]


def prompts_amounts(
    lengths: RowLengths, shape: RowShape, batch_size: int, world_size: int = 1, *, known: int = 0
) -> Amounts:
    """One device's part of the prompts of all rows of a split, as they are read before answers are written.

    Args:
        lengths: Of the split.
        shape: Of its rows.
        batch_size: Rows that are answered at once.
        world_size: Processes that share the rows.
        known: Tokens at the begin of all prompts that go through once, by themselves.
    """
    some, mine, factor = device_share(lengths, "prompt", world_size)
    known = known if len(mine) > 1 else 0
    parts = []
    for numbers in cut(mine, batch_size):
        tokens = some.prompt[numbers]
        longest, padded = int(tokens.max()), is_padded(tokens)
        if shape.family == "encoder_decoder":
            parts.append(batch_amounts(len(numbers), longest, attending=shape.attending, padded=padded))
        else:
            parts.append(prompt_amounts(len(numbers), longest, attending=shape.attending, padded=padded, known=known))
    found = summed(parts) * factor
    return found + batch_amounts(1, known, scored=1, attending=shape.attending) if known else found


def answer_amounts(
    lengths: RowLengths,
    shape: RowShape,
    batch_size: int,
    new_tokens: int | None,
    most: int,
    world_size: int = 1,
    *,
    leaves: bool = False,
) -> Amounts:
    """One device's part of the answers to all rows of a split, without the prompts.

    Args:
        lengths: Of the split.
        shape: Of its rows.
        batch_size: Rows that are answered at once.
        new_tokens: Tokens of each answer; None for as many as the right ones have.
        most: Tokens after which an answer is cut off.
        world_size: Processes that share the rows.
        leaves: Whether a row leaves its batch as its answer ends; else all are done when the last one is.
    """
    some, mine, factor = device_share(lengths, "prompt", world_size)
    parts = []
    for numbers in cut(mine, batch_size):
        longest = int(some.prompt[numbers].max())
        ends = np.minimum(most, own_answers(some)[numbers] if new_tokens is None else np.full(len(numbers), new_tokens))
        if shape.family == "encoder_decoder":
            parts.append(target_amounts(len(numbers), longest, int(ends.max())))
        else:
            left = ends.tolist() if leaves else [int(ends.max())] * len(numbers)
            parts.append(leaving_amounts(left, longest, window=shape.attending.window))
    return summed(parts) * factor


def own_answers(lengths: RowLengths) -> NDArray[np.int64]:
    """Tokens of the rows' own answers, (rows,): a conversation's last one, whose prompt holds those before it."""
    own: NDArray[np.int64] = np.minimum(lengths.scored, lengths.tokens - lengths.prompt)
    return own
