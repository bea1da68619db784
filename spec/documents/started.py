"""What `ftc init` made of a data file: the columns that it took, those that could be meant as well, and first rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftc.spec.base import Document

__all__ = ["DataWarning", "GuessedColumn", "ShownRow", "Started"]


class GuessedColumn(Document):
    """A column of the data for a part of the task."""

    part: str
    column: str
    facts: str = ""
    """What tells about it, such as `4 values, 2 % empty`; empty where its name said enough."""


class ShownRow(Document):
    """One of the first rows."""

    place: str
    """Its name, such as `data/tickets.csv:2`."""
    values: dict[str, str]
    """What each part would be, shortened and escaped."""


class DataWarning(Document):
    """What looks wrong in the data and is left as it is."""

    code: str
    """Code of the finding, which `ftc explain` describes."""
    summary: str
    """What looks wrong."""
    reasons: tuple[str, ...]
    """What it was seen by."""
    help: tuple[str, ...]
    """What to do, each way by itself."""


class Started(Document):
    """A recipe that was begun."""

    schema_: Literal["ftc.started/1"] = Field(default="ftc.started/1", alias="schema")
    file: str
    """The recipe."""
    data: str | None = None
    """The rows as they were named; None where the recipe was begun without."""
    rows: int = 0
    task: str
    columns: tuple[GuessedColumn, ...] = ()
    """The column of each part, and why."""
    also: tuple[GuessedColumn, ...] = ()
    """Columns that could be meant as well."""
    unused: tuple[str, ...] = ()
    """Columns of the data that no part reads, beside those in `also`; empty where a part is open."""
    open_parts: tuple[str, ...] = ()
    """Parts for which no column was found; the recipe has a line to finish by hand."""
    settled: tuple[str, ...] = ()
    """What the recipe says beside the columns so that it can be planned, with the reason, a line each."""
    warnings: tuple[DataWarning, ...] = ()
    """What looks wrong in the data and is left as it is."""
    base: str | None = None
    """The model that the recipe names; None where a placeholder stands for it."""
    base_facts: str = ""
    """Why it is this one and what else there is; empty where it was asked for, or is the only one here."""
    shown: tuple[ShownRow, ...] = ()
    is_calibrated: bool
    """Whether this machine's speed was measured, without which a plan estimates no time."""
