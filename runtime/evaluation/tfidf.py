"""TF-IDF weights of tokens and token pairs, by scikit-learn: what baselines and tests of drift see of a text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["MOST_FEATURES", "vectorizer"]

MOST_FEATURES = 50_000
"""Tokens and pairs that are kept at most, the most frequent ones."""


def vectorizer(most: int = MOST_FEATURES, common: float = 1.0) -> Any:
    """What turns rows of token ids into (N, F) weights, each row of length 1.

    Args:
        most: Tokens and pairs that are kept at most; what is rare goes first.
        common: Share of the rows above which a token or pair is left out.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    made: Any = TfidfVectorizer  # stubs know no function as its analyzer
    return made(analyzer=_features, sublinear_tf=True, max_df=common, max_features=most, dtype=np.float64)


def _features(ids: Sequence[int]) -> list[str]:
    singles = [str(one) for one in ids]
    return [*singles, *(f"{one} {other}" for one, other in pairwise(singles))]
