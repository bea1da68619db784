"""Which tokens of a row a masked language model fills in: a pure function of the row, and of a seed and a step.

As in BERT's own code (Devlin et al. 2019) a share of the tokens is chosen, at least one, so that a row always has as
many targets. Of these 80% become the mask token, 10% a token that is drawn from the vocabulary, and 10% stay. What a
tokenizer adds around texts is never chosen: a stream keeps such an id as its complement, a negative number.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Masking", "fixed_masks", "num_masked", "step_masks", "written"]

_MASKED, _REPLACED = 0.8, 0.9
"""Bounds of a chance below which a chosen token becomes the mask token, or else another token."""


class Masking(Protocol):
    """How tokens are masked."""

    @property
    def share(self) -> float:
        """Share of a row's tokens that are chosen."""
        ...

    @property
    def mask_id(self) -> int:
        """Token that stands for most of them."""
        ...

    @property
    def vocabulary(self) -> int:
        """Tokens among which others are drawn."""
        ...


def written(kept: NDArray[np.int32]) -> NDArray[np.int32]:
    """(T,) the row's ids as they are written, whatever is masked."""
    return np.where(kept < 0, ~kept, kept).astype(np.int32)


def num_masked(count: int, share: float) -> int:
    """How many of so many tokens are chosen."""
    return min(count, max(1, int(share * count + 0.5)))


def step_masks(kept: NDArray[np.int32], masking: Masking, seed: int, step: int, row: int) -> _Masked:
    """A row as a step of training reads it: other tokens are masked in each.

    Args:
        kept: (T,) its ids, with the complement of what is never masked.
        masking: How tokens are masked.
        seed: The plan's for masks.
        step: The optimizer step, counted from 0.
        row: The row's place in its stream.
    """
    return _masked(kept, masking, np.random.PCG64([seed, step, row]))


def fixed_masks(kept: NDArray[np.int32], masking: Masking) -> _Masked:
    """A row as it is measured: what is masked depends on its tokens alone."""
    digest = hashlib.sha256(kept.astype("<i4").tobytes()).digest()
    return _masked(kept, masking, np.random.PCG64(int.from_bytes(digest[:8], "little")))


_Masked = tuple[NDArray[np.int32], NDArray[np.bool_]]
"""(T,) ids as the model reads them, and which of them it has to fill in."""


def _masked(kept: NDArray[np.int32], masking: Masking, bits: np.random.PCG64) -> _Masked:
    generator, ids = np.random.Generator(bits), written(kept)
    places = np.flatnonzero(kept >= 0)
    chosen = generator.permutation(places)[: num_masked(len(places), masking.share)]
    chance, others = generator.random(len(chosen)), generator.integers(0, masking.vocabulary, len(chosen))
    ids[chosen[chance < _MASKED]] = masking.mask_id
    is_replaced = (chance >= _MASKED) & (chance < _REPLACED)
    ids[chosen[is_replaced]] = others[is_replaced]
    mask = np.zeros(len(kept), np.bool_)
    mask[chosen] = True
    return ids, mask
