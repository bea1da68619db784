"""Reads a sheet of an Excel or OpenDocument workbook by python-calamine (extra `excel`); formulas are never run.

A cell has the type that the workbook gives it: whole numbers are numbers without a fraction, dates and times become ISO
8601 text, and what is empty has no value. Nothing is guessed from how a cell is formatted.
"""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.rows.row_store import stored
from ftc.compiler.resolve.rows.table import Table
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.did_you_mean import nearest

__all__ = ["read_workbook"]

_MOST_BYTES = 512 * 2**20
"""Of a workbook when it is unpacked; the reader holds all of it in memory."""
_LARGEST_WHOLE = 2**53
_SAVE = "save the sheet as `CSV UTF-8` and name that file"


def read_workbook(path: Path, file: str, sheet: str | None) -> tuple[Table, list[Diagnostic]]:
    """Rows of a sheet, the first one where none is named. Its first row that isn't empty is the header.

    Raises:
        Refusal: The extra is missing (FTC650), the workbook can't be read (FTC353), or has no such sheet (FTC397).
        OSError: The file can't be read.
    """
    if find_spec("python_calamine") is None:
        help_ = f"`pip install 'ftc[excel]'` reads workbooks; or {_SAVE}"
        raise _refusal(
            "FTC650", f"{file} is a workbook, which needs more packages", help_, "`python-calamine` is not installed"
        )
    if (size := _unpacked(path)) > _MOST_BYTES:
        note = f"{size / 2**20:,.0f} MiB when it is unpacked, of {_MOST_BYTES // 2**20} at most"
        raise _refusal("FTC353", f"{file} is too large for a workbook", _SAVE, note)
    from python_calamine import CalamineWorkbook

    try:
        with path.open("rb") as stream, CalamineWorkbook.from_filelike(stream) as book:
            names = book.sheet_names
            name = sheet if sheet is not None else next(iter(names), "")
            if name not in names:
                guess = nearest(name, names)
                help_ = (
                    f"did you mean `{guess}`?"
                    if guess
                    else f"its sheets are {', '.join(f'`{one}`' for one in names[:10])}"
                )
                raise _refusal("FTC397", f"{file} has no sheet `{name[:64]}`", help_)
            cells = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (Refusal, OSError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # such as Ctrl-C
            raise
        note = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise _refusal("FTC353", f"{file} is not a complete workbook, or has a password", _SAVE, note) from None
    others = f" of {len(names)}" if len(names) > 1 else ""
    return _table(cells, file, f"sheet `{name}`{others}")


def _unpacked(path: Path) -> int:
    """Bytes that the workbook says it has when it is unpacked."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return path.stat().st_size  # the reader tells what is wrong with it


def _table(cells: Sequence[Sequence[Any]], file: str, remark: str) -> tuple[Table, list[Diagnostic]]:
    filled = [(number, row) for number, row in enumerate(cells, 1) if any(cell != "" for cell in row)]
    if not filled:
        return Table(file, (), [], []), []
    (line, top), *below = filled
    used = [at for at in range(len(top)) if any(row[at] != "" for _, row in filled)]
    header = [_header(top[at]) for at in used]
    if unnamed := [at + 1 for at, name in zip(used, header, strict=True) if not name]:
        summary, help_ = f"{file}:{line}: column {unnamed[0]} has values and no name", "give the column a name"
        return Table(file, (), []), [diagnostic("FTC358", summary, help=help_, path="data.source")]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        summary, help_ = f"{file}:{line}: column `{twice[0][:64]}` occurs twice", "give each column a unique name"
        return Table(file, (), []), [diagnostic("FTC358", summary, help=help_, path="data.source")]
    rows = stored(dict(zip(header, (_value(row[at]) for at in used), strict=True)) for _, row in below)
    return Table(file, tuple(header), rows, [number for number, _ in below], remark=remark), []


def _header(cell: Any) -> str:
    return "" if cell == "" else str(_value(cell)).strip()


def _value(cell: Any) -> Any:
    """A cell as a value of JSON."""
    match cell:
        case "":
            return None
        case bool() | str() | int():
            return cell
        case float():
            return int(cell) if cell.is_integer() and abs(cell) < _LARGEST_WHOLE else cell
        case datetime.datetime():
            return (cell.date() if cell.time() == datetime.time() else cell).isoformat()
        case datetime.date() | datetime.time():
            return cell.isoformat()
        case _:
            return str(cell)


def _refusal(code: str, summary: str, help_: str, note: str = "") -> Refusal:
    return Refusal([diagnostic(code, summary, help=help_, notes=[note] if note else [], path="data.source")])
