"""What texts hold that they should not: personal data, secrets and damage. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ftc.compiler.quality.sensitive import Presidio
from ftc.compiler.quality.texts import damage
from ftc.spec.personal_data import matching

__all__ = ["Seen", "SeenTexts", "look_through"]


class Seen(NamedTuple):
    """What a text holds that it should not.

    Attributes:
        rules: Personal data and secrets, by the words of each rule.
        damages: Each kind of damage.
    """

    rules: tuple[str, ...]
    damages: tuple[str, ...]


def look_through(text: str, presidio: Presidio | None) -> Seen | None:
    """What a text holds that it should not; None for nothing."""
    rules = (*matching(text), *(presidio.matching(text) if presidio else ()))
    damages = tuple(words for words, _ in damage(text))
    return Seen(rules, damages) if rules or damages else None


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
