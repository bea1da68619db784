"""The rows of one data file, with what is needed to name each of them, and the faults found while reading."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import NamedTuple, Self

from ftc.compiler.resolve.files.safe_files import project_root
from ftc.compiler.resolve.rows.row_store import Row, some_of, stored
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.language.text_checks import MOST_FINDINGS, masked
from ftc.spec.personal_data import in_decoded
from ftc.spec.row_names import row_list, row_name

__all__ = [
    "LARGEST_ROW",
    "Dialect",
    "Faults",
    "Home",
    "JoinedTable",
    "PartRows",
    "Row",
    "Table",
    "shown",
    "without_form",
]

_STOPPED = "reading stopped here"
LARGEST_ROW = 16 * 2**20
"""Bytes of one line of text, or characters of one CSV field."""

_SHOWN_CHARS = 80
_MOST_SEARCHED = 400  # so many characters hold any secret whole


class Dialect(NamedTuple):
    """How a file of separated values is written.

    Attributes:
        delimiter: What divides the values.
        has_mark: Whether it begins with a byte order mark, by which spreadsheets know UTF-8.
    """

    delimiter: str
    has_mark: bool


class Home(NamedTuple):
    """Where a data file lies, and how far paths in its rows may lead."""

    folder: Path
    root: Path

    @classmethod
    def beside(cls, file: Path) -> Home:
        """That of a file which the user named; paths in its rows lead no farther than its project, or its folder."""
        return cls(file.resolve().parent, project_root(file))


@dataclass(frozen=True, slots=True)
class Table:
    """One data file, read.

    Attributes:
        file: The file's name for people: relative to the project, or inside its data set on the hub.
        columns: Every column that some row has, in the order in which they appear.
        rows: The rows in the order of the file.
        lines: Line of the file, from 1, at which each row begins; None where the format has no lines.
        left_out: Type by column, of columns of the file that are not among these since no row of JSON can hold them.
        warnings: What looks wrong in the file and stops nothing.
        numbers: Number in the file of each row, from 0, where some of the file's rows are not among these.
        remark: What was found out about how to read the file, for the plan; empty where the suffix says all.
        home: Where the file lies; None for rows that were never in a file.
        dialect: How the file is written; None where it is no CSV or TSV file.
        lacks_header: Whether its first line, which named the columns, is a row beyond doubt.
    """

    file: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    lines: Sequence[int] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    numbers: Sequence[int] | None = None
    remark: str = ""
    home: Home | None = None
    dialect: Dialect | None = None
    lacks_header: bool = False

    @property
    def sources(self) -> tuple[Table, ...]:
        """The tables that it was joined of, in their order; itself where it is none of these."""
        return (self,)

    def home_of(self, row: int) -> Home | None:  # noqa: ARG002 - rows of several files differ
        """Where the file of a row lies, counted from 0."""
        return self.home

    def span(self, row: int) -> Span | None:
        """The place where a row, counted from 0, begins; None where the format has no lines."""
        return Span(self.file, self.lines[row], 1, self.lines[row], 2) if self.lines else None

    def where(self, row: int) -> str:
        """The row's name: `data/train.csv:18`."""
        return row_name(self.file, self.lines[row] if self.lines else None, self.numbers[row] if self.numbers else row)

    def places(self, rows: Sequence[int], most: int = 5) -> str:
        """The first few of several rows by name, such as `data/train.csv:3, 7, 9 and 12 more`."""
        return row_list([self.where(row) for row in rows[:most]], len(rows))

    def kept(self, rows: Sequence[int]) -> Table:
        """The table with some of its rows alone, each still named as in its file. Row numbers ascend."""
        return replace(
            self,
            rows=some_of(self.rows, rows),
            lines=_taken("q", self.lines, rows) if self.lines else None,
            numbers=_taken("q", self.numbers, rows) if self.numbers else array("q", rows),
        )


class Origins(NamedTuple):
    """Which row of which table each row of a joined table stands for; twelve bytes a row.

    Attributes:
        tables: The tables that were joined, in their order, with names and places of their rows alone.
        table: For each row, the number of its table.
        row: For each row, its number there.
    """

    tables: tuple[Table, ...]
    table: array[int]
    row: array[int]

    @classmethod
    def of(cls, tables: Sequence[tuple[Table, range]]) -> Self:
        """All rows of several tables, one table behind the other."""
        which = (array("i", [number]) * len(rows) for number, (_, rows) in enumerate(tables))
        rows = chain.from_iterable(rows for _, rows in tables)
        return cls(tuple(table for table, _ in tables), sum(which, array("i")), array("q", rows))

    def at(self, row: int) -> tuple[Table, int]:
        """What a row stands for."""
        return self.tables[self.table[row]], self.row[row]

    def some(self, rows: Sequence[int]) -> Origins:
        """Those of some rows."""
        return self._replace(table=_taken("i", self.table, rows), row=_taken("q", self.row, rows))


def _taken(kind: str, values: Sequence[int], rows: Iterable[int]) -> array[int]:
    """Some of the values, one after the other, so that no list of them is ever in memory."""
    return array(kind, map(values.__getitem__, rows))


@dataclass(frozen=True, slots=True)
class JoinedTable(Table):
    """Rows that come from several tables, or were made of rows of one.

    Attributes:
        origins: For each row, the table and the row in it that it stands for.
        counts: Rows of each source, in their order, as far as they were joined.
    """

    origins: Origins = field(default_factory=lambda: Origins((), array("i"), array("q")))
    counts: Sequence[int] = ()

    @classmethod
    def of(cls, tables: Sequence[tuple[Table, Sequence[Row]]], file: str = "") -> JoinedTable:
        """All rows of several tables, each in the form that is given with it; `file` is their name together."""
        columns: dict[str, None] = {}

        def all_rows() -> Iterator[Row]:
            for row in (row for _, rows in tables for row in rows):
                columns.update(dict.fromkeys(row))
                yield row

        rows = stored(all_rows())
        return cls(
            file=file or ", ".join(table.file for table, _ in tables),
            columns=tuple(columns),
            rows=rows,
            left_out={name: kind for table, _ in tables for name, kind in table.left_out.items()},
            origins=Origins.of([(replace(table, rows=()), range(len(rows))) for table, rows in tables]),
            counts=[len(rows) for _, rows in tables],
            warnings=tuple(one for table, _ in tables for one in table.warnings)[:MOST_FINDINGS],
            remark=next((table.remark for table, _ in tables if table.remark), ""),
        )

    @classmethod
    def with_rows(cls, table: Table, rows: Iterable[Row], made_of: Sequence[int]) -> JoinedTable:
        """A table with further rows behind its own, each made of one of them."""
        joined = table if isinstance(table, JoinedTable) else cls.of([(table, table.rows)])
        return cls(
            file=table.file,
            columns=table.columns,
            rows=stored(chain(table.rows, rows)),
            left_out=table.left_out,
            origins=joined.origins.some(array("q", chain(range(len(table.rows)), made_of))),
            counts=joined.counts,
        )

    @classmethod
    def with_copies(cls, table: Table, numbers: Sequence[int]) -> JoinedTable:
        """A table with some of its rows once more."""
        return cls.with_rows(table, some_of(table.rows, numbers), numbers)

    def home_of(self, row: int) -> Home | None:
        """Where the file lies of the row that this one stands for."""
        table, number = self.origins.at(row)
        return table.home_of(number)

    @property
    def sources(self) -> tuple[Table, ...]:
        """The tables that were joined, in their order."""
        return self.origins.tables

    def span(self, row: int) -> Span | None:
        """The place of the row that this one stands for."""
        table, number = self.origins.at(row)
        return table.span(number)

    def where(self, row: int) -> str:
        """The name of the row that this one stands for."""
        table, number = self.origins.at(row)
        return table.where(number)

    def kept(self, rows: Sequence[int]) -> Table:
        """The table with some of its rows alone."""
        borders = [bisect_left(rows, end) for end in accumulate(self.counts, initial=0)]
        counts = [after - before for before, after in pairwise(borders)]
        return replace(self, rows=some_of(self.rows, rows), origins=self.origins.some(rows), counts=counts)


@dataclass(frozen=True, slots=True)
class PartRows:
    """Rows of one table that make up a part of the data.

    Attributes:
        table: Where they stand.
        numbers: Row number of each in the table, from 0, ascending.
    """

    table: Table
    numbers: Sequence[int]

    @classmethod
    def whole(cls, table: Table) -> PartRows:
        """All rows of a table."""
        return cls(table, range(len(table.rows)))

    @property
    def rows(self) -> Sequence[Row]:
        """The rows themselves, in the order of the table."""
        return some_of(self.table.rows, self.numbers)

    def place(self, number: int) -> str:
        """Name of the table's row of this number: `data/train.csv:18`."""
        return self.table.where(number)


def without_form(table: Table, column: str, span: Span | None, path: str) -> Diagnostic | None:
    """A finding where a column that is asked for was left out; None where the file has none of that name."""
    kind = table.left_out.get(column)
    if kind is None:
        return None
    text = " with text in it" if "binary" in kind else " with text, numbers or lists of these in it"
    return diagnostic(
        "FTC360",
        f"{table.file}: column `{column}` has the type `{kind}`, which is not text, a number or a list",
        span,
        help=f"name another column, or write the file again{text}",
        path=path,
    )


class Faults:
    """Collects what is wrong with one file: as many findings as anybody reads, and the number of all.

    Attributes:
        file: The file's name for people.
        last: Code of the latest fault; empty before the first.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.last = ""
        self._shown: list[Diagnostic] = []
        self._more = 0
        self._end: int | None = None

    @property
    def found(self) -> list[Diagnostic]:
        """The first findings, the last of which says how many there are in all where these are more."""
        if not self._more:
            return self._shown
        *others, last = self._shown
        end = "" if self._end is None else f"; reading stopped at line {self._end:,}"
        total = self._more + len(self._shown)
        words = f"{total:,} such faults in {self.file}, of which {len(self._shown)} are shown{end}"
        return [*others, replace(last, notes=(*last.notes, words), more=self._more)]

    def add(
        self,
        code: str,
        summary: str,
        line: int,
        column: int = 1,
        *,
        help: str | Iterable[str],
        notes: Iterable[str] = (),
        stops: bool = False,
    ) -> None:
        """Adds a fault at a place of the file, both counted from 1; `stops` where nothing behind it is read."""
        self.last = code
        if len(self._shown) >= MOST_FINDINGS:
            self._more += 1
            self._end = line if stops else None
            return
        span = Span(self.file, line, column, line, column + 1)
        notes = (*notes, *([_STOPPED] if stops else []))
        self._shown.append(diagnostic(code, summary, span, help=help, notes=notes, path="data.source"))


def masked_for(found: Iterable[str]) -> str:
    """What stands for a text in a message, by the rules that it matches. Messages end up in logs and pull requests."""
    return f"[masked: {', '.join(dict.fromkeys(found))}]"


def shown(value: object) -> str:
    """A value for a message: one line of at most 80 characters, escaped where nothing is seen; nothing of personal
    data and secrets.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if not isinstance(value, int | float) and (found := in_decoded(text[:_MOST_SEARCHED])):
        return masked_for(found)
    safe = masked(text[:_MOST_SEARCHED])
    quoted = json.dumps(safe, ensure_ascii=False) if isinstance(value, str) else safe
    quoted = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in quoted)
    return quoted if len(quoted) <= _SHOWN_CHARS else quoted[: _SHOWN_CHARS - 1] + "…"
