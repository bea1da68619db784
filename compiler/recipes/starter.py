"""`ftc init`: a recipe to begin with, filled in with what can be read off the data."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ftc.compiler.quality.spellings import separating, spellings, variants
from ftc.compiler.recipes.guesses import (
    KINDS,
    USUAL,
    guesses,
    label_candidates,
    likely_options,
    likely_task,
    with_commas,
)
from ftc.compiler.resolve.files.safe_files import UnsafePath, project_root, read_json_object
from ftc.compiler.resolve.machine.device import read_calibration, resolve_device
from ftc.compiler.resolve.models.model import PLACEHOLDER
from ftc.compiler.resolve.rows.canonical_rows import write_canonical
from ftc.compiler.resolve.rows.cleaning import EmptyRows
from ftc.compiler.resolve.rows.columns import task_columns
from ftc.compiler.resolve.rows.file_sets import files_of, is_pattern, passed_over
from ftc.compiler.resolve.rows.headers import column_names
from ftc.compiler.resolve.rows.labels import labels_of
from ftc.compiler.resolve.rows.reading import USUAL_READING, Reading
from ftc.compiler.resolve.rows.table import JoinedTable, Row, Table, shown
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.spec.architectures import architecture
from ftc.spec.base_models import BASE_MODELS
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.started import DataWarning, GuessedColumn, ShownRow, Started
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import as_yaml, label_name, quoted
from ftc.spec.language.source import read_source_bytes
from ftc.spec.sections.data import Data, PathSource
from ftc.spec.storage.atomic_write import naming
from ftc.spec.storage.paths import cache_folder
from ftc.spec.switches import OFFLINE, is_switched_on
from ftc.spec.tasks import Task
from ftc.spec.tasks.rows import LabelRows
from ftc.spec.tasks.signs import section_line

__all__ = ["write_starter"]

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
"""How an address begins, of which a path has one slash left."""
_MOST_LISTED = 20
_MOST_ALSO = 4
_SHOWN_ROWS = 2
_SHOWN_SPELLINGS = 3


@dataclass(slots=True)
class _Columns:
    """What was made of the columns.

    Attributes:
        found: Column by part.
        parts: All parts of the form of rows that fits best.
        also: Columns that could be the label as well.
        label: Facts of the label's column; empty where its name said enough.
        lines: Lines of the recipe.
        settled: What these say beside the columns, for people.
        unused: Columns of the data that the recipe reads nowhere; empty where a part is still open.
    """

    found: dict[str, str]
    parts: Sequence[str]
    also: list[GuessedColumn]
    label: str
    lines: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    unused: tuple[str, ...] = ()


def write_starter(file: Path, *, task: str | None, data: Path | None, base: str | None) -> Started:
    """Writes the recipe; an existing file is never touched. Without a task, the columns tell it.

    Raises:
        Refusal: The file is there already (FTC651), the task is unknown (FTC105), or the data can't be read.
    """
    if task is not None and task not in KINDS:
        close = nearest(task, KINDS)
        help = f"did you mean `{close}`?" if close else f"write one of {', '.join(KINDS)}"
        raise Refusal([diagnostic("FTC105", f"no task `{task}`", help=help)])
    if data and (address := _ADDRESS.match(str(data))):
        help = "download the file, or write its address into `data.source.path` of a recipe yourself"
        raise Refusal([diagnostic("FTC350", f"`ftc init` reads files, not addresses (`{address[1]}://`)", help=help)])
    path = Path(os.path.relpath(data, file.parent)).as_posix() if data else "rows.jsonl"
    table, read = _read_as_meant(data, path, file.parent) if data else (None, _Found())
    task = task or (likely_task(table) if table else USUAL)
    called = file.stem
    if data and file.name == "recipe.yaml":
        called = data.stem if not is_pattern(data.name) else data.parent.name
    name = re.sub(r"[^a-z0-9._-]+", "-", called.lower()).strip("-._") or "my-task"
    options, why = likely_options(task, table) if table else ({}, "")
    columns = _columns(task, options, table) if table else None
    num_rows = len(table.rows) if table else 0
    first = _first_rows(table, columns) if table and columns else ()
    if table and columns:
        _settle(task, options, table, columns)
        if why:
            columns.settled.append(f"{', '.join(options)}: {why}")
        columns.settled += read.settled
    chosen = _model(file.parent, task, base)
    lines = [
        "ftc: 1",
        f"name: {name}",
        section_line(task, options),
        "data:",
        f"  source: {{path: {as_yaml(path)}{read.keys}}}",
        *(columns.lines if columns else []),
        chosen.line(),
        "strategy: {kind: lora}",
    ]
    _refuse_invalid(lines, path)
    try:
        with naming(file), file.open("x", encoding="utf-8", newline="\n") as new:
            new.write("\n".join(lines) + "\n")
    except FileExistsError:
        summary = f"`{file}` exists already"
        raise Refusal([diagnostic("FTC651", summary, help="choose another name; nothing was changed")]) from None
    device = resolve_device("auto")
    started = Started(
        file=str(file),
        task=task,
        base=None if chosen.base == PLACEHOLDER else chosen.base,
        base_facts=chosen.facts,
        is_calibrated=read_calibration(cache_folder(), device, device.threads) is not None,
    )
    if data is None or columns is None:
        return started
    return started.model_copy(update={**_guessed(data, num_rows, columns, first), "warnings": read.warnings})


@dataclass(frozen=True, slots=True)
class _Found:
    """How a file of separated values is read, where that isn't the usual way.

    Attributes:
        keys: What the recipe says of it, behind the path.
        settled: The same for people, with the reason.
        warnings: What looks wrong in the data as it is read.
    """

    keys: str = ""
    settled: tuple[str, ...] = ()
    warnings: tuple[DataWarning, ...] = ()


def _read_as_meant(data: Path, path: str, folder: Path) -> tuple[Table, _Found]:
    """All rows, and how they were read: with names where the first line is a row, and with commas where numbers have
    them.
    """
    table, reading, keys = _read(data, path, folder), USUAL_READING, ""
    settled: list[str] = []
    widths = {len(one.columns) for one in table.sources}
    if len(widths) == 1 and all(one.lacks_header for one in table.sources):
        names = column_names(widths.pop())
        reading, keys = Reading(columns=names), f", columns: [{', '.join(names)}]"
        settled.append(f"{keys.removeprefix(', ')}, since the first line looks like a row, not a header")
        table = _read(data, path, folder, reading)
    if columns := with_commas(table):
        reading, keys = replace(reading, has_commas=True), f"{keys}, decimal: ','"
        listed = ", ".join(map(quoted, columns[:_MOST_ALSO]))
        settled.append(f"decimal: ',', since {listed} {'has' if len(columns) == 1 else 'have'} numbers with commas")
        table = _read(data, path, folder, reading)
    return table, _Found(keys, tuple(settled), tuple(map(_warning, table.warnings[:_MOST_ALSO])))


def _warning(found: Diagnostic) -> DataWarning:
    return DataWarning(code=found.code, summary=found.summary, reasons=found.notes, help=found.help)


def _read(data: Path, path: str, folder: Path, reading: Reading = USUAL_READING) -> Table:
    """All rows of a file, or of the files of a folder or a pattern, with what is odd about it.

    Raises:
        Refusal: The data can't be read, or is outside the project where it is several files.
    """
    is_there = os.path.exists(data)  # noqa: PTH110 - `Path` raises where a name is too long
    if not (data.is_dir() if is_there else is_pattern(path)):
        return read_rows(data, path, None, reading)
    try:
        files, skipped = files_of(project_root(folder / "recipe.yaml"), path, folder, None, "data.source.path")
    except UnsafePath as error:
        raise Refusal([error.diagnostic(None, "data.source.path")]) from error
    tables = [read_rows(file, name, None, reading) for name, file in files.items()]
    table = JoinedTable.of([(table, table.rows) for table in tables], path)
    found = passed_over(path, files, skipped, None, "data.source.path")
    return replace(table, warnings=(found, *table.warnings)) if found else table


def _refuse_invalid(lines: list[str], data: str) -> None:
    """Writes no recipe that the next command refuses: columns can have names that a recipe can't hold.

    Raises:
        Refusal: The text is no recipe's (FTC607).
    """
    _, found = read_source_bytes("\n".join(lines).encode("utf-8", "replace"), "recipe")
    if found:
        help = "rename the column or the file, without characters that can't be seen, and shorter"
        summary = f"a recipe can't name what {quoted(data)} calls its columns, or the file itself"
        raise Refusal([diagnostic("FTC607", summary, help=help, notes=[one.summary for one in found])])


def _guessed(data: Path, num_rows: int, columns: _Columns, first: tuple[ShownRow, ...]) -> dict[str, Any]:
    """What a document says of the data."""
    return {
        "data": str(data),
        "rows": num_rows,
        "columns": tuple(
            GuessedColumn(part=part, column=column, facts=columns.label if part == "label" else "")
            for part, column in columns.found.items()
        ),
        "also": tuple(columns.also),
        "open_parts": tuple(part for part in columns.parts if part not in columns.found),
        "settled": tuple(columns.settled),
        "unused": columns.unused,
        "shown": first,
    }


def _section(task: str, options: dict[str, Any]) -> Task | None:
    """The recipe's section; None for a task that asks for more than rows tell."""
    try:
        section: Task = TypeAdapter(Task).validate_python({"kind": task, **options})
    except ValidationError:
        return None
    return section


def _columns(task: str, options: dict[str, Any], table: Table) -> _Columns:
    """Columns of the form that fits best, with the line of the recipe that names them.

    There is none where columns are called like the parts. Where a part stays open, the line is a comment with the
    file's columns, to be finished by hand.
    """
    section = _section(task, options)
    forms = section.row_forms if section else KINDS[task].CARD.row_forms
    each = ((form, guesses(form, table)) for form in forms)
    parts, found = max(each, key=lambda pair: (len(pair[1]) / len(pair[0]), sum(k == v for k, v in pair[1].items())))
    candidates = label_candidates(table.rows, table.columns) if "label" in parts else []
    also = [one for one in candidates if one.column not in found.values()][:_MOST_ALSO]
    facts = next((one.facts for one in candidates if one.column == found.get("label")), "")
    columns = _Columns(
        {part: found[part] for part in parts if part in found},
        parts,
        [GuessedColumn(part="label", column=one.column, facts=one.facts) for one in also],
        facts,
    )
    named = {part: as_yaml(found[part]) if part in found else "COLUMN" for part in parts}
    if section and len(found) == len(parts):
        optional = task_columns(section, found, table.columns, table.rows).by_part
        columns.found.update({part: column for part, column in optional.items() if part not in found})
        named |= {part: as_yaml(column) for part, column in columns.found.items()}
        used = {
            *task_columns(section, found, table.columns, table.rows, reads_images=True).used,
            *(one.column for one in also),
        }
        columns.unused = tuple(column for column in table.columns if column not in used)
    line = f"fields: {{{', '.join(f'{part}: {column}' for part, column in named.items() if part != column)}}}"
    if len(found) < len(parts):
        columns.lines.append(f"  # {line}   # the file has {', '.join(map(quoted, table.columns[:_MOST_LISTED]))}")
    elif any(part != column for part, column in named.items()):
        columns.lines.append(f"  {line}")
    if also:
        others = ", ".join(f"{quoted(one.column)} ({one.facts})" for one in also)
        columns.lines.append(f"  # the label could also be {others}")
    return columns


def _settle(task: str, options: dict[str, Any], table: Table, columns: _Columns) -> None:
    """Says what keeps the rows from being planned, or classes from being one, with the rows that are meant."""
    section = _section(task, options)
    if section is None or len(columns.found) < len(columns.parts):
        return
    read = task_columns(section, columns.found, table.columns, table.rows)
    write_canonical(section, read, table)
    empty = EmptyRows(Data(source=PathSource(path="-"), empty="drop"), section)
    table = empty.without("rows", read, table)
    if count := empty.count["rows"]:
        words = f"{count:,} of {count + len(table.rows):,} rows have no {' or no '.join(map(quoted, empty.columns))}"
        columns.lines.append(f"  empty: drop   # {words}; `error` stops at them")
        columns.settled.append(f"empty: drop, since {words}")
    labeled = labels_of(section, read)
    if labeled is None or not isinstance(section.rows(), LabelRows) or not labeled.is_single:
        return
    counts = labeled.count([row for row in table.rows if isinstance(row.get(labeled.column), str)])
    if groups := variants(counts):
        kinds = separating(groups)
        found = spellings(counts, kinds)
        each = [f"{label_name(at, quoted=True)} {counts[at]:,} as {label_name(found[at])}" for at in found]
        more = f"; and {len(each) - _SHOWN_SPELLINGS} more" if len(each) > _SHOWN_SPELLINGS else ""
        short = "; ".join(each[:_SHOWN_SPELLINGS]) + more
        columns.lines.append(f"  labels: {{normalize: [{', '.join(kinds)}]}}   # {short}")
        columns.settled.append(f"labels.normalize: [{', '.join(kinds)}], which spells {short}")


def _first_rows(table: Table, columns: _Columns) -> tuple[ShownRow, ...]:
    """The first rows in which no part is empty that a row can't do without."""
    found = columns.found
    needed = [found[part] for part in columns.parts if part in found]

    def is_whole(row: Row) -> bool:
        return all(row.get(column) not in (None, "") for column in needed)

    numbers = [number for number, row in enumerate(table.rows) if is_whole(row)][:_SHOWN_ROWS]
    return tuple(
        ShownRow(
            place=table.where(number),
            values={part: shown(table.rows[number].get(column)) for part, column in found.items()},
        )
        for number in numbers
    )


@dataclass(frozen=True, slots=True)
class _Model:
    """The base model of a recipe that is begun."""

    base: str
    facts: str
    """Why it is this one, and what else there is; empty where it was asked for."""

    def line(self) -> str:
        """The line of the recipe."""
        return f"model: {{base: {as_yaml(self.base)}}}" + (f"  # {self.facts}" if self.facts else "")


def _model(folder: Path, task: str, base: str | None) -> _Model:
    """The model asked for, else one in `models` that can do the task, else the usual one of the task on the hub."""
    configs = sorted((_unfitness(config, task), config) for config in folder.glob("models/*/config.json"))
    here = [config.parent.relative_to(folder).as_posix() for (is_unfit, _), config in configs if not is_unfit]
    if base is not None:
        return _Model(base, "")
    if here:
        others = ", ".join(map(quoted, here[1:_MOST_LISTED]))
        return _Model(here[0], f"or {others}" if others else "")
    if is_switched_on(OFFLINE):
        return _Model(PLACEHOLDER, "a folder beside this recipe, or an id on the hub")
    return _Model(KINDS[task].CARD.starter, "a small public one, on the hub; `ftc models` lists others")


def _unfitness(config: Path, task: str) -> tuple[bool, bool]:
    """How little a model suits a task: it can't do it, and it is of another family than the task's usual model.

    A model that nobody knows may be any.
    """
    try:
        family = architecture(str(read_json_object(config, None).get("model_type"))).family
    except Refusal:
        return False, False
    card = KINDS[task].CARD
    usual = next((architecture(one.model_type).family for one in BASE_MODELS if one.name == card.starter), None)
    section = _section(task, {})
    can = section is None or any(family in mode.families for mode in section.modes())
    is_unfit = not can or (card.needs_decoder and family != "decoder")
    return family is not None and is_unfit, None not in (family, usual) and family != usual
