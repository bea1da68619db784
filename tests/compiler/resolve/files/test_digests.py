"""A remembered digest is used only when nothing can have changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.files.digests import DigestCache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DigestCache:
    """A cache whose clock runs an hour ahead, so that fresh files count as settled."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    return DigestCache(tmp_path / "cache")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one entry whenever a file is really hashed."""
    calls: list[str] = []
    real = hashlib.file_digest

    def count(file: Any, name: str) -> Any:
        calls.append(file.name)
        return real(file, name)

    monkeypatch.setattr(hashlib, "file_digest", count)
    return calls


def test_a_settled_file_is_hashed_once(tmp_path: Path, cache: DigestCache, hashed: list[str]) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    first = cache.file(file)
    assert (first.size, first.sha256) == (3, hashlib.sha256(b"one").hexdigest())
    assert cache.file(file) == first
    assert len(hashed) == 1


def test_a_restored_time_stamp_fools_nobody(tmp_path: Path, cache: DigestCache, hashed: list[str]) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    before = cache.file(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(10**18, 10**18))
    assert cache.file(file) != before
    assert len(hashed) == 2


def test_another_file_at_the_same_path_is_hashed(tmp_path: Path, cache: DigestCache) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"one")
    other.write_bytes(b"two")
    cache.file(file)
    os.replace(other, file)
    assert cache.file(file).sha256 == hashlib.sha256(b"two").hexdigest()


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path, hashed: list[str]) -> None:
    cache = DigestCache(tmp_path / "cache")
    file = tmp_path / "a"
    file.write_bytes(b"one")
    cache.file(file)
    cache.file(file)
    assert len(hashed) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"stamp": null}'])
def test_a_damaged_entry_counts_as_absent(tmp_path: Path, cache: DigestCache, content: bytes) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    first = cache.file(file)
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(content)
    assert cache.file(file) == first


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file, not a folder")
    (tmp_path / "a").write_bytes(b"one")
    assert DigestCache(tmp_path / "cache").file(tmp_path / "a").size == 3


def test_several_files_at_once(tmp_path: Path, cache: DigestCache) -> None:
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(file.name.encode())
    assert {path: facts.sha256 for path, facts in cache.files([*files, files[0]]).items()} == {
        file: hashlib.sha256(file.name.encode()).hexdigest() for file in files
    }
    assert cache.files([]) == {}
