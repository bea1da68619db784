"""From data files to the rows of each part: read, checked against the task, divided, and looked at for faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from ftc.compiler.resolve.columns import Columns, SpanOf, missing_columns, task_columns
from ftc.compiler.resolve.data_files import DataFile, DataFiles
from ftc.compiler.resolve.division import read_division
from ftc.compiler.resolve.rows import (
    check_values,
    example_digests,
    label_text,
    rows_digest,
    sorted_labels,
)
from ftc.compiler.resolve.splits import MEASURED, Part, divide, first_rows, num_copies
from ftc.compiler.resolve.table import PartRows, Table, shown
from ftc.compiler.resolve.tables import read_rows
from ftc.spec.data import Data
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity, Span, diagnostic
from ftc.spec.lock import SourceLock
from ftc.spec.plan import Check
from ftc.spec.streams import SPLITS
from ftc.spec.task import Classification, Task

__all__ = ["ResolvedData", "resolve_data"]

_MOST_EXAMPLES = 3
_PAIRS: tuple[tuple[Part, Part], ...] = (("test", "train"), ("validation", "train"), ("test", "validation"))


@dataclass(frozen=True, slots=True)
class ResolvedData:
    """Rows by part, ready for tokenising.

    Attributes:
        parts: Rows of `train`, `validation` and `test`, those that there are, with their places; labels are text.
        columns: What the task reads of a row.
        labels: Classes in the order of the head's outputs; empty for tasks without.
        sources: Lock entry of each file, by use.
        diagnostics: Warnings.
        checks: What was looked at, with its result.
    """

    parts: Mapping[Part, PartRows]
    columns: Columns
    labels: tuple[str, ...]
    sources: dict[str, SourceLock]
    diagnostics: tuple[Diagnostic, ...]
    checks: tuple[Check, ...]


def resolve_data(data: Data, task: Task, files: DataFiles, span_of: SpanOf) -> ResolvedData:
    """Reads all files and divides their rows.

    Raises:
        Refusal: A file, a column, a value or a part can't be used (FTC350 to FTC379); all independent ones are told.
    """
    tables = _read(files, span_of)
    columns = task_columns(task, data.fields, tables["rows"].columns)
    found: list[Diagnostic] = []
    for table in tables.values():
        found += [*missing_columns(columns, data, table, span_of), *check_values(columns, table)]
    _refuse(found)
    sources = {use: _lock_entry(file, tables[use]) for use, file in files.items()}
    labelled = columns.by_part.get("label") if isinstance(task, Classification) else None
    if labelled:
        _write_labels_as_text(tables.values(), labelled)
    parts, keys, notes = _divide(data, tables, columns, labelled, span_of)
    labels = _labels(task, parts, labelled)
    unlearnt = _unlearnt_labels(parts, labels, labelled, task)
    found = [*(_placed(finding, span_of) for finding in unlearnt), *_leaks(parts, keys, span_of)]
    _refuse(found)
    return ResolvedData(
        parts=parts,
        columns=columns,
        labels=labels,
        sources=sources,
        diagnostics=tuple(notes + found),
        checks=tuple(_checks(parts, keys, labelled)),
    )


def _read(files: DataFiles, span_of: SpanOf) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    found: list[Diagnostic] = []
    for use, file in files.items():
        place = _place(file, span_of)
        try:
            tables[use] = read_rows(file.path, file.shown_as, place)
        except Refusal as refusal:
            found += [finding if finding.span else replace(finding, span=place) for finding in refusal.diagnostics]
    _refuse(found)
    return tables


def _place(file: DataFile, span_of: SpanOf) -> Span | None:
    """Where the recipe names a file."""
    return span_of(f"{file.recipe_path}.{'path' if 'path' in file.asked else 'file'}")


def _refuse(found: Sequence[Diagnostic]) -> None:
    if any(finding.is_error for finding in found):
        raise Refusal(found)


def _write_labels_as_text(tables: Iterable[Table], column: str) -> None:
    for table in tables:
        for row in table.rows:
            row[column] = label_text(row[column])


def _divide(
    data: Data, tables: Mapping[str, Table], columns: Columns, labelled: str | None, span_of: SpanOf
) -> tuple[dict[Part, PartRows], dict[Part, list[bytes]], list[Diagnostic]]:
    """Rows and their content digests by part, and warnings."""
    rows = tables["rows"].rows
    keys = example_digests(rows, columns.used)
    by = read_division(data, tables["rows"], labelled, span_of)
    divided, found = divide(keys, data.split, by.strata, groups=by.groups, times=by.times)
    _refuse([_placed(finding, span_of) for finding in found])
    if data.max_rows is not None:
        divided["train"] = first_rows(divided["train"], keys, data.split.seed, data.max_rows)
    parts: dict[Part, PartRows] = {part: PartRows(tables["rows"], numbers) for part, numbers in divided.items()}
    digests: dict[Part, list[bytes]] = {part: [keys[row] for row in numbers] for part, numbers in divided.items()}
    for part in MEASURED:
        if part in tables:
            parts[part] = PartRows.whole(tables[part])
            digests[part] = example_digests(tables[part].rows, columns.used)
    ordered: dict[Part, PartRows] = {part: parts[part] for part in SPLITS if part in parts}
    return ordered, digests, [_copies(tables["rows"], count)] if (count := num_copies(keys)) else []


def _placed(found: Diagnostic, span_of: SpanOf) -> Diagnostic:
    place = span_of(found.path) if found.path else None
    return found if found.span else replace(found, span=place)


def _copies(table: Table, count: int) -> Diagnostic:
    return diagnostic(
        "FTC373",
        f"{count:,} of {len(table.rows):,} rows are copies of another row",
        notes="copies stay in the same part, so none is trained on and measured",
        help="delete them, unless they are meant to weigh more",
        path="data.source",
    )


def _labels(task: Task, parts: Mapping[Part, PartRows], labelled: str | None) -> tuple[str, ...]:
    if not labelled:
        return ()
    declared = cast("Classification", task).labels
    return declared or sorted_labels(row[labelled] for row in parts["train"].rows)


def _unlearnt_labels(
    parts: Mapping[Part, PartRows], labels: Sequence[str], labelled: str | None, task: Task
) -> Iterator[Diagnostic]:
    """Labels that the head can't give, and classes with nothing to learn from."""
    if not labelled:
        return
    known = frozenset(labels)
    for part, found in parts.items():
        unknown = Counter(row[labelled] for row in found.rows if row[labelled] not in known)
        if unknown:
            words = ", ".join(f"`{name[:64]}` ({count})" for name, count in unknown.most_common(5))
            declared = isinstance(task, Classification) and bool(task.labels)
            lacking = "`task.labels` lacks" if declared else "the training rows lack"
            yield diagnostic(
                "FTC372",
                f"the {part} rows have labels that {lacking}",
                notes=words,
                help=f"add {'them to `task.labels`' if declared else 'training rows for them'}, or take these rows out",
                path=f"data.split.{part}" if part in MEASURED else "data.source",
            )
    if absent := known - {row[labelled] for row in parts["train"].rows}:
        names = ", ".join(f"`{name[:64]}`" for name in sorted(absent)[:5])
        yield diagnostic(
            "FTC375",
            f"{len(absent):,} of {len(labels):,} classes have no training row: {names}",
            help="add training rows for them, or take them out of `task.labels`",
            path="task.labels",
        )
    if len(labels) < 2:
        yield diagnostic(
            "FTC374",
            f"all training rows have the label `{labels[0]}`" if labels else "no training row has a label",
            help="a classification needs at least two classes",
            path="data.fields",
        )


def _leaks(
    parts: Mapping[Part, PartRows], keys: Mapping[Part, Sequence[bytes]], span_of: SpanOf
) -> Iterator[Diagnostic]:
    """Rows that stand in two parts: only files of their own can bring them, a division never does."""
    for part, other in _PAIRS:
        others = set(keys.get(other, ()))
        known = zip(parts[part].numbers, keys[part], strict=True) if part in parts else ()
        both = [number for number, key in known if key in others]
        if both:
            yield _leak(part, other, both, parts[part], span_of)


def _leak(part: Part, other: Part, both: Sequence[int], found: PartRows, span_of: SpanOf) -> Diagnostic:
    """An error where rows are trained on and measured; a warning between validation and test."""
    verb = "are trained on as well" if other == "train" else f"stand in {other} as well"
    path = f"data.split.{part}"
    return diagnostic(
        "FTC370",
        f"{len(both):,} of {len(found.numbers):,} {part} rows {verb}",
        span_of(path),
        notes=[f"{found.place(number)}: {shown(found.table.rows[number])}" for number in both[:_MOST_EXAMPLES]],
        help=f"take them out of {other} or out of {part}",
        path=path,
        severity=None if other == "train" else Severity.WARNING,
    )


def _lock_entry(file: DataFile, table: Table) -> SourceLock:
    return SourceLock(
        asked=file.asked,
        commit=file.commit,
        file=file.facts,
        rows=len(table.rows),
        rows_sha256=rows_digest(table.rows),
    )


def _checks(
    parts: Mapping[Part, PartRows], keys: Mapping[Part, Sequence[bytes]], labelled: str | None
) -> Iterator[Check]:
    if any(part in parts for part in MEASURED):
        yield Check(name="overlap", code=None, result="no row is both trained on and measured (compared exactly)")
    if labelled:
        for part, found in parts.items():
            counts = Counter(row[labelled] for row in found.rows)
            words = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())[:20])
            yield Check(name=f"labels of {part}", code=None, result=words)
    copies = {part: num_copies(keys[part]) for part in parts}
    yield Check(name="copies", code=None, result=", ".join(f"{part} {count}" for part, count in copies.items()))
