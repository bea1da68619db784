"""What was verified is what is used: a file that changes in between is noticed whatever its time stamps say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc.runtime.execution.file_stamps import FileStamps, InputsTouched, keeps_change_times
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
def test_another_link_or_other_permissions_are_a_touch(
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
    with pytest.raises(InputsTouched):  # what was read meanwhile may have been anything
        stamps.confirm()
    assert stamps.confirm(), "from then on it is watched again"
    rewrite(file.chmod(0o600) or file)
    with pytest.raises(Refusal, match="changed after"):
        stamps.confirm()


def test_a_touch_of_a_fresh_file_is_no_change(tmp_path: Path) -> None:
    file, stamps = tmp_path / "a", FileStamps()
    file.write_bytes(b"one")
    stamps.digest(file, "`a`", file_digest)
    os.utime(file)
    with pytest.raises(InputsTouched):
        stamps.confirm()
    assert stamps.confirm()


def test_bytes_that_changed_and_came_back_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    file, stamps = tmp_path / "a", FileStamps()
    file.write_bytes(b"one")
    stamps.digest(file, "`a`", file_digest)
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:
        rewrite(file)
        file.write_bytes(b"one")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputsTouched):
        stamps.confirm()


def test_where_stamps_prove_nothing_bytes_are_hashed_within_a_hundredth_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hashed = time.time_ns, list[Path]()
    monkeypatch.setattr(time, "perf_counter", lambda: 0.02 * len(hashed))
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600 * 10**9)
    monkeypatch.setattr("ftc.runtime.execution.file_stamps.keeps_change_times", lambda path: False)

    def slow(path: Path) -> str:
        hashed.append(path)  # which takes 0.02 s
        return file_digest(path)

    file, stamps = tmp_path / "a", FileStamps()
    file.write_bytes(b"one")
    stamps.digest(file, "`a`", slow)
    assert stamps.confirm(training_seconds=1.0), "the first time nothing was spent"
    assert not stamps.confirm(training_seconds=1.0), "0.02 s of 1 s are too much"
    assert stamps.confirm(training_seconds=100.0)
    assert stamps.confirm(), "before a result counts it is hashed in any case"
    assert len(hashed) == 4
    assert "1 of them hashed again" in stamps.method


def test_which_file_systems_keep_change_times(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("22 1 8:1 / / rw - ext4 /dev/sda rw\n23 22 0:5 / /mnt/a\\040b rw shared:1 - vfat /dev/sdb rw\n")
    assert keeps_change_times(Path("/home/x"), mounts)
    assert not keeps_change_times(Path("/mnt/a b/x"), mounts)
    assert not keeps_change_times(tmp_path, tmp_path / "absent")
