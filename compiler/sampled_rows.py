"""Rows of a training run that writes its own answers: what is planned for before any of them is written.

A prompt's length is known and an answer's isn't: memory is planned for the longest answers that may be, and time for
answers of one token, of half the longest, and of the longest.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ftc.compiler.draft import Draft
from ftc.spec.documents.streams import RowLengths
from ftc.spec.writing import Writing

__all__ = ["AnswerLengths", "answer_lengths", "longest_prompt", "with_answers", "with_longest"]

AnswerLengths = tuple[int, int, int]
"""Tokens of an answer at the least, as expected, and at the most."""


def answer_lengths(writing: Writing) -> AnswerLengths:
    """How long written answers may be; the expected one is half the longest, since nobody knows."""
    most = writing.max_new_tokens
    return 1, max(1, most // 2), most


def with_answers(writing: Writing, rows: RowLengths, tokens: int) -> RowLengths:
    """What the steps of an epoch are fed: prompts as often as they are answered, with answers of so many tokens.

    Where a share of the steps trains on the rows as they are, that share of the rows stays so.
    """
    if writing.answers > 1 or writing.share == 1:
        prompt, first = np.repeat(rows.prompt, writing.answers), np.repeat(rows.first_target, writing.answers)
        shards = tuple(row * writing.answers for row in rows.shards)
        return RowLengths(prompt + tokens, prompt, np.full_like(prompt, tokens), first, rows.shared, shards)
    is_written = np.array(writing.marks(len(rows.prompt)), dtype=bool)
    return RowLengths(
        np.where(is_written, rows.prompt + tokens, rows.tokens),
        rows.prompt,
        np.where(is_written, tokens, rows.scored),
        rows.first_target,
        rows.shared,
        rows.shards,
    )


def with_longest(writing: Writing, rows: RowLengths) -> RowLengths:
    """The most that each row can be in a step: as it stands in the data, or its prompt with the longest answer."""
    answered = with_answers(replace(writing, share=1.0), rows, writing.max_new_tokens)
    if writing.share == 1:
        return answered
    tokens, scored = np.maximum(answered.tokens, rows.tokens), np.maximum(answered.scored, rows.scored)
    return RowLengths(tokens, rows.prompt, scored, rows.first_target, rows.shared, rows.shards)


def longest_prompt(draft: Draft) -> int:
    """Tokens of the longest prompt of the training rows; where only their report is at hand, of the longest row."""
    lengths = draft.lengths.get("train")
    if lengths is None or not len(lengths.prompt):
        return draft.splits["train"].length_max
    return int(lengths.prompt.max())
