"""How adapters of several runs become one: peft's ways to combine LoRA adapters, one card each."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["COMBINATIONS", "Combination", "MethodName", "combination"]

MethodName = Literal["linear", "cat", "svd", "ties", "dare_linear", "dare_ties", "magnitude_prune"]
"""A method by peft's own word for it."""


class Combination(NamedTuple):
    """One method.

    Attributes:
        name: peft's `combination_type`.
        about: What it does, for people.
        rank: Rank of the result by those of the adapters; `equal` where these have to be the same.
        prunes: Whether it keeps a share of the numbers only, which `density` says.
        draws: Whether chance decides which, so that a seed matters.
    """

    name: MethodName
    about: str
    rank: Literal["equal", "sum", "largest"]
    prunes: bool
    draws: bool


COMBINATIONS: tuple[Combination, ...] = (
    Combination("linear", "weighted sums of the two matrices; an approximation", "equal", False, False),
    Combination("cat", "the matrices side by side: exactly the weighted sum of the updates", "sum", False, False),
    Combination("svd", "the weighted sum of the updates, cut to the largest rank", "largest", False, False),
    Combination("ties", "TIES: the largest numbers, where the signs agree (Yadav et al. 2023)", "equal", True, False),
    Combination("dare_linear", "DARE: numbers dropped at random, rescaled (Yu et al. 2023)", "equal", True, True),
    Combination("dare_ties", "DARE with the signs of TIES", "equal", True, True),
    Combination("magnitude_prune", "the largest numbers of each", "equal", True, False),
)
"""Every method; the first is the usual one."""


def combination(name: MethodName) -> Combination:
    """The card of a method."""
    return next(one for one in COMBINATIONS if one.name == name)
