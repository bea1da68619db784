"""The container of a package: a plain tar file that has one form only.

Each file has the one header that its name and size give, so that equal contents are equal bytes, and a reader that
knows what has to come compares headers instead of interpreting them. Links, folders, devices and extended headers
can't occur. Any tar program lists and extracts such a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["END", "chunks", "header", "padding", "size_in_tar", "size_of_first"]

_BLOCK = 512
_LONGEST_NAME = 100
END = b"\0" * 2 * _BLOCK
"""What a tar file ends with."""


def header(name: str, size: int) -> bytes:
    """The block before a file's content. A name that is too long for it is replaced by its digest."""
    import tarfile  # few verbs need it

    if len(name.encode()) > _LONGEST_NAME:
        name = f"long-names/{hashlib.sha256(name.encode()).hexdigest()}"
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """What follows a file's content up to the next block."""
    return b"\0" * (-size % _BLOCK)


def size_in_tar(size: int) -> int:
    """Bytes that a file of a size takes in a tar file."""
    return _BLOCK + size + len(padding(size))


def size_of_first(file: BinaryIO, name: str) -> int | None:
    """Size of the first file, where it has this name; None for any other file. Reads its header."""
    import tarfile

    block = file.read(_BLOCK)
    try:
        size = tarfile.TarInfo.frombuf(block, "utf-8", "strict").size
        return size if size >= 0 and header(name, size) == block else None
    except (tarfile.HeaderError, ValueError):
        return None


def chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next bytes of a file, in parts; fewer where it ends."""
    while size > 0 and (data := file.read(min(size, 2**20))):
        size -= len(data)
        yield data
