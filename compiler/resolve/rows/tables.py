"""Reads a data file of any kind into rows. The suffix tells the kind, and the first bytes must agree with it.

Types of Parquet and Arrow become JSON values; dates, times and decimals become text. A column of another type, such as
one of pictures, is left out; who asks for it gets a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.safe_files import refuse_odd_file, why_unreadable
from ftc.compiler.resolve.rows.arrow_values import holds_bytes, is_plain, with_text_for_bytes
from ftc.compiler.resolve.rows.class_names import class_names, named
from ftc.compiler.resolve.rows.json_rows import read_json_array, read_json_lines
from ftc.compiler.resolve.rows.large_files import full_disk, refuse_beyond_memory, too_large
from ftc.compiler.resolve.rows.package_rows import read_by_package
from ftc.compiler.resolve.rows.packed_files import inner_suffix, unpacked
from ftc.compiler.resolve.rows.reading import USUAL_READING, Reading, absent_file
from ftc.compiler.resolve.rows.row_store import RowWriter
from ftc.compiler.resolve.rows.separated_rows import read_separated
from ftc.compiler.resolve.rows.table import Faults, Table, without_form
from ftc.compiler.resolve.rows.text_rows import read_conll, read_text_lines
from ftc.compiler.resolve.rows.workbook_rows import read_workbook
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.row_files import CONLL, DOCUMENT_HELP, DOCUMENTS, PACKED, SUFFIXES, TEXT_FILES, WORKBOOKS
from ftc.spec.storage.native import LibraryFault, native

__all__ = [
    "Table",
    "UnreadableTable",
    "only_training_file",
    "read_arrow",
    "read_parquet",
    "read_rows",
    "training_files",
]

_ROWS_AT_ONCE = 256


class UnreadableTable(ValueError):
    """The file is no whole Parquet or Arrow file; the message is the library's reason."""


def read_parquet(path: Path, file: str, images: Sequence[str] = ()) -> tuple[Table, list[Diagnostic]]:
    """Rows of one Parquet file.

    Raises:
        UnreadableTable: The file is broken.
        OSError: The file can't be read.
    """
    import pyarrow.parquet

    with path.open("rb") as stream:
        return _by_library(lambda: _table(pyarrow.parquet.ParquetFile(stream).read(), file, images))


def read_arrow(path: Path, file: str, images: Sequence[str] = ()) -> tuple[Table, list[Diagnostic]]:
    """Rows of one Arrow file, in the file (Feather) or the stream form.

    Raises:
        UnreadableTable: The file is broken, or an old Feather file.
        OSError: The file can't be read.
    """
    import pyarrow.ipc

    with path.open("rb") as stream:
        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)

        def read() -> tuple[Table, list[Diagnostic]]:
            reader = pyarrow.ipc.open_file(stream) if is_file else pyarrow.ipc.open_stream(stream)
            return _table(reader.read_all(), file, images)

        return _by_library(read)


def _by_library(read: Callable[[], tuple[Table, list[Diagnostic]]]) -> tuple[Table, list[Diagnostic]]:
    """What pyarrow reads. A damaged file makes it fail in any way, while it reads or when values become Python's."""
    try:
        return native(read)
    except LibraryFault as fault:
        if isinstance(fault.cause, OSError) and fault.cause.errno is not None:  # the system's own; pyarrow's have none
            raise fault.cause from None
        raise UnreadableTable(str(fault)) from fault.cause


def _table(table: Any, file: str, images: Sequence[str]) -> tuple[Table, list[Diagnostic]]:
    """The table as rows, less columns without a JSON form; findings where it has no others, or a name stands twice."""
    table.validate(full=True)  # an offset behind the end of its values would be followed into other memory
    left_out = {
        field.name: str(field.type)
        for field in table.schema
        if not (is_plain(field.type) or _is_written_as_text(field.type))
        and not (field.name in images and holds_bytes(field.type))
    }
    names = [name for name in table.column_names if name not in left_out]
    shell = Table(file, tuple(names), [], left_out=left_out)
    unread = [without_form(shell, name, None, "data.source") for name in left_out if not names]
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    findings = [
        diagnostic(
            "FTC358", f"{file}: column `{name}` occurs twice", help="give each column a unique name", path="data.source"
        )
        for name in twice
    ]
    if findings := [*findings, *(one for one in unread if one)]:
        return shell, findings
    import pyarrow

    classes, rows = class_names(table.schema.metadata or {}), RowWriter()
    for begin in range(0, len(table), _ROWS_AT_ONCE):
        columns = {}
        for name in names:
            column = table.column(name).slice(begin, _ROWS_AT_ONCE)
            as_text = column.cast(pyarrow.string()) if _is_written_as_text(column.type) else column
            columns[name] = as_text.to_pylist()
            if holds_bytes(column.type):
                columns[name] = [with_text_for_bytes(value) for value in columns[name]]
            if name in classes:
                columns[name] = [named(value, classes[name]) for value in columns[name]]
        for values in zip(*columns.values(), strict=True):
            rows.add(dict(zip(names, values, strict=True)))
    return replace(shell, rows=rows.rows()), []


def _is_written_as_text(kind: Any) -> bool:
    """Whether a whole column is cast to text; inside lists and objects there is no cast, so these are refused."""
    from pyarrow import types

    return any(test(kind) for test in (types.is_date, types.is_time, types.is_timestamp, types.is_decimal))


_Reader = Callable[[Path, str, Reading], tuple[Table, list[Diagnostic]]]


def _with_faults(read: Callable[[Path, Faults], Table]) -> _Reader:
    def reader(path: Path, file: str, _: Reading) -> tuple[Table, list[Diagnostic]]:
        faults = Faults(file)
        return read(path, faults), faults.found

    return reader


def _separated(usual: str) -> _Reader:
    def reader(path: Path, file: str, reading: Reading) -> tuple[Table, list[Diagnostic]]:
        faults = Faults(file)
        return read_separated(path, usual, reading, faults), faults.found

    return reader


_READERS: dict[str, _Reader] = {
    ".jsonl": _with_faults(read_json_lines),
    ".ndjson": _with_faults(read_json_lines),
    ".json": _with_faults(read_json_array),
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".txt": _with_faults(read_text_lines),
    **dict.fromkeys(CONLL, _with_faults(read_conll)),
    **dict.fromkeys(WORKBOOKS, lambda path, file, reading: read_workbook(path, file, reading.sheet)),
    ".parquet": lambda path, file, reading: read_parquet(path, file, reading.images),
    ".arrow": lambda path, file, reading: read_arrow(path, file, reading.images),
    ".feather": lambda path, file, reading: read_arrow(path, file, reading.images),
}
_GZIP = b"\x1f\x8b"
_UNPACK = "unpack it and name the file inside; ftc never opens archives"
_NAME_GZIP = "name it by what is inside, such as `rows.jsonl.gz`, or unpack it"
_WRITE_AGAIN = "write the rows as `.jsonl`, `.csv` or `.parquet`"
_EXPORT = "export the rows: `sqlite3 -header -csv FILE 'SELECT …' > rows.csv`; the lock pins the CSV file"
# Where in the file, which bytes, what it is, and what to do.
_OTHER_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (0, _GZIP, "a gzip file", _NAME_GZIP),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    *(
        (0, bytes((0x80, version)), "a Python pickle, which runs code when it is read", _WRITE_AGAIN)
        for version in range(2, 6)
    ),
    (0, b"\x93NUMPY", "a NumPy file", _WRITE_AGAIN),
    (0, b"\x89HDF", "an HDF5 file", _WRITE_AGAIN),
    (0, b"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the data itself", "download it with `git lfs pull`"),
    (0, b"<!DOCTYPE", "a web page", "download the file itself, not the page about it"),
    (0, b"<html", "a web page", "download the file itself, not the page about it"),
)
_ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z")
_PICKLES = (".pkl", ".pickle", ".pt", ".bin")


def read_rows(path: Path, shown_as: str, span: Span | None = None, reading: Reading = USUAL_READING) -> Table:
    """Every row of a data file.

    Args:
        path: The file.
        shown_as: Its name in messages.
        span: Place of its name in the recipe, for faults that concern the file as a whole.
        reading: What the recipe says of how it is read.

    Raises:
        Refusal: FTC350 to FTC360: the file is absent, of another kind, broken or without rows; FTC397 or FTC650, it is
            a workbook that can't be read here; FTC485, a package can't read it; FTC647, the disk is full.
    """
    findings = list[Diagnostic]()
    try:
        if reading.reader is not None:
            _check_file(path, shown_as, span)
            table = read_by_package(path, shown_as, reading.reader, span)
        else:
            table, findings = _by_suffix(path, shown_as, span, reading)
    except UnreadableTable as error:
        help_ = "write the file again, or check that it was copied completely"
        raise _refusal("FTC353", f"{shown_as} is not a complete {path.suffix} file", span, help_, str(error)) from error
    except MemoryError as error:
        raise too_large(path, shown_as, span, "the rows took all the memory that this process may have") from error
    except OSError as error:
        if refusal := full_disk(shown_as, span, error):
            raise refusal from error
        reason, help_ = why_unreadable(error)
        raise _refusal("FTC351", f"{shown_as} can't be read: {reason}", span, help_) from error
    if findings:
        raise Refusal(findings)
    if not table.rows:
        size = path.stat().st_size
        note = f"{size:,} bytes, columns: {len(table.columns)}"
        raise _refusal("FTC359", f"{shown_as} has no rows", span, "check the program that wrote the file", note)
    return table


def _by_suffix(path: Path, shown_as: str, span: Span | None, reading: Reading) -> tuple[Table, list[Diagnostic]]:
    """What a file holds by its suffix, or by that of the file inside where it is packed."""
    inner = inner_suffix(path.name)
    if inner in TEXT_FILES:
        _check_file(path, shown_as, span)
        with path.open("rb") as file:
            is_packed = file.read(len(_GZIP)) == _GZIP
        if not is_packed:
            help_ = f"give it the suffix `{inner}`, if it is not packed"
            raise _refusal("FTC353", f"{shown_as} is no gzip file", span, help_)
        with unpacked(path, shown_as, span) as plain:
            refuse_beyond_memory(plain, shown_as, span)
            _check_kind(plain, inner, shown_as, span)
            return _READERS[inner](plain, shown_as, reading)
    suffix = path.suffix.lower()
    _check_kind(path, suffix, shown_as, span)
    return _READERS[suffix](path, shown_as, reading)


def _check_file(path: Path, shown_as: str, span: Span | None) -> None:
    refuse_odd_file(path, shown_as, span)
    if not path.is_file():
        raise Refusal([absent_file(path, shown_as, span)])


def _check_kind(path: Path, suffix: str, shown_as: str, span: Span | None) -> None:
    _check_file(path, shown_as, span)
    with path.open("rb") as file:
        start = file.read(512)
    if b"[Content_Types].xml" in start and suffix not in WORKBOOKS:
        raise _refusal("FTC353", f"the content of {shown_as} is an Excel workbook", span, "give it the suffix `.xlsx`")
    for offset, magic, name, help_ in _OTHER_FORMATS if suffix not in WORKBOOKS else ():
        if start[offset : offset + len(magic)] == magic:
            raise _refusal("FTC353", f"the content of {shown_as} is {name}", span, help_)
    if suffix not in _READERS:
        help_ = f"the suffix decides how a file is read: {', '.join(_READERS)}; of text also with `{PACKED}` behind it"
        if suffix in _ARCHIVES:
            help_ = _UNPACK
        elif suffix in _PICKLES:
            help_ = f"{_WRITE_AGAIN}; pickles run code when they are read"
        elif suffix in DOCUMENTS:
            help_ = f"{DOCUMENT_HELP}; {help_}"
        elif guess := nearest(suffix, _READERS):
            help_ = f"did you mean `{guess}`? {help_}"
        raise _refusal("FTC352", f"unknown kind of data file: {shown_as}", span, help_)
    for magic, name in ((b"PAR1", ".parquet"), (b"ARROW1", ".arrow")):  # as text they give a page of strange bytes
        if start.startswith(magic) and suffix in TEXT_FILES:
            help_ = f"rename the file to the suffix `{name}`"
            raise _refusal("FTC353", f"the content of {shown_as} is of the kind `{name}`", span, help_)


def _refusal(code: str, summary: str, span: Span | None, help_: str, note: str = "") -> Refusal:
    notes = [note] if note else []
    return Refusal([diagnostic(code, summary, span, help=help_, notes=notes, path="data.source")])


_MOST_NAMED = 6

_DESCRIPTIONS = frozenset(
    {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "croissant.json"}
)
_TRAINING = re.compile(r"(?:^|[/_.-])train(?:ing)?(?=[/_.-]|\d|$)", re.IGNORECASE)


def training_files(names: Iterable[str]) -> list[str]:
    """The data files named for training, such as `data/train-00000-of-00002.parquet`; without any, all data files."""
    files = data_files(names)
    return [name for name in files if _TRAINING.search(name)] or files


def data_files(names: Iterable[str]) -> list[str]:
    """The files that hold rows and not a description of them, in the order of their names."""
    return sorted(
        name
        for name in names
        if name.lower().endswith(SUFFIXES)
        and name.rpartition("/")[2] not in _DESCRIPTIONS
        and not any(part.startswith(".") for part in name.split("/"))
    )


def only_training_file(names: Iterable[str], repo: str, span: Span | None, path: str) -> str:
    """The file that is meant where a recipe names none.

    Args:
        names: All files of the repository.
        repo: Its id.
        span: Where the recipe names it.
        path: Dotted path of that value.

    Raises:
        Refusal: FTC324: there is none, or more than one.
    """
    files = training_files(names)
    if len(files) == 1:
        return files[0]
    if not files:
        summary = f"`{repo}` has no data file that ftc can read"
        help = "choose a data set with Parquet, JSON lines or CSV files"
        raise Refusal([diagnostic("FTC324", summary, span, help=help, path=path)])
    summary = f"`{repo}` has {len(files)} possible files, and the recipe names none"
    listed = ", ".join(f"`{name}`" for name in files[:_MOST_NAMED])
    rest = f" and {len(files) - _MOST_NAMED} more" if len(files) > _MOST_NAMED else ""
    items = [f"{{hub: {repo}, file: {name}}}" for name in files[:_MOST_NAMED]]
    more = ", ..." if len(files) > _MOST_NAMED else ""
    help = f"name one with `file:`, take several as `source: [{', '.join(items)}{more}]`, or, where the data set has "
    help += "splits, write `split: train`"
    raise Refusal([diagnostic("FTC324", summary, span, notes=listed + rest, help=help, path=path)])
