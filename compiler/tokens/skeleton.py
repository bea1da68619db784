"""Renders a template once for all rows of the same shape: literal pieces, and slots that the rows' texts fill.

The shape of a conversation is its sequence of roles; a prompt template has a single shape. Where `opacity` proves that
a template only copies the texts, one rendering with marks in their place shows where each text goes, and the rows need
no Jinja at all.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Place", "Skeleton", "marks_for"]

Place = tuple[int, int]
"""A position in a skeleton: a piece's index and the characters into it, which are none in a slot."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A rendering with holes.

    Attributes:
        literals: The fixed pieces; one more than there are slots.
        slots: For each hole, which of the row's texts fills it. A text may fill several holes or none.
    """

    literals: tuple[str, ...]
    slots: tuple[int, ...]

    @classmethod
    def from_marked(cls, text: str, marks: Sequence[str]) -> Skeleton:
        """Takes a rendering apart in which text number i was `marks[i]`."""
        if not marks:
            return cls((text,), ())
        pieces = re.split("(" + "|".join(map(re.escape, marks)) + ")", text)
        return cls(tuple(pieces[::2]), tuple(marks.index(mark) for mark in pieces[1::2]))

    def pieces(self, texts: Sequence[str]) -> list[str]:
        """Literals and the row's texts in turn; joined they are the rendering."""
        pieces = [""] * (2 * len(self.slots) + 1)
        pieces[::2] = self.literals
        pieces[1::2] = [texts[slot] for slot in self.slots]
        return pieces

    def place(self, position: int, marks: Sequence[str]) -> Place:
        """The place of a character position of the marked rendering; inside a mark it is the mark's start."""
        starts = [0, *accumulate(map(len, self.pieces(marks)))][:-1]
        index = bisect_right(starts, position) - 1
        return index, 0 if index % 2 else position - starts[index]


def marks_for(source: str, count: int) -> tuple[str, ...]:
    """Texts that no template can write by itself, since their name is a digest of the template."""
    name = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return tuple(f"[{name}:{index}]" for index in range(count))
