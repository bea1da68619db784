"""Sets of digests, of which there may be millions: sorted, since tables of hashes miss every cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Digests", "distinct", "is_among"]

Digests = NDArray[np.uint64]
"""Well mixed."""
_FEW = 1 << 17
"""Numbers that a core's cache holds, so that any of them is found as soon."""


def distinct(values: Digests) -> Digests:
    """Each number once, ascending.

    As `np.unique`, whose table of hashes takes twenty times as long for a few millions.
    """
    ascending = np.sort(values)
    is_new = np.ones(len(ascending), np.bool_)
    is_new[1:] = ascending[1:] != ascending[:-1]
    return ascending[is_new]


def is_among(values: Digests, known: Digests) -> NDArray[np.bool_]:
    """(values,) Which numbers are among the known ones.

    As `np.isin`, whose table of hashes takes fifty times as long for a few millions.
    """
    if not len(known):
        return np.zeros(len(values), dtype=np.bool_)
    ascending = np.sort(known)
    order = np.argsort(values) if len(ascending) > _FEW else np.arange(len(values))  # found beside the one before
    sought, found = values[order], np.empty(len(values), np.bool_)
    found[order] = ascending[np.minimum(np.searchsorted(ascending, sought), len(ascending) - 1)] == sought
    return found
