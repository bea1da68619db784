"""Rows of a training run that samples its own answers: what is planned for before any of them is written.

A prompt's length is known and an answer's isn't: memory is planned for the longest answers that may be, and time for
answers of one token, of half the longest, and of the longest.
"""

from __future__ import annotations

import numpy as np

from ftc.spec.documents.loss_settings import SamplingSettings
from ftc.spec.documents.streams import RowLengths

__all__ = ["AnswerLengths", "answer_lengths", "with_answers"]

AnswerLengths = tuple[int, int, int]
"""Tokens of an answer at the least, as expected, and at the most."""


def answer_lengths(sampling: SamplingSettings) -> AnswerLengths:
    """How long sampled answers may be; the expected one is half the longest, since nobody knows."""
    most = sampling.max_new_tokens
    return 1, max(1, most // 2), most


def with_answers(sampling: SamplingSettings, prompts: RowLengths, tokens: int) -> RowLengths:
    """Each prompt as often as it is answered in an epoch, with answers of so many tokens."""
    prompt = np.repeat(prompts.prompt, sampling.group_size)
    first = np.repeat(prompts.first_target, sampling.group_size)
    return RowLengths(prompt + tokens, prompt, np.full_like(prompt, tokens), first, prompts.shared)
