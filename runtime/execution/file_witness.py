"""What was verified is what is used: files are watched from the moment they are hashed until the last byte is read.

Loading opens files by their names, after they were verified and in other people's code. So the witness keeps each
file's stamp from before and after hashing and looks again once it was loaded, and at the end of the run, since token
streams stay mapped. An equal stamp proves that nobody wrote. Where clocks are too coarse to tell, or the change time
alone differs, as after another link to the file or other permissions, it is hashed once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.atomic_write import Stamp, is_settled, stamp_of

__all__ = ["Witness"]


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    stamp: Stamp
    proves: bool
    digest: str
    hashed: Callable[[Path], str]


class Witness:
    """Watches files from their verification on."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Seen] = {}

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

    def confirm(self) -> None:
        """Looks whether every watched file is still what was hashed.

        Raises:
            Refusal: One is not (FTC515).
        """
        changed = [seen for path, seen in list(self._seen.items()) if not self._holds(path, seen)]
        if changed:
            raise Refusal(
                [
                    diagnostic(
                        "FTC515",
                        f"{seen.name} changed after it was verified",
                        notes=f"verified with digest {seen.digest[:12]}; what was read since may be something else",
                        help="find out what writes to it, put it back and apply again",
                    )
                    for seen in changed
                ]
            )

    def _holds(self, path: Path, seen: _Seen) -> bool:
        try:
            now = stamp_of(path.stat())
            if seen.proves and now == seen.stamp:
                return True
            if seen.proves and now._replace(ctime_ns=seen.stamp.ctime_ns) != seen.stamp:
                return False
            again = self._seen[path] = _see(path, seen.name, seen.hashed)
        except (OSError, ValueError):
            return False
        return again.digest == seen.digest


def _see(path: Path, name: str, hashed: Callable[[Path], str]) -> _Seen:
    started_ns = time.time_ns()
    before = stamp_of(path.stat())
    digest = hashed(path)
    after = stamp_of(path.stat())
    return _Seen(name, after, before == after and is_settled(before, started_ns), digest, hashed)
