"""The one way by which texts of rows get into a page or onto a terminal.

Rows that match a rule for personal data or secrets are masked as a whole, since a name often stands beside an address.
`predictions.ndjson` stays as it is, and so does everything that is computed from it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ftc.spec.documents.outcomes import NO_ANSWER
from ftc.spec.personal_data import in_decoded
from ftc.views import numbers

__all__ = ["RowTexts"]


@dataclass(slots=True)
class RowTexts:
    """What is shown of rows.

    Attributes:
        labels: The run's classes, which are never personal.
        shows_all: Whether the user asked for rows as they are.
        masked: Names of the rows that were masked so far.
    """

    labels: Collection[str] = ()
    shows_all: bool = False
    masked: set[str] = field(default_factory=set)

    def row(self, name: str, *texts: str | None) -> tuple[str, ...]:
        """The texts of a row as they may be shown; no text is an empty one."""
        plain = tuple(one or "" for one in texts)
        found = () if self.shows_all else tuple(dict.fromkeys(words for one in plain for words in in_decoded(one)))
        if not found:
            return plain
        self.masked.add(name)
        mask = f"[masked: {', '.join(found)}]"
        return tuple(one if not one or one in self.labels or one == NO_ANSWER else mask for one in plain)

    @property
    def note(self) -> str:
        """How many rows are masked, and how to see them; empty where none is."""
        if not self.masked:
            return ""
        rows = numbers.plural(len(self.masked), "row is", "rows are")
        return f"{rows} masked because of personal data or secrets. `--show-personal-data` shows them."
