"""Answers remembered for the last arguments: a search asks the same of a thousand tensors for each candidate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["remembered"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_MOST = 16


def remembered(ask: Callable[_P, _T]) -> Callable[_P, _T]:
    """The same function, which answers at once where it was asked lately with the same objects.

    Documents have no hash, so they are known by identity, and kept so that no other object gets it.

    Args:
        ask: Its answer depends on its positional arguments alone, which never change.
    """
    answers: OrderedDict[tuple[int, ...], tuple[object, _T]] = OrderedDict()

    @wraps(ask)
    def answer(*arguments: _P.args, **named: _P.kwargs) -> _T:
        if named:
            return ask(*arguments, **named)
        key = tuple(map(id, arguments))
        if (found := answers.pop(key, None)) is None:
            found = arguments, ask(*arguments, **named)
        answers[key] = found
        while len(answers) > _MOST:
            answers.popitem(last=False)
        return found[1]

    return answer
