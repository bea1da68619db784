"""How long training is at least on few rows."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OF_ANSWERS", "OF_NEW_HEAD", "LeastSteps"]


class LeastSteps(NamedTuple):
    """How long training is at least on few rows, where the recipe leaves `train.epochs` open."""

    steps: int
    """Optimizer steps that are aimed at."""
    epochs: int
    """Passes over the rows that are never exceeded for that."""
    reason: str


OF_NEW_HEAD = LeastSteps(300, 30, "a new head has nothing to start from")
"""108 steps left two of four classes of 720 short texts unpredicted, and 165 two of five of 162 stories; 330 learn
them. Few rows need steps more than they need few epochs (Mosbach et al. 2021). The best epoch is kept anyway."""
OF_ANSWERS = LeastSteps(60, 6, "fewer steps barely change what a model writes")
"""As hosted services do, which pass over small sets of examples more often than over large ones."""
