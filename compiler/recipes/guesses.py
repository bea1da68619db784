"""Which column plays which part, where nobody said: by its name, else by what it holds. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, assert_never

from ftc.compiler.quality.spellings import DIFFERENCES, variants
from ftc.compiler.resolve.rows.columns import likely_column
from ftc.compiler.resolve.rows.joined_labels import FEWEST_FLAGS, flag_columns, labels_in, list_in, separator_of
from ftc.compiler.resolve.rows.ratings import number_in, rating_of, with_point
from ftc.compiler.resolve.rows.row_digests import canonical_text
from ftc.compiler.resolve.rows.table import Row, Table
from ftc.spec.language.safe_repr import quoted
from ftc.spec.tasks import PARTS, TASKS
from ftc.spec.tasks.card import Sign, TaskSection

__all__ = ["KINDS", "USUAL", "Candidate", "guesses", "label_candidates", "likely_options", "likely_task", "with_commas"]

KINDS = {task.name(): task for task in TASKS}
"""Tasks that a starter can be for."""
USUAL = TASKS[0].name()
"""Where no rows tell the task."""

_ROWS_A_CLASS = 4
"""Fewest rows that a class has on average, for a column to look like labels."""
_MOST_READ = 5_000
"""Rows by which decimal commas are found."""
_FULL = 0.05
"""Share of empty values up to which a column counts as full."""
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?(?:[T ].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}(?: .*)?|\d{1,2}:\d\d(?::\d\d)?")
_NUMBER = re.compile(r"[+-]?\d+[.,]\d+")
_USUAL_LABEL = frozenset(
    "queue team department intent type kind tag reason outcome verdict stance emotion answer".split()
)
_SELDOM_LABEL = frozenset(
    "id priority status state severity language lang country region city gender customer user name author agent "
    "channel source date day month year time created updated received version page split fold".split()
)
_WORDS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A column that may hold labels.

    Attributes:
        column: Its name.
        values: Different values, those that differ by case or white space alone counted once.
        empty: Share of the rows in which it is empty.
        rank: Of two candidates the one with the lower rank is likelier.
    """

    column: str
    values: int
    empty: float
    rank: tuple[bool, int, int]

    @property
    def is_unusual(self) -> bool:
        """Whether its name is one that labels seldom have, such as `language`."""
        return self.rank[1] > 0

    @property
    def facts(self) -> str:
        """Such as `4 values, 26 % empty`."""
        return f"{self.values} values" + (f", {self.empty:.0%} empty".replace("%", " %") if self.empty >= 0.005 else "")


def likely_task(table: Table) -> str:
    """The task that rows are most likely for, by the names of columns that tell, and by whether they hold lists."""
    for task in sorted(TASKS, key=lambda task: task.CARD.guess_order):
        if any(all(_is_there(sign, task, table) for sign in signs) for signs in task.CARD.signs):
            return task.name()
    return USUAL


def likely_options(task: str, table: Table) -> tuple[dict[str, Any], str]:
    """Options of the task that the rows tell, such as `multi_label` where each label is a list; and why, for people."""
    section = KINDS[task]
    for one in section.CARD.guessed:
        evidence = [_is_there(sign, section, table) for sign in one.signs]
        if all(evidence):
            found = evidence[-1]
            words = ", ".join(map(quoted, [found] if isinstance(found, str) else found)) if one.why else ""
            options = {key: found if value is None else value for key, value in one.options.items()}
            return options, one.why.format(found=words)
    return {}, ""


def _is_there(sign: Sign, task: type[TaskSection], table: Table) -> Any:
    """What is found of a sign: true or false, or of parts and columns which these are."""
    match sign.by:
        case "name":
            columns = set(map(str.lower, table.columns))
            return bool(columns & set(sign.names or PARTS[sign.part].columns))
        case "list":
            column = likely_column(sign.part, table.columns)
            return column is not None and isinstance(table.rows[0].get(column), list)
        case "fractions":
            names = set(sign.names or PARTS[sign.part].columns)
            return any(column.lower() in names and _has_fractions(table.rows, column) for column in table.columns)
        case "ratings":
            column = likely_column(sign.part, table.columns)
            return column is not None and all(
                rating_of(row.get(column)) is not None for row in table.rows if not _is_empty(row.get(column))
            )
        case "lists":
            form = next(form for form in task.CARD.row_forms if sign.part in form)
            column = guesses(form, table).get(sign.part)
            return column is not None and all(_list(row.get(column)) is not None for row in table.rows)
        case "joined":
            column = guesses(task.CARD.row_forms[0], table).get(sign.part)
            return column and separator_of(Counter(_text(row.get(column)) for row in table.rows))
        case "flags":
            flags = flag_columns(table.rows, table.columns)
            others = [column for column in table.columns if column not in flags]
            likely = (one for one in label_candidates(table.rows, others) if not one.is_unusual)
            is_label = likely_column(sign.part, others) is not None or next(likely, None) is not None
            return () if is_label or len(flags) < FEWEST_FLAGS else flags
        case "content":
            return sign.part in guesses(task.CARD.row_forms[0], table)
        case _:
            assert_never(sign.by)


def _list(value: object) -> list[Any] | None:
    """A list, as it is or as text; None for anything else."""
    return value if isinstance(value, list) else list_in(value) if isinstance(value, str) else None


def _has_fractions(rows: Sequence[Row], column: str) -> bool:
    """Whether a column holds numbers alone, of which some aren't whole."""
    found = [number_in(row.get(column)) for row in rows if not _is_empty(row.get(column))]
    return bool(found) and None not in found and any(one is not None and not one.is_integer() for one in found)


def guesses(parts: Sequence[str], table: Table) -> dict[str, str]:
    """The column that most likely plays each part: by its name, else by what it holds.

    A column of the right name that is empty in most rows is no better than another.
    """
    found: dict[str, str] = {}
    half = max(1, len(table.rows)) / 2
    filled = [name for name in table.columns if sum(_is_empty(row.get(name)) for row in table.rows) < half]
    for guess in (likely_column, lambda part, columns: _by_content(table.rows, part, columns)):
        for part in sorted(parts, key=lambda part: part != "label"):  # a column of labels may look like texts
            free = [column for column in filled if column not in found.values()]
            if part not in found and (column := guess(part, free)):
                found[part] = column
    return found


def _by_content(rows: Sequence[Row], part: str, columns: Iterable[str]) -> str | None:
    """For a label the likeliest of those with few values, for a text the one with the longest; None for other parts.

    A prompt and its completion look alike, so no content tells which is which, and neither do other parts.
    """
    if part == "label":
        return next((one.column for one in label_candidates(rows, columns)), None)
    if part == "text":
        texts = [c for c in columns if all(isinstance(row.get(c), str | None) for row in rows)]
        return max(texts, key=lambda column: sum(len(row.get(column) or "") for row in rows), default=None)
    return None


def label_candidates(rows: Sequence[Row], columns: Iterable[str]) -> list[Candidate]:
    """Columns with few values, the likeliest first: full ones, then those that are called like labels."""
    found = []
    for column in columns:
        cells = [row.get(column) for row in rows if not _is_empty(row.get(column))]
        values, count = _labels(cells), len(cells)
        twins = sum(len(group) - 1 for group in variants(values, DIFFERENCES)) if len(values) < len(rows) / 2 else 0
        if not 2 <= len(values) - twins <= max(2, count // _ROWS_A_CLASS):
            continue
        if all(_DATE.fullmatch(value) or _NUMBER.fullmatch(value) for value in values):
            continue
        empty = 1 - count / len(rows)
        names = set(map(str.lower, _WORDS.findall(column)))
        known = -1 if names & {*_USUAL_LABEL, *PARTS["label"].columns} else 1 if names & _SELDOM_LABEL else 0
        kinds = len(values) - twins
        found.append(Candidate(column, kinds, empty, (empty > _FULL, known, kinds)))
    return sorted(found, key=lambda one: one.rank)


def with_commas(table: Table) -> tuple[str, ...]:
    """Columns of numbers alone, of which at least half have a decimal comma.

    Where every comma is before exactly three digits, as in `1,234`, it may as well be between thousands; and where
    commas divide the values of the file, `1,2` is rather a list.
    """
    if any(one.dialect is None or one.dialect.delimiter == "," for one in table.sources):
        return ()
    rows = list(islice(table.rows, _MOST_READ))

    def has_commas(column: str) -> bool:
        cells = [str(row.get(column)).strip() for row in rows if not _is_empty(row.get(column))]
        marked = [cell for cell in cells if "," in cell and with_point(cell) != cell]
        is_decimal = any(len(cell.rpartition(",")[2]) != 3 for cell in marked)
        is_number = (number_in(with_point(cell)) is not None for cell in cells)
        return is_decimal and 2 * len(marked) >= len(cells) and all(is_number)

    return tuple(filter(has_commas, table.columns))


def _labels(cells: Sequence[Any]) -> Counter[str]:
    """How often each value occurs; of cells that hold several, each of them."""
    if cells and None not in (lists := [_list(cell) for cell in cells]):
        return Counter(_text(one) for found in lists for one in found or ())
    values = Counter(map(_text, cells))
    separator = separator_of(values)
    if separator is None:
        return values
    each = Counter[str]()
    for cell, count in values.items():
        each.update(dict.fromkeys(map(_text, labels_in(cell, separator) or ()), count))
    return each


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical_text(value)


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
