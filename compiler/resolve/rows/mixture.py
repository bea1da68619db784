"""Several sources as one table: columns under one name, a part of each source in every part, and rows by weight. Pure.

A weighted epoch is drawn once, by the split's seed: source i gives its weight's share of the epoch's rows, the first in
the seeded order. It ends when a source has no new row left, or, with `stopping_strategy: all_exhausted`, when all rows
of all sources were seen; smaller sources then begin again.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ftc.compiler.resolve.rows.canonical_rows import write_canonical
from ftc.compiler.resolve.rows.cleaning import EmptyRows
from ftc.compiler.resolve.rows.columns import missing_columns, task_columns
from ftc.compiler.resolve.rows.division import Division, interned
from ftc.compiler.resolve.rows.prompt_columns import prompt_columns
from ftc.compiler.resolve.rows.reading import SpanOf
from ftc.compiler.resolve.rows.row_checks import check_values
from ftc.compiler.resolve.rows.row_digests import example_digests
from ftc.compiler.resolve.rows.row_store import Row, stored
from ftc.compiler.resolve.rows.seeded_order import seeded_order
from ftc.compiler.resolve.rows.splits import Part, divide
from ftc.compiler.resolve.rows.table import JoinedTable, PartRows, Table
from ftc.spec.diagnostics import Diagnostic, Refusal, Severity, Span, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.sections.data import Data, MixedHub, MixedPath
from ftc.spec.tasks import Task

__all__ = ["Mixture", "divide_sources", "draw_epoch", "join_sources", "sources_of"]


class Mixture(NamedTuple):
    """What sources give to an epoch.

    Attributes:
        files: What each is called.
        drawn: Rows of each.
        given: Training rows of each, from which they are drawn.
    """

    files: tuple[str, ...]
    drawn: Sequence[int]
    given: Sequence[int]

    def check(self, left_out: Sequence[int]) -> Check:
        """The plan's line on what is trained on, without so many rows of each that are left out once they are drawn."""
        trained = [drawn - left for drawn, left in zip(self.drawn, left_out, strict=True)]
        total = max(1, sum(trained))
        words = (
            f"{file} {count:,}{'' if count == rows else f' of {rows:,}'} rows ({count / total:.1%}"
            f"{f', {left:,} left out' if left else ''})"
            for file, count, rows, left in zip(self.files, trained, self.given, left_out, strict=True)
        )
        return Check(name="mixture", code=None, result=", ".join(words))


def sources_of(data: Data) -> tuple[MixedPath | MixedHub, ...]:
    """The sources of a recipe that mixes several; none where there is one."""
    return data.source if isinstance(data.source, tuple) else ()


def join_sources(
    data: Data,
    task: Task,
    tables: Mapping[str, Table],
    empty: EmptyRows,
    span_of: SpanOf,
    *,
    reads_images: bool = False,
) -> dict[str, Table]:
    """The tables with all sources of rows as one, `rows`; as they are where there is one source.

    Columns that a source names otherwise get the names that `data.fields` or the prompt's template gives. Its empty
    rows are left out where the recipe says so.

    Raises:
        Refusal: A source lacks a column, or holds values that the task can't use (FTC362 to FTC367).
    """
    sources = sources_of(data)
    if not sources:
        return dict(tables)
    found: list[Diagnostic] = []
    renamed: list[tuple[Table, Sequence[Row]]] = []
    for number, source in enumerate(sources):
        table = tables[f"rows[{number}]"]
        fields = data.fields if source.fields is None else source.fields
        table = _named_as_in_prompt(task, fields, table)
        columns = task_columns(task, fields, table.columns, table.rows, reads_images=reads_images)
        own = data.model_copy(update={"fields": fields})
        own_fields = "data.fields" if source.fields is None else f"data.source[{number}].fields"

        def spans(path: str, own_fields: str = own_fields) -> Span | None:
            return span_of(path.replace("data.fields", own_fields, 1))

        write_canonical(task, columns, table)
        table = empty.without(f"rows[{number}]", columns, table)
        found += [*missing_columns(columns, own, table, spans), *check_values(task, columns, table)]
        names = {column: data.fields.get(part, part) for part, column in columns.by_part.items()}
        rows = table.rows
        if any(column != name for column, name in names.items()):
            rows = stored(
                {column: value for column, value in row.items() if column not in names}
                | {name: row.get(column) for column, name in names.items()}
                for row in table.rows
            )
        renamed.append((table, rows))
    if any(finding.is_error for finding in found):
        raise Refusal([*found, *(one for table in tables.values() for one in table.warnings)])
    others = {use: table for use, table in tables.items() if not use.startswith("rows")}
    return {"rows": JoinedTable.of(renamed), **others}


def _named_as_in_prompt(task: Task, fields: Mapping[str, str], table: Table) -> Table:
    """The table with the columns that a source maps to names of the prompt's template under these names."""
    wanted = prompt_columns(task.template, table.columns) if task.template else ()
    names = {fields[name]: name for name in wanted if fields.get(name) in table.columns}
    if not names:
        return table
    kept = [column for column in table.columns if column not in names and column not in names.values()]
    columns = (*kept, *names)  # a row without a key has none afterwards
    rows = stored({names.get(name, name): row[name] for name in columns if name in row} for row in table.rows)
    return replace(table, columns=(*kept, *names.values()), rows=rows)


def _source_numbers(table: Table, num_sources: int) -> Sequence[int]:
    """For each row of a joined table, the number of its source."""
    if not isinstance(table, JoinedTable) or num_sources == 0:
        return array("i", [0]) * len(table.rows)
    return sum((array("i", [number]) * count for number, count in enumerate(table.counts)), array("i"))


def divide_sources(
    data: Data, table: Table, keys: Sequence[bytes], by: Division, alike: Sequence[int] | None
) -> tuple[dict[Part, array[int]], list[Diagnostic]]:
    """Row numbers by part: each source gives its share to every part, but for those that are only trained on."""
    sources = sources_of(data)
    numbers = _source_numbers(table, len(sources))
    divided: Sequence[int] = range(len(numbers))
    if any(source.only_train for source in sources):
        divided = array("q", (row for row, source in enumerate(numbers) if not sources[source].only_train))
    strata = by.strata
    if sources and data.split.by == "share" and by.times is None:
        texts = (f"{number:03} {by.strata[row] if by.strata else ''}" for row, number in enumerate(numbers))
        strata = interned(texts)

    def of_divided(values: Sequence[Any]) -> Sequence[Any]:
        return values if isinstance(divided, range) else [values[row] for row in divided]

    parts, findings = divide(
        of_divided(keys),
        data.split,
        None if strata is None else of_divided(strata),
        groups=None if by.groups is None else of_divided(by.groups),
        times=None if by.times is None else of_divided(by.times),
        alike=None if alike is None else of_divided(alike),
    )
    if isinstance(divided, range):
        return parts, findings
    found: dict[Part, array[int]] = {part: array("q", map(divided.__getitem__, rows)) for part, rows in parts.items()}
    only_trained = np.setdiff1d(np.arange(len(numbers)), divided, assume_unique=True)
    found["train"] = array("q", np.sort(np.concatenate([found["train"], only_trained])).tobytes())
    return found, findings


def draw_epoch(data: Data, part: PartRows, columns: Sequence[str]) -> tuple[PartRows, Mixture | None, list[Diagnostic]]:
    """The rows of an epoch, what each source gives, None of one source, and findings on those that give nothing.

    Args:
        data: Weights, seed and what ends an epoch.
        part: The training rows.
        columns: What the task reads of a row, and rows are told apart by.
    """
    sources = sources_of(data)
    if not sources:
        return part, None, []
    numbers = _source_numbers(part.table, len(sources))
    rows, its_source = np.array(part.numbers, np.int64), np.array(numbers, np.int32)[np.array(part.numbers, np.int64)]
    by_source = [array("q", rows[its_source == number].tobytes()) for number in range(len(sources))]
    given = [len(rows) for rows in by_source]
    files = tuple(one.file for one in part.table.sources)
    if any(source.weight is None for source in sources):
        return part, Mixture(files, given, given), _idle(data, part.table, given, given)
    weights = [Fraction(repr(source.weight)) for source in sources]
    keys = example_digests(part.table.rows, columns)
    counts = _counts(given, weights, data.stopping_strategy == "all_exhausted", data.max_rows)
    drawn, again = [np.zeros(0, np.int64)], array("q")
    for its_rows, count in zip(by_source, counts, strict=True):
        order = seeded_order(its_rows, keys, data.split.seed)
        drawn.append(order[:count])
        if count > len(order):
            again.frombytes(np.resize(order, count)[len(order) :].tobytes())
    table = JoinedTable.with_copies(part.table, again) if again else part.table
    taken = array("q", np.sort(np.concatenate(drawn)).tobytes())
    taken.extend(range(len(part.table.rows), len(part.table.rows) + len(again)))
    return PartRows(table, taken), Mixture(files, counts, given), _idle(data, part.table, counts, given)


def _counts(given: Sequence[int], weights: Sequence[Fraction], repeats: bool, most: int | None) -> list[int]:
    """Rows that each source gives to an epoch, by largest remainders."""
    total = sum(weights)
    shares = [weight / total for weight in weights]
    lengths = [count / share for count, share in zip(given, shares, strict=True)]
    epoch = math.ceil(max(lengths)) if repeats else math.floor(min(lengths))
    epoch = min(epoch, most) if most is not None else epoch
    exact = [share * epoch for share in shares]
    counts = [math.floor(count) for count in exact]
    by_remainder = sorted(range(len(exact)), key=lambda number: (counts[number] - exact[number], number))
    for number in by_remainder[: epoch - sum(counts)]:
        counts[number] += 1
    return [count if given[number] else 0 for number, count in enumerate(counts)]


def _idle(data: Data, table: Table, counts: Sequence[int], given: Sequence[int]) -> list[Diagnostic]:
    """Findings for sources of which no row is trained on; an error where this leaves no row at all."""
    files = [one.file for one in table.sources]
    found = []
    for number, (file, count, rows) in enumerate(zip(files, counts, given, strict=True)):
        if count or (rows and not any(counts)):  # one that has none ends the epoch before the others
            continue
        is_end = not any(counts)
        key = f"data.source[{number}]"
        summary, help = f"no row of {file} is trained on", ["remove the source, or give it more rows"]
        note = "all of its rows are evaluated or left out"
        if is_end and sources_of(data)[number].weight is not None:
            summary += ", and the epoch ends with it"
            help.append("or write `stopping_strategy: all_exhausted`")
        elif rows:
            key, help = (
                f"{key}.weight",
                [f"raise its `weight`, or remove the source; {rows:,} of its rows could be drawn"],
            )
            note = f"its weight is less than a row of the epoch's {sum(counts):,}"
        severity = Severity.ERROR if is_end else None
        found.append(diagnostic("FTC487", summary, help=help, notes=note, path=key, severity=severity))
    return found
