"""Reads Parquet and Arrow files. Their types become JSON values; dates, times and decimals become text.

A column of another type, such as one of pictures, is left out; who asks for it is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.rows.table import Table, without_form
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["UnreadableTable", "class_names", "read_arrow", "read_parquet"]

_DEEPEST_LIST = 4


class UnreadableTable(ValueError):
    """The file is no whole Parquet or Arrow file; the message is the library's reason."""


def read_parquet(path: Path, file: str) -> tuple[Table, list[Diagnostic]]:
    """Rows of one Parquet file.

    Raises:
        UnreadableTable: The file is broken.
        OSError: The file can't be read.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with path.open("rb") as stream:
            return _table(pyarrow.parquet.ParquetFile(stream).read(), file)
    except pyarrow.ArrowException as error:
        raise UnreadableTable(_first_line(error)) from error


def read_arrow(path: Path, file: str) -> tuple[Table, list[Diagnostic]]:
    """Rows of one Arrow file, in the file (Feather) or the stream form.

    Raises:
        UnreadableTable: The file is broken, or an old Feather file.
        OSError: The file can't be read.
    """
    import pyarrow
    import pyarrow.ipc

    try:
        with path.open("rb") as stream:
            is_file = stream.read(6) == b"ARROW1"
            stream.seek(0)
            reader = pyarrow.ipc.open_file(stream) if is_file else pyarrow.ipc.open_stream(stream)
            return _table(reader.read_all(), file)
    except pyarrow.ArrowException as error:
        raise UnreadableTable(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def _table(table: Any, file: str) -> tuple[Table, list[Diagnostic]]:
    """The table as rows, less columns without a JSON form; findings where it has no others, or a name stands twice."""
    left_out = {field.name: str(field.type) for field in table.schema if not _has_json_form(field.type)}
    names = [name for name in table.column_names if name not in left_out]
    shell = Table(file, tuple(names), [], left_out=left_out)
    unread = [without_form(shell, name, None, "data.source") for name in left_out if not names]
    if findings := [*_twice(table.column_names, file), *(one for one in unread if one)]:
        return shell, findings
    columns = {name: _as_json(table.column(name)).to_pylist() for name in names}
    for name, of_class in class_names(table.schema.metadata or {}).items():
        if name in columns:
            columns[name] = [_named(value, of_class) for value in columns[name]]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return replace(shell, rows=rows), []


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Names of the classes that columns hold as numbers, from what `datasets` writes into a file's schema.

    A column's class is told by the class itself or inside a list of any depth.
    """
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
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


def _named(value: Any, names: list[str]) -> Any:
    """Numbers of classes as their names; -1 is the usual mark of a row without a label."""
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if isinstance(value, int) and -1 <= value < len(names):
        return names[value] if value >= 0 else None
    return value


def _twice(names: list[str], file: str) -> list[Diagnostic]:
    twice = sorted({name for name in names if names.count(name) > 1})
    return [
        diagnostic("FTC358", f"{file}: column `{name}` stands twice", help="name each column once", path="data.source")
        for name in twice
    ]


def _has_json_form(kind: Any) -> bool:
    return _is_plain(kind) or _is_written_as_text(kind)


def _is_plain(kind: Any) -> bool:
    """Whether values are text, numbers, truth values or nothing, or lists and objects of these."""
    from pyarrow import types

    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    if types.is_struct(kind):
        return all(_is_plain(kind.field(number).type) for number in range(kind.num_fields))
    is_text = types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"
    return is_text or any(test(kind) for test in (types.is_null, types.is_boolean, types.is_integer, types.is_floating))


def _is_written_as_text(kind: Any) -> bool:
    """Whether a whole column is cast to text; inside lists and objects there is no cast, so these are refused."""
    from pyarrow import types

    return any(test(kind) for test in (types.is_date, types.is_time, types.is_timestamp, types.is_decimal))


def _as_json(column: Any) -> Any:
    import pyarrow

    return column.cast(pyarrow.string()) if _is_written_as_text(column.type) else column
