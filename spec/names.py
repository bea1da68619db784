"""Names of files and folders in documents: those that stay in the folder that they are relative to.

A document may come from a stranger, and what it names is opened, hashed or written. So a name that leads elsewhere
makes a document unreadable, wherever it stands.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["NAME_PATTERN", "FileName", "InsidePath"]

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""What a job may be called; its runs lie in a folder of this name."""

_MOST_BYTES = 255  # of one part of a path; what file systems take


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if not path.parts or path.is_absolute() or ".." in path.parts or PureWindowsPath(text).drive or "\0" in text:
        raise ValueError("not a path inside of its folder")
    if any(len(part.encode("utf-8", "replace")) > _MOST_BYTES for part in path.parts):
        raise ValueError(f"a name of more than {_MOST_BYTES} bytes")
    return text


def _single(text: str) -> str:
    if len(PurePosixPath(_inside(text)).parts) != 1:
        raise ValueError("not the name of one folder")
    return text


InsidePath = Annotated[str, AfterValidator(_inside)]
"""A path with slashes, relative to a folder that it doesn't leave."""
FileName = Annotated[str, AfterValidator(_single)]
"""The name of one file or folder."""
