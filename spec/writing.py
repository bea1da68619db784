"""How answers are written that a model is trained on: what reinforcement and both kinds of distillation share.

The plan has each number in a section of its own; plan, search, memory, time and the run ask for them here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

__all__ = ["Writing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Answers that are written before a step.

    Attributes:
        by: Who writes them: the model itself, or its teacher.
        answers: To each prompt.
        max_new_tokens: Tokens of the longest.
        temperature: Divides the logits that tokens are drawn from; 0 where the likeliest is taken.
        top_k: Tokens among which each token is drawn; 0 for all.
        share: Of the steps that train on such answers; the others train on the rows as they are.
        divides: Whether several devices each write a part of a step's answers; else one device writes them all.
        here: Whether the run itself writes, which takes its device's memory and time; else a server does.
    """

    by: Literal["model", "teacher"]
    answers: int
    max_new_tokens: int
    temperature: float
    top_k: int
    share: float
    divides: bool
    here: bool

    def at(self, step: int) -> bool:
        """Whether a step, counted from 0, trains on written answers; such steps are evenly spread."""
        return self.count(step + 1) > self.count(step)

    def count(self, steps: int) -> int:
        """How many of the first steps do."""
        return math.floor(steps * Fraction(repr(self.share)))

    def marks(self, steps: int) -> list[bool]:
        """Whether each of the first steps does, as `at` says of one."""
        part, whole = Fraction(repr(self.share)).as_integer_ratio()
        return [after > before for before, after in pairwise(step * part // whole for step in range(steps + 1))]
