"""Names of classes in place of their numbers: from what `datasets` writes into a file, or a data set's card says.

A card says it of a column as a whole. Names may be digits themselves, so that a column is understood from all of its
values: what could be names or numbers stays as it is, with a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ftc.compiler.resolve.rows.row_store import AS_IT_IS, Row, rewrite
from ftc.compiler.resolve.rows.table import Table, shown
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.language.safe_repr import label_name, quoted

__all__ = ["Described", "class_names", "name_classes", "named", "names_by_column", "unnamed_classes"]

_DEEPEST_LIST = 4
_SHOWN = 5
_NUMBER = re.compile(r"-?[0-9]{1,9}")


class Described(NamedTuple):
    """The rows of a source, and what the card of its data set says of them.

    Attributes:
        table: The rows.
        repository: Id of the data set; all of its files are understood alike.
        names: Names of the classes by column, in the order of their numbers.
        path: Dotted path of the source in the recipe.
    """

    table: Table
    repository: str
    names: Mapping[str, tuple[str, ...]]
    path: str


@dataclass(frozen=True, slots=True)
class _Values:
    """What a column of one data set holds, in all of its files.

    Attributes:
        names: Names of the classes.
        is_text: Whether numbers are text as all else is, as in CSV files.
        first: The first value of each kind, with the source and the row that it is in. Kinds are `number`: one of a
            class; `digits`: the same as text; `either`: such digits that are the name of another class; `name`: a name
            and no number of a class; `other`: none of these.
    """

    names: tuple[str, ...]
    is_text: bool
    first: dict[str, tuple[Any, Described, int]] = field(default_factory=dict)

    def add(self, value: Any, source: Described, row: int) -> set[str]:
        """Takes note of a value, or of those in a list, and gives their kinds."""
        kinds = {kind: one for one in _flat(value) if (kind := self._kind(one))}
        for kind, one in kinds.items():
            self.first.setdefault(kind, (one, source, row))
        return {*kinds}

    def _kind(self, value: Any) -> str:
        """The kind of a value; none of one that is empty, or that is the name of its own number."""
        if _is_empty(value):
            return ""
        if not isinstance(value, str):
            return "other" if named(value, self.names) == value else "number"
        number = int(value) if _NUMBER.fullmatch(value) else None
        meant = value if number is None else named(number, self.names)
        if number is None or meant == number:
            return "name" if value in self.names else "other"
        return "" if meant == value else "either" if value in self.names else "digits"

    @property
    def reads_digits(self) -> bool:
        """Whether texts of digits are numbers of classes: where all of them can be, and one can be nothing else."""
        return "digits" in self.first

    def fault(self) -> tuple[str, str] | None:
        """Why the column stays as it is, in words that complete "column `x` …", and the kind that shows it."""
        if "other" in self.first:
            return "has values that are neither names nor numbers of the classes in the data set's card", "other"
        if self.reads_digits and "name" in self.first:
            return "has names of classes beside numbers of classes", "digits"
        if self.is_text and self.first.keys() == {"either"}:
            return "has only values that are a class's name and another class's number", "either"
        return None

    def finding(self, column: str, words: str, kind: str) -> Diagnostic:
        """The warning that the column stays as it is."""
        value, source, row = self.first[kind]
        return diagnostic(
            "FTC490",
            f"column {quoted(column)} {words}; it stays as it is",
            notes=[
                f"{source.table.where(row)} contains {shown(value)}",
                f"the card of {quoted(source.repository)} has {_listed(self.names)}",
            ],
            help="check the labels in the plan; where they are wrong, download the file, write the names of the "
            "classes into it, and name it as `source: {path: …}`",
            path=f"{source.path}.hub",
        )


def name_classes(sources: Sequence[Described]) -> tuple[tuple[Check, ...], tuple[Diagnostic, ...]]:
    """Writes names of classes for numbers, in place.

    Returns:
        A line for the plan on each column that got some, and a warning for each that can't be understood (FTC490).
    """
    groups: dict[tuple[str, str, tuple[str, ...], bool], _Values] = {}
    by_source = [(source, *_classes_in(source, groups)) for source in sources]
    checks: list[Check] = []
    for source, columns, kinds in by_source:
        changed = {name: values for name, values in columns.items() if _is_changed(values, kinds[name])}
        _write(source.table, changed)
        for name, values in changed.items():
            words = f"{source.table.file}: {quoted(name)} by the data set's card: {_listed(values.names)}"
            checks.append(Check(name="class names", code=None, result=words))
    faults = [(column, values, values.fault()) for (_, column, _, _), values in groups.items()]
    return tuple(checks), tuple(values.finding(column, *fault) for column, values, fault in faults if fault)


def unnamed_classes(table: Table, asked: Mapping[str, Any], used: Collection[str], path: str) -> Iterator[Diagnostic]:
    """Columns that may hold classes as numbers, of a data set whose card isn't here to say so (FTC318).

    Args:
        table: The rows.
        asked: The source as the recipe has it.
        used: Columns that the task reads.
        path: Dotted path of the source in the recipe.
    """
    for column in sorted({*used, *(asked.get("fields") or {}).values()} & {*table.columns}):
        first = _first_number(one for row in table.rows for one in _flat(row.get(column)))
        if first is None:
            continue
        repository = quoted(str(asked["hub"]))
        yield diagnostic(
            "FTC318",
            f"nothing in the hub's cache says which classes the numbers of {quoted(column)} are",
            notes=[
                f"the values of {table.file} are such as {shown(first)}",
                f"`README.md` or `dataset_infos.json` of {repository} may name them; not both are known to be absent",
            ],
            help=[
                "run once with a network; where there is a lock, by `ftc lock --upgrade`",
                "or download the file and name it as `source: {path: …}`: its numbers are then classes themselves",
            ],
            path=f"{path}.hub",
        )


def _first_number(values: Iterable[Any]) -> int | str | None:
    """The first value of a column that a card may name a class by; None where the column is the same by every card.

    It follows `_Values`: a number of JSON is one beside texts too, a text only where all texts are numbers.
    """
    number = digits = None
    are_digits = True
    for value in values:
        if _is_empty(value):
            continue
        if isinstance(value, str):
            are_digits = are_digits and _NUMBER.fullmatch(value) is not None and int(value) >= -1
            digits = value if digits is None else digits
        elif isinstance(value, int) and not isinstance(value, bool) and value >= -1:
            number = value if number is None else number
        else:
            return None  # neither a name nor a number of any card
    return number if number is not None else digits if are_digits else None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _classes_in(
    source: Described, groups: dict[tuple[str, str, tuple[str, ...], bool], _Values]
) -> tuple[dict[str, _Values], dict[str, set[str]]]:
    """The columns with classes of one source, and the kinds of values that each holds there."""
    table = source.table
    is_text = any(one.dialect for one in table.sources)
    columns = {
        name: groups.setdefault((source.repository, name, names, is_text), _Values(names, is_text))
        for name, names in source.names.items()
        if name in table.columns
    }
    kinds: dict[str, set[str]] = {name: set() for name in columns}
    for number, row in enumerate(table.rows if columns else ()):
        for name, values in columns.items():
            kinds[name] |= values.add(row.get(name), source, number)
    return columns, kinds


def _is_changed(values: _Values, kinds: set[str]) -> bool:
    numbers = {"number", "digits", "either"} if values.reads_digits else {"number"}
    return values.fault() is None and not kinds.isdisjoint(numbers)


def _write(table: Table, columns: Mapping[str, _Values]) -> None:
    """Names in place of numbers in these columns."""

    def change(row: Row) -> object:
        after = {name: _named_text(row.get(name), values) for name, values in columns.items() if name in row}
        if all(row[name] == value for name, value in after.items()):
            return AS_IT_IS
        row.update(after)
        return None

    if columns:
        rewrite(table.rows, change, apart=True)


def _named_text(value: Any, values: _Values) -> Any:
    """Numbers of classes as their names, those that are text too where digits are read as numbers."""
    if isinstance(value, list):
        return [_named_text(item, values) for item in value]
    if isinstance(value, str) and values.reads_digits and _NUMBER.fullmatch(value):
        return named(int(value), values.names)
    return named(value, values.names)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(label_name, names[:_SHOWN])) + more


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Names of the classes that columns hold as numbers, from what `datasets` writes into a file's schema.

    A column's classes are its own, or those of a list of any depth.
    """
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return names_by_column(features)


def names_by_column(features: Any) -> dict[str, list[str]]:
    """Names of the classes that columns hold as numbers, by the features of `datasets` as JSON has them."""
    found = {str(name): _names_in(feature) for name, feature in features.items()} if isinstance(features, dict) else {}
    return {name: names for name, names in found.items() if names}


def _names_in(feature: Any) -> list[str]:
    for _ in range(_DEEPEST_LIST):
        if not isinstance(feature, dict):
            return []
        if feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
        feature = feature.get("feature")
    return []


def named(value: Any, names: Sequence[str]) -> Any:
    """Numbers of classes as their names, text as it is; -1 is the usual mark of a row without a label."""
    if isinstance(value, list):
        return [named(item, names) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and -1 <= value < len(names):
        return names[value] if value >= 0 else None
    return value
