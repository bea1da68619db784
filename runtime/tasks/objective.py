"""What a training objective is to the runtime: the torch half of a head's card, one object a file of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ftc.runtime.tasks.scorer import Arithmetic, Scorer
from ftc.spec.documents.memory_trace import BatchShape
from ftc.spec.documents.settings import Settings
from ftc.spec.heads import Head

__all__ = ["Objective"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """How rows are scored and trained on, for one head and one form of rows."""

    head: Head
    """The head that it is for."""
    is_pair: bool
    """Whether a row is two sequences that are compared."""
    scorer: Callable[[Any, Settings, Arithmetic], Scorer]
    """Makes the scorer of a model without any wrapper for several devices; it hooks itself into the model for good."""
    score_shape: Callable[[int, BatchShape, int], tuple[int, int]]
    """(N, C) of the scores of so many rows of a shape, where the head has so many outputs."""
    stand_in_targets: Callable[[BatchShape], list[int]]
    """Target numbers of a row that stands for others of its shape, as a stream keeps them beside its tokens."""
    has_offsets: bool
    """Whether a stream keeps the characters of each token."""
