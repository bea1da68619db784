"""What the recipe allows to be tidied before rows are checked: empty rows left out, labels in one spelling.

Nothing is tidied in silence: a finding or a check names the rows, and the lock counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from ftc.compiler.quality.spellings import separating, slips, spellings, variants
from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.labels import Labeled
from ftc.compiler.resolve.rows.row_checks import EMPTY, value_faults
from ftc.compiler.resolve.rows.row_store import Row, rewrite
from ftc.compiler.resolve.rows.table import Table
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.language.safe_repr import label_name, quoted
from ftc.spec.language.text_checks import hidden_in
from ftc.spec.row_names import row_list
from ftc.spec.sections.data import Data, Difference
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import ANSWER_COLUMN, LabelRows

__all__ = ["EmptyRows", "hidden_characters", "normalize_labels", "respell", "spelling_findings"]

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
        empty: set[int] = set()
        for column, faults in value_faults(self._task, columns, table):
            rows = sorted({row for (code, _), found in faults.items() if code == EMPTY for row in found})
            if rows and len(rows) < len(table.rows):
                self._by_column.setdefault(column, []).extend(table.where(row) for row in rows)
                empty.update(rows)
        if len(empty) == len(table.rows):
            return table
        self._read += len(table.rows)
        self.count[use] += len(empty)
        return table.kept([row for row in range(len(table.rows)) if row not in empty]) if empty else table

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
        rewrite(table.rows, change)


def spelling_findings(task: Task, labeled: Labeled, tables: Collection[Table]) -> Iterator[Diagnostic]:
    """Labels that are probably one class, with counts and rows."""
    rows: dict[str, list[str]] = {}
    for table in tables:
        for number, row in enumerate(table.rows):
            for label in labeled.of(row[labeled.column]):
                rows.setdefault(label, []).append(table.where(number))
    counts = {label: len(names) for label, names in rows.items()}

    def told(label: str, most: int) -> str:
        return f"{label_name(label, quoted=True)} {counts[label]:,} ({row_list(rows[label][:most], counts[label])})"

    if groups := variants(counts):
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
    if found := {label: near for label, near in slips(counts).items() if not any(label in group for group in groups)}:
        yield diagnostic(
            "FTC395",
            f"{len(found):,} class{' of one row is' if len(found) == 1 else 'es of one row are'} almost spelled like a "
            "larger one",
            notes=[f"{told(label, 1)}, beside {told(near, 1)}" for label, near in list(found.items())[:_SHOWN]],
            help="correct the label in the file, or leave it if it is meant",
            path="data.fields",
            rows=[rows[label][0] for label in found],
        )


def hidden_characters(labeled: Labeled | None, tables: Collection[Table]) -> Iterator[Diagnostic]:
    """Warnings about columns, and labels, whose names hold what an editor hides (FTC369), with their first row."""
    for table in tables:
        for column in table.columns:
            if hidden := hidden_in(column):
                yield _hidden(f"{table.file}: the name of column {quoted(column)} holds {hidden}", ())
        rows: dict[str, list[int]] = {}
        for number, row in enumerate(table.rows if labeled else ()):
            for label in labeled.of(row[labeled.column]) if labeled else ():
                rows.setdefault(label, []).append(number)
        for label in sorted(rows)[:_MOST_LABELS]:
            if hidden := hidden_in(label):
                names = [table.where(number) for number in rows[label]]
                listed = row_list(names[:_SHOWN], len(names))
                yield _hidden(f"the label {quoted(label)} holds {hidden}, in {len(names):,} rows", [listed])


_MOST_LABELS = 1000


def _hidden(summary: str, notes: Sequence[str]) -> Diagnostic:
    help = "write it in plain letters and spaces, or leave it if it is meant"
    return diagnostic("FTC369", summary, help=help, notes=notes, path="data.fields")


_WORDS: dict[Difference, str] = {"case": "case", "space": "white space", "unicode": "Unicode form"}
