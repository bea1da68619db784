"""The digest of a package is that of the files that an import loads, whatever their time stamps say."""

from __future__ import annotations

import os
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from ftc.compiler.resolve.machine import package_code
from ftc.compiler.resolve.machine.package_code import code_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    folder = tmp_path / "site" / "numbersmith"
    (folder / "inner" / "__pycache__").mkdir(parents=True)
    (folder / "__init__.py").write_text("ONE = 1\n")
    (folder / "inner" / "core.py").write_text("TWO = 2\n")
    (folder / "inner" / "fast.so").write_bytes(b"native")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def edit(file: Path) -> None:
    """Another byte in place, with the old time of modification."""
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the kernel's clock ticks every few milliseconds
        with file.open("r+b") as stream:
            stream.write(b"T")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("file", ["__init__.py", "inner/core.py", "inner/fast.so"])
def test_an_edit_in_place_is_another_package(package: Path, tmp_path: Path, file: str) -> None:
    first = code_digest("numbersmith", tmp_path / "cache")
    assert len(first) == 64
    assert code_digest("numbersmith", tmp_path / "cache") == first
    (package / file).write_bytes((package / file).read_bytes().replace(b"O", b"X"))
    edit(package / file)
    assert code_digest("numbersmith", tmp_path / "cache") != first


def test_what_python_makes_itself_is_no_part_of_it(package: Path, tmp_path: Path) -> None:
    first = code_digest("numbersmith", tmp_path / "cache")
    (package / "inner" / "__pycache__" / "core.cpython-311.pyc").write_bytes(b"code")
    (package / "notes.txt").write_text("not loaded")
    assert code_digest("numbersmith", tmp_path / "cache") == first


def test_it_is_hashed_once_and_the_same_content_elsewhere_is_the_same(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = code_digest("numbersmith", tmp_path / "cache")
    monkeypatch.setattr(package_code, "_known", {})
    monkeypatch.setattr(package_code, "file_digest", lambda path: pytest.fail("hashed again"))
    assert code_digest("numbersmith", tmp_path / "cache") == first
    monkeypatch.undo()
    package.parent.rename(tmp_path / "moved")
    monkeypatch.syspath_prepend(str(tmp_path / "moved"))
    assert code_digest("numbersmith", tmp_path / "cache") == first


def test_a_package_that_is_imported_already_has_the_same(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers puts a module of its own in its place, whose spec has Paths."""
    first = code_digest("numbersmith", tmp_path / "cache")
    spec = ModuleSpec("numbersmith", None, is_package=True)
    spec.submodule_search_locations = [package]  # type: ignore[list-item]
    monkeypatch.setattr(package_code, "find_spec", lambda name: spec)
    assert code_digest("numbersmith", tmp_path / "cache") == first


def test_a_package_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert code_digest("no_such_package_anywhere", tmp_path) == ""
