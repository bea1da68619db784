"""What was verified is what is used: a file that changes in between is noticed whatever its time stamps say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc.runtime.execution.verify import FileStamps
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal


def rewrite(file: Path) -> None:
    """Other bytes of the same length, with the old time of modification."""
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"two")
    other.replace(file)


CHANGES: dict[str, Callable[[Path], None]] = {"rewritten": rewrite, "swapped": swap, "gone": Path.unlink}


@pytest.mark.parametrize("is_settled", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_after_it_was_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, is_settled: bool
) -> None:
    if is_settled:
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    file, stamps = tmp_path / "a", FileStamps()
    file.write_bytes(b"one")
    assert stamps.digest(file, "`a`", file_digest) == file_digest(file)
    stamps.confirm()
    CHANGES[change](file)
    with pytest.raises(Refusal) as caught:
        stamps.confirm()
    assert [found.code for found in caught.value.diagnostics] == ["FTC515"]
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("change", [lambda file: os.link(file, file.with_name("link")), lambda file: file.chmod(0o400)])
def test_another_link_or_other_permissions_are_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    file, stamps = tmp_path / "a", FileStamps()
    file.write_bytes(b"one")
    stamps.digest(file, "`a`", file_digest)
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before:  # the kernel's clock ticks every few milliseconds
        change(file)
        file.with_name("link").unlink(missing_ok=True)
    stamps.confirm()
    rewrite(file.chmod(0o600) or file)
    with pytest.raises(Refusal):
        stamps.confirm()


def test_a_touch_of_a_fresh_file_is_no_change(tmp_path: Path) -> None:
    file, stamps = tmp_path / "a", FileStamps()
    file.write_bytes(b"one")
    stamps.digest(file, "`a`", file_digest)
    os.utime(file)
    stamps.confirm()
