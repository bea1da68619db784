"""Documents are read from regular files alone, and JSON may nest as deep as it likes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from ftc.spec.names import FileName, InsidePath
from ftc.spec.storage.reading import parse_json, read_regular


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files")
def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in (
        (tmp_path / "pipe", "a named pipe"),
        (Path("/dev/zero"), "a character device"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(OSError, match=f"it is {kind}, not a regular file"):
            read_regular(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[1", "\xff"])
def test_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


@pytest.mark.parametrize("text", ["", ".", "/etc/passwd", "../a", "a/../../b", "C:/a", "a\0b", "a" * 256])
def test_a_name_that_leads_elsewhere_is_none(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(InsidePath).validate_python(text)


def test_a_name_of_one_folder() -> None:
    assert TypeAdapter(InsidePath).validate_python("a/b..c/é.json") == "a/b..c/é.json"
    assert TypeAdapter(FileName).validate_python("step-1") == "step-1"
    with pytest.raises(ValidationError, match="not the name of one folder"):
        TypeAdapter(FileName).validate_python("a/b")
