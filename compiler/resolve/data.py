"""From data files to the rows of each part: read, checked against the task, divided, and looked at for faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ftc.compiler.quality.findings import quality_findings
from ftc.compiler.quality.likeness import Likeness, find_likeness
from ftc.compiler.quality.report import Divided, quality_report
from ftc.compiler.quality.texts import row_text
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
from ftc.compiler.resolve.table import PartRows, Table
from ftc.compiler.resolve.tables import read_rows
from ftc.spec.data import Data
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.lock import SourceLock
from ftc.spec.quality import QualityReport
from ftc.spec.streams import SPLITS
from ftc.spec.task import Classification, Task

__all__ = ["ResolvedData", "resolve_data"]


@dataclass(frozen=True, slots=True)
class ResolvedData:
    """Rows by part, ready for tokenising.

    Attributes:
        parts: Rows of `train`, `validation` and `test`, those that there are, with their places; labels are text.
        columns: What the task reads of a row.
        labels: Classes in the order of the head's outputs; empty for tasks without.
        sources: Lock entry of each file, by use.
        quality: What was found in the rows.
        diagnostics: Warnings.
    """

    parts: Mapping[Part, PartRows]
    columns: Columns
    labels: tuple[str, ...]
    sources: dict[str, SourceLock]
    quality: QualityReport
    diagnostics: tuple[Diagnostic, ...]


def resolve_data(data: Data, task: Task, files: DataFiles, span_of: SpanOf) -> ResolvedData:
    """Reads all files and divides their rows.

    Raises:
        Refusal: A file, a column, a value or a part can't be used (FTC350 to FTC388); all independent ones are told.
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
    texts = {use: [row_text(row, columns) for row in table.rows] for use, table in tables.items()}
    likeness = find_likeness(texts, data.quality.similarity)
    parts, notes = _divide(data, tables, columns, labelled, texts, likeness, span_of)
    rows: dict[Part, PartRows] = {part: divided.rows for part, divided in parts.items()}
    labels = _labels(task, rows, labelled)
    quality = quality_report(parts, data.quality, likeness, labelled, tables["rows"])
    unlearnt = [_placed(finding, span_of) for finding in _unlearnt_labels(rows, labels, labelled, task)]
    _refuse(unlearnt)
    found = [*unlearnt, *(_placed(finding, span_of) for finding in quality_findings(quality, data.quality))]
    _refuse(found)
    return ResolvedData(
        parts=rows,
        columns=columns,
        labels=labels,
        sources=sources,
        quality=quality,
        diagnostics=tuple(notes + found),
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
    data: Data,
    tables: Mapping[str, Table],
    columns: Columns,
    labelled: str | None,
    texts: Mapping[str, Sequence[str]],
    likeness: Likeness,
    span_of: SpanOf,
) -> tuple[dict[Part, Divided], list[Diagnostic]]:
    """Rows by part with what they are compared by, and warnings."""
    keys = {use: example_digests(table.rows, columns.used) for use, table in tables.items()}
    by = read_division(data, tables["rows"], labelled, span_of)
    alike = likeness.cluster["rows"] if data.split.together == "alike" else None
    numbers: dict[Part, Sequence[int]] = {}
    divided, found = divide(keys["rows"], data.split, by.strata, groups=by.groups, times=by.times, alike=alike)
    numbers.update(divided)
    _refuse([_placed(finding, span_of) for finding in found])
    if data.max_rows is not None:
        numbers["train"] = first_rows(numbers["train"], keys["rows"], data.split.seed, data.max_rows)
    numbers |= {part: range(len(tables[part].rows)) for part in MEASURED if part in tables}

    def part_of(part: Part) -> Divided:
        use = part if part in tables else "rows"
        compared: tuple[Sequence[Any], ...] = (texts[use], keys[use], likeness.normal[use], likeness.cluster[use])
        picked = ([values[row] for row in numbers[part]] for values in compared)
        return Divided(PartRows(tables[use], numbers[part]), *picked)

    parts = {part: part_of(part) for part in SPLITS if part in numbers}
    return parts, [_copies(tables["rows"], count)] if (count := num_copies(keys["rows"])) else []


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


def _lock_entry(file: DataFile, table: Table) -> SourceLock:
    return SourceLock(
        asked=file.asked,
        commit=file.commit,
        file=file.facts,
        rows=len(table.rows),
        rows_sha256=rows_digest(table.rows),
    )
