"""What texts hold that they should not: personal data, secrets and damage. Pure."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.quality.sensitive import Presidio
from ftc.compiler.quality.texts import damage
from ftc.spec.personal_data import PERSONAL, SECRETS, Run, matching

__all__ = ["Seen", "SeenTexts", "inspect_text", "inspect_texts"]


class Seen(NamedTuple):
    """What a text holds that it should not.

    Attributes:
        rules: Personal data and secrets, by the words of each rule.
        damages: Each kind of damage.
    """

    rules: tuple[str, ...]
    damages: tuple[str, ...]


def inspect_text(text: str, presidio: Presidio | None) -> Seen | None:
    """What a text holds that it should not; None for nothing."""
    rules = (*matching(text), *(presidio.matching(text) if presidio else ()))
    damages = tuple(words for words, _ in damage(text))
    return Seen(rules, damages) if rules or damages else None


def inspect_texts(texts: Sequence[str], presidio: Presidio | None) -> Iterator[tuple[int, Seen]]:
    """What is found in texts that hold something, each with the text's index; a few are read, the others can't."""
    for number in range(len(texts)) if presidio else np.flatnonzero(_may_hold(texts)).tolist():
        if (found := inspect_text(texts[number], presidio)) is not None:
            yield number, found


_NEEDED = {rule.needs for rule in (*PERSONAL, *SECRETS)}
_MARKS = tuple(sorted(one for one in _NEEDED if isinstance(one, str) and len(one) != 1))
_SIGNS = frozenset(one for one in _NEEDED if isinstance(one, str) and len(one) == 1)
_RUNS = tuple(sorted(one for one in _NEEDED if isinstance(one, Run)))
_SHORT = 4
"""Characters of a run that are compared place by place; a longer one is found by what stands between the others."""


def _kind(code: int) -> int:
    """What a byte is good for: a bit for each run that it may stand in, and one where the text has to be read. No text
    of ASCII without control characters is damaged.
    """
    char = chr(code)
    if code > 126 or char in _SIGNS or (code < 32 and char not in "\t\n\r"):
        return 1
    return sum(2 << bit for bit, run in enumerate(_RUNS) if re.match(f"[{run.kind}]", char))


_KINDS = np.array([_kind(code) for code in range(256)], np.min_scalar_type(1 << len(_RUNS)))


def _may_hold(texts: Sequence[str]) -> NDArray[np.bool_]:
    """(texts,) Which texts a rule may match, or damage may be in: all texts at once, by their bytes."""
    may = np.array([not text.isascii() or any(mark in text for mark in _MARKS) for text in texts], np.bool_)
    plain = np.flatnonzero(~may)
    joined = "\n".join([texts[number] for number in plain.tolist()])
    kinds = _KINDS[np.frombuffer(joined.encode("ascii"), np.uint8)]
    ends = np.cumsum([len(texts[number]) + 1 for number in plain.tolist()])
    runs = (_runs(kinds & (2 << bit) != 0, run.length) for bit, run in enumerate(_RUNS))
    for places in (np.flatnonzero(kinds & 1), *runs):
        may[plain[np.searchsorted(ends, places, side="right")]] = True
    return may


def _runs(is_in: NDArray[np.bool_], length: int) -> NDArray[np.intp]:
    """Where runs of at least so many characters of a kind begin, and perhaps other places in them."""
    if length > _SHORT:
        borders = np.concatenate([[-1], np.flatnonzero(~is_in), [len(is_in)]])
        return borders[:-1][np.diff(borders) > length] + 1
    begins = is_in[: max(0, len(is_in) - length + 1)].copy()
    for further in range(1, length):
        begins &= is_in[further : further + len(begins)]
    return np.flatnonzero(begins)


class SeenTexts:
    """What was found in texts, by their numbers, which ascend: twelve bytes for a text that holds something."""

    def __init__(self) -> None:
        self._kinds: dict[Seen, int] = {}
        self._numbers, self._kind = array("q"), array("i")

    def add(self, number: int, rules: Sequence[str], damages: Sequence[str]) -> None:
        """Puts a text behind the others."""
        kind = self._kinds.setdefault(Seen(tuple(rules), tuple(damages)), len(self._kinds))
        self._numbers.append(number)
        self._kind.append(kind)

    def of(self, rows: NDArray[np.int64]) -> Self:
        """What was found in the texts of some rows, which ascend, by their index among these."""
        numbers = np.frombuffer(self._numbers, np.int64)
        places = np.searchsorted(rows, numbers)
        places[places == len(rows)] = 0
        is_here = rows[places] == numbers if len(rows) else np.zeros(len(numbers), np.bool_)
        found = type(self)()
        found._kinds = self._kinds
        found._numbers = array("q", places[is_here].astype(np.int64).tobytes())
        found._kind = array("i", np.frombuffer(self._kind, np.int32)[is_here].tobytes())
        return found

    def kinds(self) -> Iterator[tuple[Seen, NDArray[np.int64]]]:
        """Each combination that was found, with the numbers of the texts that hold it, ascending."""
        numbers, which = np.frombuffer(self._numbers, np.int64), np.frombuffer(self._kind, np.int32)
        for seen, kind in self._kinds.items():
            if len(rows := numbers[which == kind]):
                yield seen, rows

    def rules_of(self, number: int) -> tuple[str, ...]:
        """The rules that a text with a finding matches."""
        place = int(np.searchsorted(np.frombuffer(self._numbers, np.int64), number))
        return next(seen.rules for seen, kind in self._kinds.items() if kind == self._kind[place])
