"""Exact match and F1 of answers by the rules of SQuAD 2.0 (Rajpurkar et al. 2018).

Two answers are compared after both are in lower case, without punctuation and without the articles a, an and the. F1 is
that of the words they have in common. Of several right answers the best one counts; no answer is an empty one, and is
right only where none was to be found.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

__all__ = ["answer_f1", "is_exact", "normalized"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """What of an answer is compared."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def is_exact(answer: str, right: Sequence[str]) -> bool:
    """Whether it is one of the right answers."""
    return normalized(answer) in map(normalized, _comparable(right))


def answer_f1(answer: str, right: Sequence[str]) -> float:
    """The best F1 of an answer's words against those of a right one."""
    return max(_f1(normalized(answer).split(), normalized(one).split()) for one in _comparable(right))


def _comparable(right: Sequence[str]) -> Sequence[str]:
    """Right answers of which anything is left to compare; none means that there was no answer to find."""
    return [one for one in right if normalized(one)] or [""]


def _f1(answer: Sequence[str], right: Sequence[str]) -> float:
    if not answer or not right:
        return float(answer == right)
    common = (Counter(answer) & Counter(right)).total()
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(right)
    return 2 * precision * recall / (precision + recall)
