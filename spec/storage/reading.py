"""Reading a document of a stranger: from a regular file alone, and JSON whatever is in it.

A pipe or a device in a document's place is refused instead of waited for, and brackets that nest too deep are an error
of the text, as every other one.
"""

from __future__ import annotations

import errno
import json
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

__all__ = ["LARGEST_DOCUMENT", "kind_of", "open_regular", "parse_json", "read_regular"]

LARGEST_DOCUMENT = 256 * 2**20
"""Bytes that no plan, record or lock comes near."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISCHR, "a character device"),
)


def kind_of(mode: int) -> str | None:
    """What a file's mode says it is, such as `a named pipe`; None for a regular file."""
    return next((words for test, words in _KINDS if test(mode)), None)


def open_regular(path: Path) -> BufferedReader:
    """A regular file, opened for reading.

    A plain read of a pipe waits for ever for somebody to write, and one of `/dev/zero` never ends.

    Raises:
        OSError: It is no regular file, or can't be opened; the error's text says which.
    """
    if kind := kind_of(path.stat().st_mode):
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
    return path.open("rb")


def read_regular(path: Path, most_bytes: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: The file.
        most_bytes: Most that such a file has; None where it grows with a run or with its rows.

    Raises:
        OSError: It is no regular file, has more bytes, or can't be read; the error's text says which.
    """
    with open_regular(path) as file:
        if most_bytes is None:
            return file.read()
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EINVAL, f"it is larger than {most_bytes // 2**20} MiB", str(path))
    return data


def parse_json(data: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is no JSON, no UTF-8, or nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
