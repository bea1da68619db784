"""Whether the first line of a file of separated values is a row of it and not its header. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.table import shown
from ftc.spec.diagnostics import Diagnostic, Severity, Span, diagnostic
from ftc.spec.tasks import PARTS

__all__ = ["FirstLine", "Header", "column_names", "header_of", "naming_help", "read_as"]

_CODE = "FTC488"
_MOST_NAMED = 12
_MOST_READ = 5_000
"""Rows that are compared with the header."""
_FEWEST = 2
_USUAL = frozenset(name for part in PARTS.values() for name in part.columns) | frozenset(
    "id idx index name date time title url split source lang language".split()
)
"""Names that a header has and a row hardly ever."""


def column_names(count: int) -> tuple[str, ...]:
    """Names for the columns of a file that names none."""
    return tuple(f"column_{number}" for number in range(1, count + 1))


def naming_help(count: int) -> str:
    """How a recipe names the columns of a file that names none."""
    names = [*column_names(min(count, _MOST_NAMED)), *(["…"] if count > _MOST_NAMED else [])]
    return f"name the columns, so that the line is read as a row: `source: {{path: …, columns: [{', '.join(names)}]}}`"


@dataclass(frozen=True, slots=True)
class Header:
    """What the first line of a file says by itself.

    Attributes:
        names: The columns, if the line names them.
        is_row: Whether it is a row; None where the rows below it show that.
    """

    names: tuple[str, ...]
    is_row: bool | None


def header_of(cells: Sequence[str], reading: Reading) -> Header:
    """Whether the cells of a first line are names or values.

    Names that the recipe gives are names whatever their case. Of a file that may have a header of its own, the order of
    these names may differ, and so may their number; cells that are empty or equal name no column.
    """
    named = reading.columns
    if named is None:
        return Header(tuple(cells), is_row=False)
    by_name = {_folded(name): name for name in named}
    folded = [_folded(cell) for cell in cells]
    if folded == [_folded(name) for name in named]:
        return Header(named, is_row=False)
    if not reading.may_have_header:
        return Header(named, is_row=bool(cells))
    respelled = tuple(by_name.get(key, cell) for key, cell in zip(folded, cells, strict=True))
    own = respelled if len({*respelled}) == len({*cells}) else tuple(cells)
    known = by_name.keys() & {*folded}
    if len(cells) != len(named) or known == {*folded}:
        return Header(own, is_row=False)
    is_unnamed = not known and (len({*cells}) < len(cells) or not all(folded))
    return Header(own, is_row=True if is_unnamed else None)


def _folded(name: str) -> str:
    return name.strip().casefold()


def read_as(file: str, line: int, what: str, why: str) -> Diagnostic:
    """A remark on how a first line is read that could be a header or a row."""
    span = Span(file, line, 1, line, 2)
    help = "check that, and name the columns in the first line to be sure"
    summary = f"the first line of {file} is read as a {what}"
    return diagnostic(_CODE, summary, span, help=help, notes=why, severity=Severity.NOTE, path="data.source")


class FirstLine:
    """A header, held beside the rows below it as they are read.

    It looks like a row where one of its cells occurs in its own column again and again, or is a number as all values
    below it are, of which one is there at least; but not where another cell is a usual name of a column.

    Args:
        header: Its cells.
    """

    def __init__(self, header: Sequence[str]) -> None:
        self._header = list(header)
        self._rows = 0
        self._again = array("q", [0]) * len(header)
        self._numbers = {number: 0 for number, cell in enumerate(header) if _is_number(cell)}

    @property
    def is_settled(self) -> bool:
        """Whether no further row counts."""
        return self._rows >= _MOST_READ

    def compare(self, record: Sequence[str]) -> None:
        """Counts a row, of as many cells as the header has."""
        if self.is_settled or record == self._header:
            return
        self._rows += 1
        for number, (name, cell) in enumerate(zip(self._header, record, strict=True)):
            if cell == name and cell.strip():
                self._again[number] += 1
        for number in [*self._numbers]:
            if _is_number(record[number]):
                self._numbers[number] += 1
            elif record[number].strip():
                del self._numbers[number]

    @property
    def looks(self) -> Looks | None:
        """Why it looks like a row; None where it doesn't."""
        again = {number: count for number, count in enumerate(self._again) if count >= _FEWEST}
        numbers = [number for number, below in self._numbers.items() if below]
        if self._rows < _FEWEST or _is_range(self._header):
            numbers = []
        others = [cell for number, cell in enumerate(self._header) if number not in again]
        if not (again or numbers) or any(cell.strip().lower() in _USUAL for cell in others):
            return None
        if not again:
            why = f"{shown(self._header[numbers[0]])} is a number, as all values below it are"
            return Looks(why, is_sure=len(numbers) > 1)
        number, count = max(again.items(), key=lambda one: one[1])
        why = f"{shown(self._header[number])} occurs again in {count:,} of the {self._rows:,} rows below it"
        return Looks(why, is_sure=True)

    def finding(self, file: str, line: int) -> Diagnostic | None:
        """A warning where the header looks like a row."""
        if (looks := self.looks) is None:
            return None
        return diagnostic(
            _CODE,
            f"{file} seems to have no header: its first line looks like a row",
            Span(file, line, 1, line, 2),
            help=[naming_help(len(self._header)), "or give the columns other names, if the line is a header"],
            notes=looks.why,
            path="data.source",
        )


@dataclass(frozen=True, slots=True)
class Looks:
    """Why a first line looks like a row.

    Attributes:
        why: The reason.
        is_sure: Whether it is more than a single number, which may be the name of a column, such as a year.
    """

    why: str
    is_sure: bool


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_range(header: Iterable[str]) -> bool:
    """Whether the numbers in a header count up evenly, as those of an unnamed data frame, or of years, do."""
    found = [int(cell) for cell in header if cell.strip().isascii() and cell.strip().isdecimal()]
    steps = {after - before for before, after in pairwise(found)}
    return len(found) > 1 and len(steps) == 1 and steps.pop() > 0
