"""From data files to the rows of each part: read, checked against the task, divided, and looked at for faults."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from ftc.compiler.quality.compared_texts import compare_texts
from ftc.compiler.quality.findings import quality_findings
from ftc.compiler.quality.near import Likeness
from ftc.compiler.quality.report import Divided, quality_report
from ftc.compiler.quality.seen import SeenTexts
from ftc.compiler.quality.sensitive import Presidio, load_presidio
from ftc.compiler.quality.texts import RowTexts
from ftc.compiler.resolve.rows.augment import augmented, paraphrases_of
from ftc.compiler.resolve.rows.canonical_rows import write_canonical
from ftc.compiler.resolve.rows.class_names import Described, name_classes, unnamed_classes
from ftc.compiler.resolve.rows.cleaning import (
    EmptyRows,
    hidden_characters,
    joined_findings,
    missing_looking,
    normalize_labels,
    spelling_findings,
)
from ftc.compiler.resolve.rows.columns import Columns, missing_annotations, missing_columns, task_columns
from ftc.compiler.resolve.rows.data_files import DataFile, DataFiles
from ftc.compiler.resolve.rows.division import read_division
from ftc.compiler.resolve.rows.images import ImageStore, image_columns, read_images, without_reader
from ftc.compiler.resolve.rows.joined_labels import FEWEST_FLAGS, flag_columns
from ftc.compiler.resolve.rows.joint_checks import check_together
from ftc.compiler.resolve.rows.labels import Labeled, exchanged, labels_of, sorted_of, unlearned_labels
from ftc.compiler.resolve.rows.mixture import Mixture, divide_sources, draw_epoch, join_sources, sources_of
from ftc.compiler.resolve.rows.numbers import number_findings, number_names, number_scales, rating_findings
from ftc.compiler.resolve.rows.reading import SpanOf
from ftc.compiler.resolve.rows.row_checks import check_values
from ftc.compiler.resolve.rows.row_digests import (
    Digests,
    example_digests,
    first_equal,
    row_digests,
    rows_digest,
    unordered_digest,
)
from ftc.compiler.resolve.rows.seeded_order import first_rows
from ftc.compiler.resolve.rows.splits import MEASURED, Part, num_copies
from ftc.compiler.resolve.rows.table import PartRows, Table
from ftc.compiler.resolve.rows.tested_rows import NONE, HeldOut, keep_tested
from ftc.compiler.resolve.rows.time_order import order_findings
from ftc.compiler.stages import begin_stage
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.lockfile import SourceLock
from ftc.spec.documents.loss_settings import TargetScale
from ftc.spec.documents.plan import Check
from ftc.spec.documents.quality import QualityReport
from ftc.spec.documents.streams import SPLITS, Split
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.sections.data import Data
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import LabelRows, NumberRows, ScoredAnswerRows

__all__ = ["ResolvedData", "lock_entry", "resolve_data"]

_Vision = VisionFacts | None
"""What reads the rows' images; None where the model reads text alone."""


@dataclass(frozen=True, slots=True)
class ResolvedData:
    """Rows by part, ready for tokenizing.

    Attributes:
        parts: Rows of `train`, `validation` and `test`, those that there are, with their places; labels are text.
        columns: What the task reads of a row.
        labels: Classes, tags, or names of numbers, in the order of the head's outputs; empty for tasks without.
        scales: What each number is measured by; empty for tasks without numbers.
        sources: Lock entry of each file, by use.
        quality: What was found in the rows.
        row_digests: sha256 of each row of each file, by use.
        diagnostics: Warnings.
        checks: What was looked at beside the rows' quality.
        mixture: What sources give to an epoch; None where there is one.
        images: The images of the rows.
    """

    parts: Mapping[Part, PartRows]
    columns: Columns
    labels: tuple[str, ...]
    scales: tuple[TargetScale, ...]
    sources: dict[str, SourceLock]
    quality: QualityReport
    row_digests: Mapping[str, Digests]
    diagnostics: tuple[Diagnostic, ...]
    checks: tuple[Check, ...]
    mixture: Mixture | None
    images: ImageStore

    def rows_of(self, part: Part) -> Sequence[Mapping[str, Any]]:
        """The rows of a part; none where there is no such part."""
        return self.parts[part].rows if part in self.parts else ()

    @property
    def places(self) -> dict[str, Callable[[int], str]]:
        """By part: the name of a row by its number in its source."""
        return {part: rows.place for part, rows in self.parts.items()}


def resolve_data(
    data: Data, task: Task, files: DataFiles, span_of: SpanOf, *, vision: _Vision = None, tested: HeldOut = NONE
) -> ResolvedData:
    """Reads all files and divides their rows, `tested` ones into test; a model with `vision` gets the rows' images.

    Raises:
        Refusal: A file, a column, a value or a part can't be used (FTC350 to FTC388); all independent ones are told.
    """
    read = _read(files, span_of, image_columns(data) if vision is not None else ())
    digests, renamed, misnamed = _digested(read, files)
    odd_files = [*(finding for table in read.values() for finding in table.warnings), *_all_placed(misnamed, span_of)]
    phrases = paraphrases_of(read.pop("paraphrases"), span_of) if "paraphrases" in read else {}
    empty = EmptyRows(data, task)
    tables = join_sources(data, task, read, empty, span_of, reads_images=vision is not None)
    rows_table = tables["rows"]
    columns = task_columns(task, data.fields, rows_table.columns, rows_table.rows, reads_images=vision is not None)
    _refuse(_all_placed(_unnamed(files, read, columns), span_of))
    begin_stage("normalizing", sum(len(table.rows) for table in tables.values()))
    for use, table in tables.items():
        write_canonical(task, columns, table)
        tables[use] = table if use == "rows" and sources_of(data) else empty.without(use, columns, table)
    _refuse(_value_findings(data, task, columns, tables, span_of), odd_files)
    images, imageless = _images(columns, tables, vision, span_of)
    labeled = labels_of(task, columns)
    respelled, alike = _spelled(data, task, labeled, tables.values()) if labeled else ((), ())
    texts = {use: RowTexts(table.rows, columns) for use, table in tables.items()}
    compared = compare_texts(texts, data.quality, presidio := _presidio(data, span_of))
    with _beside(_all_placed(alike, span_of)):  # odd labels may be why a part is empty
        parts, notes, kept = _divide(data, tables, columns, labeled, texts, *compared, span_of, tested)
    rows: dict[Part, PartRows] = {part: divided.rows for part, divided in parts.items()}
    rows["train"], mixture, idle = draw_epoch(data, rows["train"], columns.used)  # no other row is ever trained on
    _refuse(idle := _all_placed(idle, span_of))
    train = rows["train"].rows
    counts = labeled.counts(rows) if labeled else {}
    names = sorted_of(labeled, counts["train"]) if labeled else number_names(task, columns, train)
    quality = quality_report(parts, data.quality, labeled, counts, tables["rows"], presidio)
    rated = names if isinstance(task.rows(), NumberRows | ScoredAnswerRows) else ()
    lost = unlearned_labels(labeled, names, counts, parts["train"].rows) if labeled else number_findings(rated, rows)
    unlearned = _all_placed((*lost, *rating_findings(task, train)), span_of)
    tidied = _all_placed((*empty.findings(), *alike, *imageless, *hidden_characters(labeled, tables.values())), span_of)
    _refuse(unlearned, tidied)
    meant = (labeled.declared if labeled else None) or ()
    notes += _all_placed((one for table in tables.values() for one in missing_looking(table, columns, meant)), span_of)
    _refuse(found := [*unlearned, *_all_placed(quality_findings(quality, data.quality), span_of)])
    if data.augment is not None:
        rows["train"], check = augmented(data.augment, rows["train"], columns, phrases)
        kept = (*kept, check)
    return ResolvedData(
        parts=rows,
        columns=columns,
        labels=labeled.outputs(names) if labeled else names,
        scales=number_scales(train, len(rated)),
        sources={use: lock_entry(file, digests[use], empty.count[use]) for use, file in files.items()},
        quality=quality,
        row_digests=digests,
        diagnostics=tuple(odd_files + tidied + notes + idle + found),
        checks=(*(_remark(table) for table in read.values() if table.remark), *renamed, *respelled, *kept),
        mixture=mixture,
        images=images,
    )


def _remark(table: Table) -> Check:
    return Check(name="reading", code=None, result=f"{table.file}: {table.remark}")


def _images(
    columns: Columns, tables: Mapping[str, Table], vision: VisionFacts | None, span_of: SpanOf
) -> tuple[ImageStore, list[Diagnostic]]:
    """The images of the rows, each decoded and checked, and warnings.

    Raises:
        Refusal: One can't be used, or the model reads none (FTC120 to FTC125, FTC128, FTC300).
    """
    if vision is None:
        images, found = ImageStore(), list(without_reader(columns, tables))
    else:
        images, found = read_images(columns, tables, vision)
    _refuse([_placed(finding, span_of) for finding in found])
    return images, found


def _spelled(
    data: Data, task: Task, labeled: Labeled, tables: Collection[Table]
) -> tuple[tuple[Check, ...], tuple[Diagnostic, ...]]:
    """Writes labels as text and in one spelling, in place; what was respelled, and what looks as if it should be."""
    labeled.write_as_text(tables)
    respelled = normalize_labels(task, labeled, tables, data.labels.normalize)
    counts = sum((labeled.count(table.rows) for table in tables), Counter[str]())
    return respelled, (*joined_findings(task, labeled, counts), *spelling_findings(task, labeled, tables, counts))


def _value_findings(
    data: Data, task: Task, columns: Columns, tables: Mapping[str, Table], span_of: SpanOf
) -> list[Diagnostic]:
    """What is wrong with columns, then with values, then with values together; a stage that finds something ends it."""
    begin_stage("checking")
    files = list(tables.values())
    instead = _flags_as_labels(data, task, columns, tables)
    found = [finding for table in files for finding in missing_columns(columns, data, table, span_of, instead)]
    found += missing_annotations(data.quality.annotations, tables["rows"], span_of)
    found += [finding for table in files for finding in check_values(task, columns, table)]
    found = found or [finding for table in files for finding in check_together(task, columns, table)]
    return [_placed(finding, span_of) for finding in found]


_MOST_FLAGS = 20


def _flags_as_labels(data: Data, task: Task, columns: Columns, tables: Mapping[str, Table]) -> dict[str, str]:
    """How columns of 0 and 1 are read as labels, by the part `label`; nothing where no file lacks its column."""
    label, table = columns.by_part.get("label"), tables["rows"]
    if label is None or "label" in data.fields or not isinstance(task.rows(), LabelRows):
        return {}
    is_missing = any(label not in one.columns and label not in one.left_out for one in tables.values())
    flags = flag_columns(table.rows, table.columns) if is_missing else ()
    if len(flags) < FEWEST_FLAGS:
        return {}
    section = task.written_for("flags", flags[:_MOST_FLAGS])
    if section is None:
        return {}
    more = f" with the {len(flags) - _MOST_FLAGS:,} others" if len(flags) > _MOST_FLAGS else ""
    return {"label": f"or read the columns of 0 and 1 as labels: `{section}`{more}"}


def _read(files: DataFiles, span_of: SpanOf, images: tuple[str, ...]) -> dict[str, Table]:
    begin_stage("reading")
    tables: dict[str, Table] = {}
    found: list[Diagnostic] = []
    for use, file in files.items():
        place = _place(file, span_of)
        try:
            tables[use] = file.read(place, images)
        except Refusal as refusal:
            found += [finding if finding.span else replace(finding, span=place) for finding in refusal.diagnostics]
    _refuse(found)
    return tables


def _digested(
    tables: Mapping[str, Table], files: DataFiles
) -> tuple[dict[str, Digests], tuple[Check, ...], tuple[Diagnostic, ...]]:
    """Digests of the rows as their files have them; behind that, classes get their names."""
    begin_stage("hashing", sum(len(table.rows) for table in tables.values()))
    digests = {use: row_digests(table.rows) for use, table in tables.items()}
    described = [
        Described(table, str(file.asked.get("hub")), file.class_names, file.recipe_path)
        for table, file in ((table, files[use]) for use, table in tables.items())
        if file.class_names
    ]
    return digests, *name_classes(described)


def _unnamed(files: DataFiles, tables: Mapping[str, Table], columns: Columns) -> Iterator[Diagnostic]:
    """Columns whose numbers may be those of classes, where the hub's cache lacks what would name them."""
    for use, table in tables.items():
        if (file := files[use]).class_names is None:
            yield from unnamed_classes(table, file.asked, columns.used, file.recipe_path)


def _place(file: DataFile, span_of: SpanOf) -> Span | None:
    """Where the recipe names a file."""
    key = "path" if "path" in file.asked else "file" if file.asked.get("file") else "hub"
    return span_of(f"{file.recipe_path}.{key}")


def _presidio(data: Data, span_of: SpanOf) -> Presidio | None:
    try:
        return load_presidio(data.quality.presidio) if data.quality.presidio else None
    except Refusal as refusal:
        raise Refusal([_placed(finding, span_of) for finding in refusal.diagnostics]) from None


@contextmanager
def _beside(found: Sequence[Diagnostic]) -> Iterator[None]:
    """Shows findings beside those that stop what follows."""
    try:
        yield
    except Refusal as refusal:
        raise Refusal([*refusal.diagnostics, *found]) from None


def _refuse(found: Sequence[Diagnostic], beside: Sequence[Diagnostic] = ()) -> None:
    """Stops at errors, and shows with them what else may be their reason."""
    if any(finding.is_error for finding in found):
        raise Refusal([*found, *beside])


def _divide(
    data: Data,
    tables: Mapping[str, Table],
    columns: Columns,
    labeled: Labeled | None,
    texts: Mapping[str, RowTexts],
    likeness: Likeness,
    seen: Mapping[str, SeenTexts],
    span_of: SpanOf,
    tested: HeldOut,
) -> tuple[dict[Part, Divided], list[Diagnostic], tuple[Check, ...]]:
    """Rows by part with what they are compared by, warnings, and what was done with earlier test rows."""
    begin_stage("dividing")
    keys = {use: example_digests(table.rows, columns.used) for use, table in tables.items()}
    by = read_division(data, tables["rows"], labeled.stratum if labeled else None, span_of)
    alike = array("q", likeness.cluster["rows"].tobytes()) if data.split.together == "alike" else None
    numbers: dict[Part, Sequence[int]] = {}
    divided, found = divide_sources(data, tables["rows"], keys["rows"], by, alike)
    numbers.update(divided)
    if found and labeled and (help := exchanged(labeled, tables["rows"].rows, texts["rows"])):
        found = [replace(finding, help=(help,)) for finding in found]
    _refuse([_placed(finding, span_of) for finding in found])
    numbers |= {part: range(len(tables[part].rows)) for part in MEASURED if part in tables}
    kept: tuple[Check, ...] = ()
    if tested.digests:
        together = [one for one in (by.groups, alike) if one is not None]
        try:
            kept = keep_tested(tested, numbers, keys, tables, together)
        except Refusal as refusal:
            raise Refusal([_placed(finding, span_of) for finding in refusal.diagnostics]) from None
    is_weighted = any(source.weight is not None for source in sources_of(data))
    if data.max_rows is not None and not is_weighted:
        numbers["train"] = first_rows(numbers["train"], keys["rows"], data.split.seed, data.max_rows)

    equal = first_equal(Digests(b"".join(one.data for one in keys.values())) if len(keys) > 1 else keys["rows"])
    begins = dict(zip(keys, accumulate(map(len, keys.values()), initial=0), strict=False))

    def part_of(part: Part) -> Divided:
        use = part if part in tables else "rows"
        rows, which = PartRows(tables[use], array("q", numbers[part])), np.array(numbers[part], np.int64)
        return Divided(
            rows,
            RowTexts(rows.rows, columns),
            seen[use].of(which),
            equal[which + begins[use]],
            likeness.normal[use][which],
            likeness.cluster[use][which],
        )

    copies = list(order_findings(data.split, divided, by.times, tables["rows"])) if by.times is not None else []
    if count := num_copies(keys["rows"]):
        summary = f"{count:,} of {len(tables['rows'].rows):,} rows are duplicates of another row"
        note = "duplicates stay in one part of the split"
        help = "remove the duplicates, unless you repeat them on purpose"
        copies.append(diagnostic("FTC373", summary, notes=note, help=help, path="data.source"))
    parts: dict[Split, Divided] = {part: part_of(part) for part in SPLITS if part in numbers}
    return parts, copies, kept


def _all_placed(found: Iterable[Diagnostic], span_of: SpanOf) -> list[Diagnostic]:
    return [_placed(finding, span_of) for finding in found]


def _placed(found: Diagnostic, span_of: SpanOf) -> Diagnostic:
    place = span_of(found.path) if found.path else None
    return found if found.span else replace(found, span=place)


def lock_entry(file: DataFile, digests: Sequence[bytes], dropped: int = 0) -> SourceLock:
    """What the lock holds of a file with rows of these digests, so many of which are left out."""
    return SourceLock(
        asked=file.asked,
        chosen=file.chosen,
        commit=file.commit,
        file=file.facts,
        files=dict(file.member_facts),
        rows=len(digests),
        dropped_rows=dropped,
        rows_sha256=rows_digest(digests),
        rows_unordered_sha256=unordered_digest(digests),
        class_names=None if file.class_names is None else dict(file.class_names),
    )
