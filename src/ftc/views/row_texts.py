"""The one way by which texts and images of rows get into a page or onto a terminal.

Rows that match a rule for personal data or secrets are masked as a whole, since a name often stands beside an address,
and an image beside a text that names who is in it.
`predictions.ndjson` stays as it is, and so does everything that is computed from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ftc.spec.documents.outcomes import NO_ANSWER, Outcome
from ftc.spec.documents.thumbnails import MOST_OF_A_ROW, Thumbnail
from ftc.spec.personal_data import in_decoded
from ftc.views import numbers

__all__ = ["RowPictures", "RowTexts", "row_pictures"]


_LEAST_SHARED = 40
"""Characters that prompts need to share; less is no trouble in each row."""


class RowPictures(NamedTuple):
    """The images of a row.

    Attributes:
        shown: Small pictures of the first of them, as far as the run kept them.
        left_out: How many more the row has; a comparison shows rows of which no run kept any.
    """

    shown: tuple[Thumbnail, ...]
    left_out: int


def row_pictures(
    outcomes: Sequence[Outcome], thumbnails: Mapping[str, Thumbnail], *, shows_all: bool = False
) -> dict[int, RowPictures]:
    """The images of each row that has any, by the number of the row; none of rows that are masked.

    Whole texts decide: a table may show the beginning of one, without what makes it personal.

    Args:
        outcomes: The rows.
        thumbnails: What the run kept, by the sha256 of the image.
        shows_all: Whether the user asked for rows as they are.
    """
    found = {}
    for one in outcomes:
        shown = tuple(thumbnails[name] for name in one.images[:MOST_OF_A_ROW] if name in thumbnails)
        texts = (one.prompt, one.expected, one.tuned.text, one.base.text if one.base else None)
        if one.images and (shows_all or not any(text and in_decoded(text) for text in texts)):
            found[one.row] = RowPictures(shown, len(one.images) - len(shown))
    return found


@dataclass(slots=True)
class RowTexts:
    """What is shown of rows.

    Attributes:
        labels: The run's classes, which are never personal.
        shows_all: Whether the user asked for rows as they are.
        masked: Names of the rows that were masked so far.
        pictures: The images of rows, by the number of the row.
    """

    labels: Collection[str] = ()
    shows_all: bool = False
    masked: set[str] = field(default_factory=set)
    pictures: Mapping[int, RowPictures] = field(default_factory=dict)

    def row(self, name: str, *texts: str | None) -> tuple[str, ...]:
        """The texts of a row as they may be shown; no text is an empty one."""
        plain = tuple(one or "" for one in texts)
        found = () if self.shows_all else tuple(dict.fromkeys(words for one in plain for words in in_decoded(one)))
        if not found:
            return plain
        self.masked.add(name)
        mask = f"[masked: {', '.join(found)}]"
        return tuple(one if not one or one in self.labels or one == NO_ANSWER else mask for one in plain)

    def beginning(self, prompts: Sequence[str]) -> int:
        """Characters with which all prompts of a table begin, such as a system message, which is shown once above it.

        0 where they share too little. The last of them ends a word or a line.
        """
        if len(prompts) < 2:
            return 0
        first, last = min(prompts), max(prompts)  # the two that differ first
        alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
        shared = "".join(one for one, _ in alike)
        length = max(shared.rfind(end) for end in (" ", "\n")) + 1
        return length if length >= _LEAST_SHARED else 0

    @property
    def note(self) -> str:
        """How many rows are masked, and how to see them; empty where none is."""
        if not self.masked:
            return ""
        rows = numbers.plural(len(self.masked), "row is", "rows are")
        return f"{rows} masked because of personal data or secrets. `--show-personal-data` shows them."
