"""A file or folder is written whole or not at all, whatever fails in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftc.spec.storage.atomic_write import building_folder, sweep, write_text


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_line_ends_and_letters_are_the_same_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "né\n")
    assert (tmp_path / "a.json").read_bytes() == b"n\xc3\xa9\n"


def test_a_folder_takes_the_place_of_another_only_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "weights"
    with building_folder(place) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(IsADirectoryError), building_folder(place) as folder:
        folder.write_text("a file under a folder's name")
    assert [path.name for path in place.iterdir()] == ["a"]
    with building_folder(place) as folder:
        (folder / "b").write_text("2")
    assert [path.name for path in place.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_leftovers_of_a_crash_are_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".tmp-12-record.json").write_text("{")
    (tmp_path / ".tmp-step").mkdir()
    (tmp_path / ".tmp-step" / "weights").write_text("1")
    (tmp_path / "record.json").write_text("{}")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
