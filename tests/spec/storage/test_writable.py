"""Places that take no files are findings with a fix; errors of another kind stay what they are."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ftc.spec.diagnostics import Refusal
from ftc.spec.storage import writable
from ftc.spec.storage.writable import using_cache, write_beside


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_lock_that_cannot_be_written_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(error, "no", str(path))

    monkeypatch.setattr(writable, "write_text", refuse)
    with pytest.raises(Refusal) as refusal:
        write_beside(tmp_path / "recipe.lock.json", "{}")
    (found,) = refusal.value.diagnostics
    assert found.code == "FTC648"
    assert "recipe.lock.json" in found.summary
    assert "copy the project" in found.help[0]


def test_what_the_disk_refuses_for_another_reason_stays_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "full", str(path))

    monkeypatch.setattr(writable, "write_text", refuse)
    with pytest.raises(OSError, match="full"):
        write_beside(tmp_path / "recipe.lock.json", "{}")


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("FTC_CACHE", str(cache))
    with pytest.raises(Refusal) as refusal, using_cache(cache / "streams"):
        raise OSError(error, "no", str(cache / "streams" / "a"))
    (found,) = refusal.value.diagnostics
    assert (found.code, "FTC_CACHE" in found.help[0]) == ("FTC648", True)
    with pytest.raises(FileNotFoundError), using_cache(cache / "streams"):  # somebody else cleared it meanwhile
        raise FileNotFoundError(errno.ENOENT, "no", str(cache / "streams" / "a"))


def test_an_error_outside_of_the_cache_is_none_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PermissionError), using_cache(tmp_path / "cache" / "streams"):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "rows.csv"))
