"""What a run can't say itself: why its process ended without a word.

The kernel ends a process that reads a mapped file which was cut off, one that meets a fault in a library, and one that
takes the last memory. No code of the process runs then. So a small process beside it waits until it is gone, compares
the files that the run had verified, and keeps what it found in the run's folder. It reads nothing and writes nothing
while the run goes on, and ends with it.
"""

from __future__ import annotations

import faulthandler
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.storage.atomic_write import Stamp, stamp_of, write_file
from ftc.spec.storage.paths import RunFolder
from ftc.spec.storage.reading import read_regular

if TYPE_CHECKING:
    from ftc.runtime.execution.file_stamps import FileStamps

__all__ = [
    "LastWords",
    "Witness",
    "as_text",
    "dismiss_witnesses",
    "last_words",
    "said_nothing",
    "speak",
    "watched_from_outside",
]

_WATCH = """
import json, sys
data = sys.stdin.buffer.read()
if data:
    sys.path[:] = json.loads(data.splitlines()[0])["path"]
    from ftc.runtime.execution.last_words import speak
    speak(data)
"""
"""It imports nothing before there is something to say, so that it costs a run a few milliseconds."""
_FATAL = re.compile(r"Fatal Python error: (.+)")
_KILLS = Path("/proc/vmstat")
_CUT_OFF = "Bus error"


class LastWords(Document):
    """Why a process of a run ended, as another one saw it."""

    segment: int
    """Number of the run's segment, from 1; of another one these words say nothing."""
    code: str
    """Code of the finding."""
    reason: str
    """In words."""


def last_words(folder: RunFolder, segment: int) -> LastWords | None:
    """What is known of the end of a segment that the record does not tell; None where nobody saw it."""
    try:
        found = LastWords.model_validate_json(read_regular(folder.last_words))
    except (OSError, ValueError):
        return None
    return found if found.segment == segment else None


def said_nothing(folder: RunFolder, segment: int) -> tuple[str, str | None]:
    """Reason and code of the end of a segment that left a record which still says `running`."""
    found = last_words(folder, segment)
    if found is None:
        return "its process ended without writing why: it was killed, or the machine stopped", None
    return found.reason, found.code


def _forget(folder: RunFolder) -> None:
    """Removes what an earlier process left, or this one."""
    with suppress(OSError):
        for file in (folder.last_words, folder.fault_log):
            file.unlink(missing_ok=True)


_WITNESSES: set[Witness] = set()


def dismiss_witnesses() -> None:
    """Ends the processes beside this one's runs: it is about to end by itself, and says why."""
    for witness in list(_WITNESSES):
        witness.dismiss()


class Witness:
    """The process beside a run, as the run sees it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, folder: RunFolder, segment: int) -> None:
        """Starts the process; where the system allows no further one, nobody watches."""
        with suppress(OSError):
            # In a session of its own a signal to the terminal's programs, which the run handles, doesn't end it.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _WATCH],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        place = str(folder.path.absolute())
        self._send({"path": sys.path, "folder": place, "segment": segment, "kills": _memory_kills()})

    def watch(self, stamps: FileStamps) -> None:
        """Names the files that the run has verified by now."""
        self._send({"files": [(name, str(path), stamp) for name, path, stamp in stamps.listed()]})

    def dismiss(self) -> None:
        """Ends the process without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _send(self, message: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it was ended; the run goes on without
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()


@contextmanager
def watched_from_outside(folder: RunFolder, segment: int) -> Iterator[Witness]:
    """Has another process see how this one ends, while the block runs.

    Args:
        folder: The run's folder, held by this process.
        segment: Number of the run's segment.
    """
    witness = Witness()
    _forget(folder)
    with _fault_log(folder):
        witness.begin(folder, segment)
        _WITNESSES.add(witness)
        try:
            yield witness
        finally:
            _WITNESSES.discard(witness)
            witness.dismiss()
    _forget(folder)


@contextmanager
def _fault_log(folder: RunFolder) -> Iterator[None]:
    """Has Python note in a file which fault ends the process, unless it notes that elsewhere already."""
    if faulthandler.is_enabled():
        yield
        return
    try:
        log = folder.fault_log.open("wb")
    except OSError:  # a full disk: the run's own first write says it better
        yield
        return
    with log:
        faulthandler.enable(log)
        try:
            yield
        finally:
            faulthandler.disable()


def speak(data: bytes) -> None:
    """Says why the run's process is gone; called in the process beside it.

    Args:
        data: All that the run told, a JSON object a line.
    """
    begun, *later = map(json.loads, data.splitlines())
    folder = RunFolder(Path(begun["folder"]))
    files = {path: (name, path, stamp) for line in later for name, path, stamp in line["files"]}
    finding = _finding(folder, begun["kills"], files.values())
    words = LastWords(segment=begun["segment"], code=finding.code, reason=finding.summary)
    with suppress(OSError):
        if folder.path.is_dir():
            write_file(folder.last_words, words.to_text().encode())
    with suppress(OSError):
        sys.stderr.write(f"\n{as_text(finding)}")


def as_text(finding: Diagnostic) -> str:
    """A finding where no terminal is known that it could be formatted for."""
    lines = [f"error[{finding.code}]: {finding.summary}"]
    lines += [f"  = help: {line}" for line in finding.help]
    lines += [f"  = note: {line}" for line in finding.notes]
    return "\n".join(lines) + "\n"


def _finding(folder: RunFolder, kills: int | None, files: Iterable[tuple[str, str, list[int]]]) -> Diagnostic:
    fault = _fault(folder)
    how = f"ended by a {fault[0].lower()}{fault[1:]}" if fault else "killed"
    goes_on = "apply again; the run continues from its last checkpoint"
    changed = [(name, why) for name, path, stamp in files if (why := _change(Path(path), Stamp(*stamp)))]
    if changed:
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        name, why = changed[0]
        summary = f"the run's process was {how}, and {name} changed meanwhile: {why}{more}"
        help = "find out what writes to it, put it back and apply again; the run continues from the last proved step"
        return diagnostic("FTC515", summary, help=help)
    if fault:
        cause = "a file that was being read was cut off" if fault == _CUT_OFF else "a library of the run met a fault"
        notes = (cause, f"where: {folder.fault_log}")
        return diagnostic("FTC606", f"the run's process was {how}", help=goes_on, notes=notes)
    now = _memory_kills()
    if kills is not None and now is not None and now > kills:
        help = f"lower `train.micro_batch`, or end other programs; then {goes_on}"
        summary = "the run's process was killed while the system ran out of memory"
        return diagnostic("FTC606", summary, help=help, notes="the kernel ended a process to free memory meanwhile")
    note = "its terminal was closed, or somebody or a limit of the container ended it"
    return diagnostic("FTC606", f"the run's process was {how}", help=goes_on, notes=note)


def _fault(folder: RunFolder) -> str:
    """The fault that Python noted while the process died, such as `Bus error`; empty where it noted none."""
    try:
        found = _FATAL.search(read_regular(folder.fault_log).decode(errors="replace"))
    except OSError:
        return ""
    return found[1].strip() if found else ""


def _change(path: Path, before: Stamp) -> str:
    """What became of a file, in words; empty where its stamp is the same."""
    try:
        now = stamp_of(path.stat())
    except OSError as error:
        return "it is gone" if isinstance(error, FileNotFoundError) else (error.strerror or str(error))
    if now == before:
        return ""
    if now.size != before.size:
        return f"it has {now.size:,} bytes, and had {before.size:,}"
    return "another file took its place" if now.inode != before.inode else "it was written to"


def _memory_kills() -> int | None:
    """How many processes the kernel has ended for want of memory since it began; None where it doesn't say."""
    try:
        found = re.search(r"^oom_kill (\d+)$", _KILLS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
