"""Files are watched from their verification on: what a run reads later must be what was hashed.

Loading opens files by their names, in other people's code, and large ones stay mapped into memory while the run goes
on. Hashing them again at every checkpoint would cost minutes. So each file's stamp is kept instead: size, modification
time, change time, inode and device. No call sets a change time, so that a write shows even where the modification time
was put back. What is proved:

- An equal stamp proves that nobody wrote, where the file system keeps change times and the stamp was settled.
- Another stamp with other bytes: the file changed (FTC515).
- Another stamp with the same bytes: the file was touched. Somebody made a link or changed permissions, or wrote and put
  the old bytes back; which of them nobody can tell, so whatever was read meanwhile doesn't count (`InputsTouched`).
- On a file system whose change times can't be relied on (FAT, networks, memory whose pages are mapped by others), bytes
  are hashed again, as often as that costs less than a hundredth of training, and in any case before a result counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftc.spec import canonical
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.storage.atomic_write import Stamp, is_settled, stamp_of

__all__ = ["FileStamps", "InputsTouched", "keeps_change_times"]

_SHARE = 0.01
"""Part of the time of training that hashing may take where stamps alone prove nothing."""

_KEEPS_CHANGE_TIMES = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs", "reiserfs", "overlay"}
)
"""Local file systems of Linux that give a file a new change time whenever it is written, by a mapping too."""
_MOUNTS = Path("/proc/self/mountinfo")


class InputsTouched(Refusal):
    """Files were written to, or their owner, links or permissions changed, and their bytes are the same by now."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        summary = "was touched after it was verified; its bytes are the same now"
        notes = "a link or permissions changed, or somebody wrote to it and put the old bytes back"
        help = "find out what touches it, and apply again"
        super().__init__([diagnostic("FTC515", f"{name} {summary}", notes=notes, help=help) for name in names])


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    stamp: Stamp
    settled: bool
    """Whether an equal stamp proves that nobody wrote since."""
    kept: bool
    """Whether the file system keeps change times."""
    digest: str
    hashed: Callable[[Path], str]


class FileStamps:
    """Watches files from their verification on."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}
        self._spent = 0.0
        """Seconds of hashing again where stamps prove nothing."""

    def digest(self, path: Path, name: str, hashed: Callable[[Path], str]) -> str:
        """Hashes a file, and watches it from now on.

        Args:
            path: The file.
            name: What people call it.
            hashed: Gives the digest of a file.

        Raises:
            OSError: The file can't be read.
        """
        seen = _see(path, name, hashed)
        self._seen[path] = seen
        return seen.digest

    def confirm(self, training_seconds: float | None = None) -> bool:
        """Compares every watched file with what was hashed.

        Args:
            training_seconds: How long training has taken. Where stamps prove nothing, files are hashed again only
                while that stays below a hundredth of it; None hashes them in any case.

        Returns:
            Whether the files are proved to be unchanged; False where hashing them is not affordable yet.

        Raises:
            InputsTouched: Some were touched, and are the same by now.
            Refusal: One has other bytes, or is gone (FTC515).
        """
        affords = training_seconds is None or self._spent <= _SHARE * training_seconds
        changed: list[Diagnostic] = []
        touched: list[str] = []
        is_proved = True
        for path, seen in list(self._seen.items()):
            try:
                same_stamp = stamp_of(path.stat()) == seen.stamp
                if same_stamp and seen.settled and seen.kept:
                    continue
                if same_stamp and seen.settled and not affords:
                    is_proved = False
                    continue
                started = time.perf_counter()
                again = self._seen[path] = _see(path, seen.name, seen.hashed)
                self._spent += 0.0 if seen.kept else time.perf_counter() - started
            except (OSError, ValueError):
                changed.append(_changed(seen))
                continue
            if again.digest != seen.digest:
                changed.append(_changed(seen))
            elif not same_stamp:
                touched.append(seen.name)
        if changed:
            raise Refusal(changed)
        if touched:
            raise InputsTouched(touched)
        return is_proved

    def listed(self) -> list[tuple[str, Path, Stamp]]:
        """Name, path and stamp of every watched file."""
        return [(seen.name, path.absolute(), seen.stamp) for path, seen in self._seen.items()]

    def inputs_digest(self) -> str:
        """Digest over names and digests of the watched files, the same on every machine that has the same files."""
        return canonical.digest({seen.name: seen.digest for seen in self._seen.values()})

    @property
    def method(self) -> str:
        """How files are proved to be unchanged, in words."""
        weak = sum(not seen.kept for seen in self._seen.values())
        words = f"size, times and inode of {len(self._seen)} files at each checkpoint"
        return f"{words}; {weak} of them hashed again, since their file system keeps no change times" if weak else words


def _see(path: Path, name: str, hashed: Callable[[Path], str]) -> _Seen:
    started_ns = time.time_ns()
    before = stamp_of(path.stat())
    digest = hashed(path)
    after = stamp_of(path.stat())
    settled = before == after and is_settled(before, started_ns)
    return _Seen(name, after, settled, keeps_change_times(path), digest, hashed)


def keeps_change_times(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether the file system of a file is one whose change times can be relied on; an unknown one is none.

    Args:
        path: The file.
        mounts: The kernel's list of mounted file systems; absent on systems other than Linux.
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return False
    whole = os.path.realpath(path)
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].replace("\\040", " ")
        if len(point) >= best and (whole == point or whole.startswith(point.rstrip("/") + "/")):
            best, kind = len(point), after.split(" ")[0]
    return kind in _KEEPS_CHANGE_TIMES


def _changed(seen: _Seen) -> Diagnostic:
    return diagnostic(
        "FTC515",
        f"{seen.name} changed after it was verified",
        notes=f"verified with digest {seen.digest[:12]}; the run may have read something else since",
        help="find out what writes to it, put it back and apply again; the run continues from the last proved step",
    )
