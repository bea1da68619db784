"""Files of text in gzip: unpacked beside ftc's cache within limits, and then read as any file.

A few kilobytes of gzip can be gigabytes. Unpacked rows may take as much disk as those of a plain file, and no more than
`_MOST_TIMES` of what they were packed in beyond the size that every machine holds.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ftc.compiler.resolve.rows.large_files import DISK_TIMES, free_bytes, too_large
from ftc.compiler.resolve.rows.spool import spool_folder
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.row_files import PACKED

__all__ = ["inner_suffix", "unpacked"]

_MOST_TIMES = 200
"""Bytes of text for each byte of gzip at the most; text of real rows has 2 to 20."""
_ALWAYS = 64 * 2**20
"""Bytes that are unpacked whatever they were packed in."""
_PIECE_BYTES = 1 << 20
_PREFIX = "ftc-unpacked-"
_HELD = "held.lock"
_YOUNG_SECONDS = 60.0


def inner_suffix(name: str) -> str:
    """The suffix of the file inside, in lower case; empty for a name that isn't of a packed file."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix == PACKED else ""


@contextmanager
def unpacked(path: Path, shown_as: str, span: Span | None) -> Iterator[Path]:
    """The content of a file in gzip as a file of its own, which is there as long as the block runs.

    What processes that were killed left of such files goes first.

    Raises:
        Refusal: It is no whole gzip file (FTC353), or its content is too large (FTC327).
        OSError: The file can't be read, or nothing can be written beside ftc's cache.
    """
    import filelock  # most files are not packed

    _sweep(spool_folder())
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=spool_folder()) as folder,
        filelock.FileLock(Path(folder) / _HELD),  # the system releases it however this process ends
    ):
        target = Path(folder) / Path(path.stem).name
        try:
            _unpack(path, target, shown_as, span)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            help_ = "write the file again, or check that it was copied completely"
            summary = f"{shown_as} is not a complete {PACKED} file"
            note = str(error).strip()[:200]
            found = diagnostic("FTC353", summary, span, help=help_, notes=note or (), path="data.source")
            raise Refusal([found]) from error
        yield target


def _sweep(place: Path) -> None:
    """Removes what nobody holds; what is young may be about to be held."""
    import filelock

    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError, filelock.Timeout):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                with filelock.FileLock(folder / _HELD, timeout=0):
                    for file in folder.iterdir():
                        if file.name != _HELD:
                            file.unlink()
                shutil.rmtree(folder)


def _unpack(path: Path, target: Path, shown_as: str, span: Span | None) -> None:
    most, size = max(_ALWAYS, _MOST_TIMES * path.stat().st_size), 0
    with gzip.open(path, "rb") as packed, target.open("wb") as file:
        while piece := packed.read(_PIECE_BYTES):
            size += len(piece)
            if size > most:
                reason = f"it unpacks to more than {_MOST_TIMES} times its size, as rows of text do not"
                raise too_large(path, shown_as, span, reason)
            if size > _ALWAYS and (DISK_TIMES - 1) * size > (free := free_bytes()):
                needed = f"its rows may need {DISK_TIMES} times as much disk, and {free / 2**30:,.2f} GiB are left"
                reason = f"unpacked it has at least {size / 2**30:,.2f} GiB; {needed}"
                raise too_large(path, shown_as, span, reason)
            file.write(piece)
