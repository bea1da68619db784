"""What the recipe allows to be tidied before rows are checked: empty rows left out, labels in one spelling.

Nothing is tidied in silence: a finding or a check names the rows, and the lock counts them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ftc.compiler.quality.spellings import separating, slips, spellings, variants
from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.in_processes import found_in
from ftc.compiler.resolve.rows.joined_labels import joined_cells
from ftc.compiler.resolve.rows.labels import Labeled
from ftc.compiler.resolve.rows.row_checks import EMPTY, value_faults
from ftc.compiler.resolve.rows.row_store import Row, rewrite
from ftc.compiler.resolve.rows.table import Table, shown
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.language.safe_repr import label_name, quoted
from ftc.spec.language.text_checks import hidden_in
from ftc.spec.row_names import row_list
from ftc.spec.sections.data import Data, Difference
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import ANSWER_COLUMN, LabelRows

__all__ = [
    "EmptyRows",
    "hidden_characters",
    "joined_findings",
    "missing_looking",
    "normalize_labels",
    "respell",
    "spelling_findings",
]

_SHOWN = 5


class EmptyRows:
    """Leaves rows out in which a part that the task can't do without is empty, where the recipe says so.

    Args:
        data: The recipe's section; `empty` decides.
        task: What the rows are for.
    """

    def __init__(self, data: Data, task: Task) -> None:
        self._drops, self._task = data.empty == "drop", task
        self._read = 0
        self._by_column: dict[str, list[str]] = {}
        self.count: Counter[str] = Counter()
        """Rows that were left out, by use of the file."""

    @property
    def columns(self) -> list[str]:
        """Columns that were empty in some row."""
        return list(self._by_column)

    def without(self, use: str, columns: Columns, table: Table) -> Table:
        """The table without its empty rows. Where all are empty it stays as it is, and the checks of values tell."""
        if not self._drops:
            return table
        is_empty = np.zeros(len(table.rows), np.bool_)
        for column, faults in value_faults(self._task, columns, table):
            rows = sorted({row for (code, _), found in faults.items() if code == EMPTY for row in found})
            if rows and len(rows) < len(table.rows):
                self._by_column.setdefault(column, []).extend(table.where(row) for row in rows)
                is_empty[rows] = True
        if is_empty.all():
            return table
        self._read += len(table.rows)
        self.count[use] += int(is_empty.sum())
        return table.kept(array("q", np.flatnonzero(~is_empty).tobytes())) if is_empty.any() else table

    def findings(self) -> Iterator[Diagnostic]:
        """What was left out, with the name of every row."""
        if count := self.count.total():
            yield diagnostic(
                "FTC393",
                f"{count:,} of {self._read:,} rows are left out, since a part of them is empty",
                notes=[
                    f"column `{column}` is empty in {len(names):,}: {row_list(names[:_SHOWN], len(names))}"
                    for column, names in self._by_column.items()
                ],
                help="`empty: error` stops at such rows",
                path="data.empty",
                rows=dict.fromkeys(name for names in self._by_column.values() for name in names),
            )


def normalize_labels(
    task: Task, labeled: Labeled, tables: Collection[Table], ignored: Sequence[Difference]
) -> tuple[Check, ...]:
    """Writes each label in its one spelling, in place, and tells which were written otherwise.

    Labels must be text already. Tags of words are left as they are: they are part of a scheme.
    """
    if not ignored or not isinstance(task.rows(), LabelRows):
        return ()
    counts = sum((labeled.count(table.rows) for table in tables), Counter[str]())
    found = spellings(counts, ignored, labeled.declared or ())
    respell(labeled, tables, found)
    words = [f"{label_name(label, quoted=True)} {counts[label]:,} as {label_name(found[label])}" for label in found]
    more = f" and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    return (Check(name="label spellings", code=None, result=f"{', '.join(words[:_SHOWN])}{more}"),) if words else ()


def respell(labeled: Labeled, tables: Collection[Table], found: Mapping[str, str]) -> None:
    """Writes labels by another name, in place, and with them the answers that a model learns to write."""

    def change(row: Row) -> None:
        value = row[labeled.column]
        row[labeled.column] = found.get(value, value) if labeled.is_single else [found.get(one, one) for one in value]
        if ANSWER_COLUMN in row:
            row[ANSWER_COLUMN] = row[labeled.column]

    for table in tables if found else ():
        rewrite(table.rows, change, apart=True)


def joined_findings(task: Task, labeled: Labeled, counts: Counter[str]) -> Iterator[Diagnostic]:
    """A warning where cells of a task of one label a row hold several."""
    if not isinstance(task.rows(), LabelRows) or not labeled.is_single:
        return
    joined, separator = joined_cells(counts)
    if not joined:
        return
    most = sorted(joined, key=lambda cell: (-counts[cell], cell))[:_SHOWN]
    listed = ", ".join(f"{label_name(cell, quoted=True)} {counts[cell]:,}" for cell in most)
    section = task.written_for("lists") if separator is None else task.written_for("joined", separator)
    yield diagnostic(
        "FTC489",
        f"column `{labeled.column}` seems to hold several labels a row, and each combination counts as a class",
        help=[
            *([f"write `{section}`, so that a row has any number of labels"] if section else []),
            "keep it, if each is one class",
        ],
        notes=f"{sum(counts[cell] for cell in joined):,} of {counts.total():,} rows: {listed}"
        + (" and others" if len(joined) > _SHOWN else ""),
        path="data.fields",
    )


def spelling_findings(
    task: Task, labeled: Labeled, tables: Collection[Table], counts: Counter[str]
) -> Iterator[Diagnostic]:
    """Labels that are probably one class, with counts and rows."""
    groups, slipped = variants(counts), slips(counts)
    rows = _rows_of({*(one for group in groups for one in group), *slipped, *slipped.values()}, labeled, tables)

    def told(label: str, most: int) -> str:
        listed = row_list([*islice(rows[label], most)], counts[label])
        return f"{label_name(label, quoted=True)} {counts[label]:,} ({listed})"

    if groups:
        kinds = separating(groups)
        others = [label for group in groups for label in group[1:]]
        fixes = isinstance(task.rows(), LabelRows)
        summary = f"{len(others):,} label{' differs' if len(others) == 1 else 's differ'} from another one only by"
        yield diagnostic(
            "FTC394",
            f"{summary} {' or '.join(_WORDS[kind] for kind in kinds)}",
            notes=[
                ", ".join(told(label, 3 if number else 1) for number, label in enumerate(group))
                for group in groups[:_SHOWN]
            ],
            help=f"make them one class: `data: {{labels: {{normalize: [{', '.join(kinds)}]}}}}`, or spell them the same"
            if fixes
            else "spell them the same in the file",
            path="data.fields",
            rows=[name for label in others for name in rows[label]],
            remedy=[("data.labels.normalize", f"[{', '.join(kinds)}]")] if fixes else (),
        )
    if found := {label: near for label, near in slipped.items() if not any(label in group for group in groups)}:
        yield diagnostic(
            "FTC395",
            f"{len(found):,} class{' of one row is' if len(found) == 1 else 'es of one row are'} almost spelled like a "
            "larger one",
            notes=[f"{told(label, 1)}, beside {told(near, 1)}" for label, near in list(found.items())[:_SHOWN]],
            help="correct the label in the file, or leave it if it is meant",
            path="data.fields",
            rows=[next(iter(rows[label])) for label in found],
        )


@dataclass(frozen=True, slots=True)
class _Named:
    """Rows of tables, named when they are asked for."""

    of: list[tuple[Table, array[int]]]

    def __iter__(self) -> Iterator[str]:
        return (table.where(number) for table, numbers in self.of for number in numbers)


def _rows_of(labels: Collection[str], labeled: Labeled, tables: Collection[Table]) -> dict[str, _Named]:
    """Where each of some labels stands; as often in a row as it has it."""
    found: dict[str, _Named] = {label: _Named([]) for label in labels}

    def look(row: Row) -> list[str] | None:
        return [one for one in labeled.of(row[labeled.column]) if one in found] or None

    for table in tables if found else ():
        numbers: dict[str, array[int]] = {label: array("q") for label in labels}
        for number, some in found_in(table.rows, look):
            for label in some:
                numbers[label].append(number)
        for label, its in numbers.items():
            found[label].of.append((table, its))
    return found


def hidden_characters(labeled: Labeled | None, tables: Collection[Table]) -> Iterator[Diagnostic]:
    """Warnings about columns, and labels, whose names hold what an editor hides (FTC369), with their first row."""
    for table in tables:
        for column in table.columns:
            if hidden := hidden_in(column):
                yield _hidden(f"{table.file}: the name of column {quoted(column)} holds {hidden}", ())
        counts = labeled.count(table.rows) if labeled else Counter[str]()
        odd = {label: hidden for label in sorted(counts)[:_MOST_LABELS] if (hidden := hidden_in(label))}
        rows = _rows_of(odd, labeled, [table]) if labeled and odd else {}
        for label, hidden in odd.items():
            listed = row_list([*islice(rows[label], _SHOWN)], counts[label])
            yield _hidden(f"the label {quoted(label)} holds {hidden}, in {counts[label]:,} rows", [listed])


_MOST_LABELS = 1000


def _hidden(summary: str, notes: Sequence[str]) -> Diagnostic:
    help = "write it in plain letters and spaces, or leave it if it is meant"
    return diagnostic("FTC369", summary, help=help, notes=notes, path="data.fields")


_WORDS: dict[Difference, str] = {"case": "case", "space": "white space", "unicode": "Unicode form"}


_MARKS = frozenset("nan NaN NAN <NA> NaT None null NULL #N/A #NA #NAME? #NULL! #NUM! #REF! #VALUE! #DIV/0!".split())
"""What data frames, databases, Python and spreadsheets write where there is nothing, or where a formula failed."""
_PARTS = ("text", "label")
"""Parts of tasks in which such a word is hardly ever meant; an answer may well be `null`."""


def missing_looking(table: Table, columns: Columns, meant: Collection[str]) -> Iterator[Diagnostic]:
    """A warning for each column that holds such marks; `meant` are labels that the recipe names."""
    names = [columns.by_part[part] for part in _PARTS if part in columns.by_part]

    def look(row: Row) -> dict[str, str] | None:
        values = ((name, row.get(name)) for name in names)
        is_mark = ((name, one) for name, one in values if isinstance(one, str) and one.strip() in _MARKS)
        return {name: one for name, one in is_mark if one not in meant} or None

    rows_by_column: dict[str, array[int]] = {name: array("q") for name in names}
    marks_by_column: dict[str, set[str]] = {name: set() for name in names}
    for number, found in found_in(table.rows, look) if names else ():
        for name, mark in found.items():
            rows_by_column[name].append(number)
            marks_by_column[name].add(mark)
    for column, rows in rows_by_column.items():
        if rows:
            marks = ", ".join(shown(mark) for mark in sorted(marks_by_column[column])[:5])
            yield diagnostic(
                "FTC368",
                f"column `{column}` contains a mark for a missing value in {len(rows):,} of {len(table.rows):,} rows",
                table.span(rows[0]),
                help="remove the rows, or fill them in; if it is a class, add it to `task.labels`",
                notes=[f"{table.places(rows)}: {marks}"],
                path="data.source",
            )
