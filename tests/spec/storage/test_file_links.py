"""A second name for a file, or a copy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ftc.spec.storage.file_links import link_or_copy


def _pair(folder: Path) -> tuple[Path, Path]:
    source, target = folder / "weights", folder / "inside" / "weights"
    source.write_bytes(b"new")
    target.parent.mkdir()
    target.write_bytes(b"old")
    return source, target


@pytest.mark.skipif(os.name != "posix", reason="names of a file")
def test_a_second_name_takes_the_place_of_what_had_it(tmp_path: Path) -> None:
    source, target = _pair(tmp_path)
    link_or_copy(source, target)
    assert target.read_bytes() == b"new"
    assert target.samefile(source)


def test_a_disk_without_links_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    source, target = _pair(tmp_path)
    link_or_copy(source, target)
    assert target.read_bytes() == b"new"
    assert not target.samefile(source)
