"""Reads a data file of any kind into rows. The suffix tells the kind, and the first bytes must agree with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ftc.compiler.resolve.rows.arrow_rows import UnreadableTable, read_arrow, read_parquet
from ftc.compiler.resolve.rows.conll_rows import CONLL_SUFFIXES, read_conll
from ftc.compiler.resolve.rows.csv_rows import read_separated
from ftc.compiler.resolve.rows.json_rows import read_json_array, read_json_lines
from ftc.compiler.resolve.rows.table import Faults, Table
from ftc.compiler.resolve.rows.text_rows import read_text_lines
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.language.did_you_mean import nearest

__all__ = ["SUFFIXES", "Table", "absent_file", "read_rows"]

_Reader = Callable[[Path, str], tuple[Table, list[Diagnostic]]]


def _with_faults(read: Callable[[Path, Faults], Table]) -> _Reader:
    def reader(path: Path, file: str) -> tuple[Table, list[Diagnostic]]:
        faults = Faults(file)
        return read(path, faults), faults.found

    return reader


_READERS: dict[str, _Reader] = {
    ".jsonl": _with_faults(read_json_lines),
    ".ndjson": _with_faults(read_json_lines),
    ".json": _with_faults(read_json_array),
    ".csv": _with_faults(lambda path, faults: read_separated(path, ",", faults)),
    ".tsv": _with_faults(lambda path, faults: read_separated(path, "\t", faults)),
    ".txt": _with_faults(read_text_lines),
    **dict.fromkeys(CONLL_SUFFIXES, _with_faults(read_conll)),
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
}
SUFFIXES = tuple(_READERS)
"""Suffixes that are read, in lower case."""

_TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", *CONLL_SUFFIXES)
_UNPACK = "unpack it yourself and name the file inside; ftc never opens archives"
_WRITE_AGAIN = "write the rows as `.jsonl`, `.csv` or `.parquet`"
# Where in the file, which bytes, what it is, and what to do.
_OTHER_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
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
    (0, b"SQLite format 3\x00", "an SQLite database", _WRITE_AGAIN),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the data itself", "fetch it with `git lfs pull`"),
    (0, b"<!DOCTYPE", "a web page", "download the file itself, not the page about it"),
    (0, b"<html", "a web page", "download the file itself, not the page about it"),
)
_ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".zst", ".7z")
_PICKLES = (".pkl", ".pickle", ".pt", ".bin")


def read_rows(path: Path, shown_as: str, span: Span | None = None) -> Table:
    """Every row of a data file.

    Args:
        path: The file.
        shown_as: Its name in messages.
        span: Place of its name in the recipe, for faults that concern the file as a whole.

    Raises:
        Refusal: FTC350 to FTC360: the file is absent, of another kind, broken or without rows.
    """
    try:
        reader = _reader(path, shown_as, span)
        table, findings = reader(path, shown_as)
    except UnreadableTable as error:
        help_ = "write the file again, or check that it was copied whole"
        raise _refusal("FTC353", f"{shown_as} is no whole {path.suffix} file", span, help_, str(error)) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _refusal("FTC351", f"{shown_as} can't be read: {reason}", span, "check the file's permissions") from error
    if findings:
        raise Refusal(findings)
    if not table.rows:
        size = path.stat().st_size
        note = f"{size:,} bytes, {len(table.columns)} columns"
        raise _refusal("FTC359", f"{shown_as} holds no rows", span, "check what wrote the file", note)
    return table


def _reader(path: Path, shown_as: str, span: Span | None) -> _Reader:
    if not path.is_file():
        raise Refusal([absent_file(path, shown_as, span)])
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(512)
    for offset, magic, name, help_ in _OTHER_FORMATS:
        if start[offset : offset + len(magic)] == magic:
            raise _refusal("FTC353", f"the content of {shown_as} is {name}", span, help_)
    if suffix not in _READERS:
        raise _refusal("FTC352", f"a data file of unknown kind: {shown_as}", span, _known_kinds(suffix))
    _check_arrow_magic(start, suffix, shown_as, span)
    return _READERS[suffix]


def _check_arrow_magic(start: bytes, suffix: str, shown_as: str, span: Span | None) -> None:
    """Parquet and Arrow files under a text suffix would give a page of strange bytes."""
    for magic, name in ((b"PAR1", ".parquet"), (b"ARROW1", ".arrow")):
        if start.startswith(magic) and suffix in _TEXT_SUFFIXES:
            help_ = f"give the file the suffix `{name}`"
            raise _refusal("FTC353", f"the content of {shown_as} is of the kind `{name}`", span, help_)


def _known_kinds(suffix: str) -> str:
    if suffix in _ARCHIVES:
        return _UNPACK
    if suffix in _PICKLES:
        return f"{_WRITE_AGAIN}; pickles run code when they are read"
    if guess := nearest(suffix, SUFFIXES):
        return f"did you mean `{guess}`? the suffix tells the kind: {', '.join(SUFFIXES)}"
    return f"the suffix tells the kind: {', '.join(SUFFIXES)}"


def absent_file(path: Path, shown_as: str, span: Span | None) -> Diagnostic:
    """The finding for a data file that isn't there, with the nearest name beside it.

    One without a place in a recipe was named on the command line.
    """
    if path.is_dir():
        help_ = "name a file in the folder"
        return diagnostic("FTC350", f"{shown_as} is a folder, not a data file", span, help=help_, path="data.source")
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    start = "the recipe's folder" if span else "the folder that you stand in"
    written_folder, slash, name = shown_as.rpartition("/")
    if guess := nearest(name, siblings):
        help_ = f"did you mean `{written_folder}{slash}{guess}`?"
    elif siblings:
        help_ = f"paths are relative to {start}; check the name"
    else:
        help_ = f"paths are relative to {start}, and the file's folder is absent or empty"
    return diagnostic("FTC350", f"there is no data file {shown_as}", span, help=help_, path="data.source")


def _refusal(code: str, summary: str, span: Span | None, help_: str, note: str = "") -> Refusal:
    notes = [note] if note else []
    return Refusal([diagnostic(code, summary, span, help=help_, notes=notes, path="data.source")])
