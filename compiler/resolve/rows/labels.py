"""The labels of rows: one class, several, or the types of the words' tags. What a head has outputs for. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, assert_never

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.in_processes import ranges, spread
from ftc.compiler.resolve.rows.row_checks import label_text, sorted_labels
from ftc.compiler.resolve.rows.row_store import Row, rewrite
from ftc.compiler.resolve.rows.splits import MEASURED, Part
from ftc.compiler.resolve.rows.table import JoinedTable, PartRows, Table
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.language.safe_repr import label_name
from ftc.spec.tags import OUTSIDE
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import (
    LABELS_COLUMN,
    AnswerRows,
    InstructionRows,
    LabelRows,
    MessageRows,
    NumberRows,
    PairRows,
    PromptRows,
    RatedRows,
    ScoredAnswerRows,
    StepRows,
    TagRows,
    TextGroupRows,
    TextRows,
)

__all__ = ["Labeled", "exchanged", "label_column", "labels_of", "sorted_of", "unlearned_labels"]


@dataclass(frozen=True, slots=True)
class Labeled:
    """Where the labels of a task stand.

    Attributes:
        column: Their column.
        is_single: Whether each row has exactly one, which divisions can keep in proportion.
        of: The labels of a row's value; of tags the types of entities.
        outputs: What the head gives, from the labels in their order.
        declared: The labels that the recipe names, if it does.
    """

    column: str
    is_single: bool
    of: Callable[[Any], Iterable[str]]
    outputs: Callable[[Sequence[str]], tuple[str, ...]]
    declared: tuple[str, ...] | None

    @property
    def stratum(self) -> str | None:
        """The column that a division keeps in proportion by default."""
        return self.column if self.is_single else None

    def write_as_text(self, tables: Iterable[Table]) -> None:
        """Writes classes that are numbers or truth values as text, in place."""

        def change(row: Row) -> None:
            value = row[self.column]
            if self.is_single:
                row[self.column] = label_text(value)
            elif all(not isinstance(item, dict) for item in value):
                row[self.column] = [label_text(item) for item in value]

        for table in tables:
            rewrite(table.rows, change, apart=True)

    def count(self, rows: Sequence[Row]) -> Counter[str]:
        """How often each label occurs: rows, entities or words."""
        pieces, found = ranges(len(rows)), Counter[str]()

        def work(which: range) -> Iterator[bytes]:
            for piece in (pieces[number] for number in which):
                some = rows[piece.start : piece.stop]
                counts = Counter(label for row in some for label in self.of(row[self.column]))
                yield json.dumps([*counts.items()]).encode()

        for data in spread(len(pieces), work):
            for label, count in json.loads(data):
                found[label] += count
        return found

    def counts(self, parts: Mapping[Part, PartRows]) -> dict[Part, Counter[str]]:
        """The same of each part."""
        return {part: self.count(found.rows) for part, found in parts.items()}


def label_column(by_part: Mapping[str, str]) -> str:
    """The column of the labels: one of the file, or the one that is added where each label has a column."""
    return by_part.get("label", LABELS_COLUMN)


def labels_of(task: Task, columns: Columns) -> Labeled | None:
    """Where the labels of a task stand; None for a task without."""
    rows, declared = task.rows(), task.declared_labels
    match rows:
        case LabelRows(several=False):
            return Labeled(columns.by_part["label"], True, lambda value: (value,), tuple, declared)
        case LabelRows():
            return Labeled(label_column(columns.by_part), False, tuple, tuple, declared)
        case TagRows() if "tags" not in columns.by_part:
            return Labeled(
                columns.by_part["spans"], False, lambda spans: [span["label"] for span in spans], _iob2, declared
            )
        case TagRows(scheme="plain"):
            return Labeled(columns.by_part["tags"], False, tuple, tuple, declared)
        case StepRows():
            return Labeled(columns.by_part["step_labels"], False, tuple, tuple, declared)
        case TagRows():
            return Labeled(columns.by_part["tags"], False, _types, _iob2, declared)
        case (
            TextRows()
            | NumberRows()
            | AnswerRows()
            | InstructionRows()
            | MessageRows()
            | PairRows()
            | RatedRows()
            | ScoredAnswerRows()
            | TextGroupRows()
            | PromptRows()
        ):
            return None
        case _:
            assert_never(rows)


def _types(tags: Iterable[str]) -> Iterator[str]:
    """The type of each entity: one begins with `B-`, or with a word of another type than the one before."""
    before = OUTSIDE
    for tag in tags:
        if tag != OUTSIDE and (tag.startswith("B-") or tag[2:] != before[2:]):
            yield tag[2:]
        before = tag


def _iob2(types: Sequence[str]) -> tuple[str, ...]:
    return (OUTSIDE, *(f"{begin}-{name}" for name in types for begin in "BI"))


def exchanged(labeled: Labeled, rows: Sequence[Row], texts: Sequence[str]) -> str | None:
    """What to do where the labels look like the texts, and the texts like the labels; None where they don't."""
    labels, inputs = len(labeled.count(rows)), len(set(texts))
    if not labeled.is_single or labels * 2 <= len(rows) or inputs >= labels:
        return None
    seen = f"`{labeled.column}` has {labels:,} different labels in {len(rows):,} rows, and the input {inputs:,} texts"
    return f"exchange the columns in `data.fields`, if label and text are mixed up: {seen}"


def sorted_of(labeled: Labeled, trained: Iterable[str]) -> tuple[str, ...]:
    """The labels in the order of the recipe, else those of the training rows, sorted."""
    return labeled.declared or sorted_labels(trained)


def unlearned_labels(
    labeled: Labeled, names: Sequence[str], counts: Mapping[Part, Mapping[str, int]], given: PartRows
) -> Iterator[Diagnostic]:
    """Labels that the head can't give, and classes with nothing to learn from.

    Args:
        labeled: Where the labels stand.
        names: Those that the head gives.
        counts: How often each label occurs in the rows of each part.
        given: The training rows of all sources, of which those that are trained on were drawn.
    """
    for part, found in counts.items():
        unknown = Counter({name: count for name, count in found.items() if name not in names})
        if unknown:
            is_declared = labeled.declared is not None
            helps: tuple[str, ...] = ("add them to `task.labels`, or remove these rows",)
            if not is_declared:
                helps = _additions(labeled, given, unknown.keys(), "remove these rows")
            lacks = "`task.labels` lacks" if is_declared else "the training rows lack"
            yield diagnostic(
                "FTC372",
                f"the {part} rows have labels that {lacks}",
                notes=", ".join(f"`{label_name(name)}` ({count})" for name, count in unknown.most_common(5)),
                help=helps,
                path=f"data.split.{part}" if part in MEASURED else "data.source",
            )
    if absent := set(names) - counts["train"].keys():
        listed = ", ".join(f"`{label_name(name)}`" for name in sorted(absent)[:5])
        yield diagnostic(
            "FTC375",
            f"{len(absent):,} of {len(names):,} classes have no training row: {listed}",
            help=_additions(labeled, given, absent, "remove them from `task.labels`"),
            path="task.labels",
        )
    if len(labeled.outputs(names)) < 2:
        yield diagnostic(
            "FTC374",
            f"all training rows have the label `{label_name(names[0])}`" if names else "no training row has a label",
            help="a classification task needs at least two classes",
            path="data.fields",
        )


def _additions(labeled: Labeled, given: PartRows, names: AbstractSet[str], else_: str) -> tuple[str, ...]:
    """What gives labels training rows: more of the sources that have such rows, of which none is drawn, or new rows."""
    files, found = dict[str, None](), set[str]()
    if isinstance(table := given.table, JoinedTable):
        for number, row in zip(given.numbers, given.rows, strict=True):
            if own := names & set(labeled.of(row[labeled.column])):
                files[table.origins.at(number)[0].file] = None
                found |= own
    helps = [f"raise the `weight` of {file}: its rows with such labels are not drawn" for file in files]
    return (*helps, *([] if names <= found else [f"add training rows for them, or {else_}"]))
