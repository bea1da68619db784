"""Asks a process for the rows of a file that an installed package reads, and takes them as strictly as rows of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, cast

from ftc.compiler.resolve.rows.json_rows import parsed_object
from ftc.compiler.resolve.rows.large_files import memory_bytes, too_large
from ftc.compiler.resolve.rows.row_store import RowWriter
from ftc.compiler.resolve.rows.table import LARGEST_ROW, Table, shown
from ftc.spec.diagnostics import Refusal, Span, diagnostic

__all__ = ["read_by_package"]

_PASSED_ON = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "VIRTUAL_ENV")
"""Names of the environment that the reader sees; a recipe may be a stranger's, and other names may hold secrets."""
_MOST_SECONDS = 1800


def read_by_package(path: Path, file: str, reader: str, span: Span | None) -> Table:
    """Every row that a package's reader gives of a file.

    Args:
        path: The file.
        file: Its name in messages.
        reader: Package and name, such as `courtesy-metrics:tickets`.
        span: Place of the file's name in the recipe, for faults without a line of the file.

    Raises:
        Refusal: The reader fails, takes more than half an hour, or gives what is no row (FTC485), or more rows than
            memory holds (FTC327).
    """
    # -P: a module in the folder where somebody plans must not take the place of an installed one.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ftc.runtime.reading_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    )
    timer = threading.Timer(_MOST_SECONDS, process.kill)
    timer.start()
    source, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    try:
        with answers:
            source.write(json.dumps({"reader": reader, "path": str(path.resolve())}).encode())
            source.close()
            return _table(answers, path, file, reader, span)
    except BrokenPipeError:
        raise _fault(file, reader, "its process ended at once", span) from None
    finally:
        timer.cancel()
        process.kill()
        process.wait()


def _table(answers: IO[bytes], path: Path, file: str, reader: str, span: Span | None) -> Table:
    rows, columns, lines = RowWriter(), dict[str, None](), list[int | None]()
    size, most = 0, memory_bytes()
    for text in iter(lambda: answers.readline(LARGEST_ROW + 1), b""):
        size += len(text)
        if size > most:
            raise too_large(path, file, span, f"its rows have more than {most / 2**30:,.2f} GiB as JSON")
        if len(text) > LARGEST_ROW:
            raise _fault(file, reader, f"gives a row of more than {LARGEST_ROW // 2**20} MiB, {len(rows) + 1}", span)
        try:
            answer = parsed_object(text.decode())
        except ValueError as error:
            raise _fault(
                file, reader, f"gives row {len(rows) + 1} with what is no value of JSON: {error}", span
            ) from None
        if answer.get("end"):
            placed = [line for line in lines if line is not None]
            return Table(file, tuple(columns), rows.rows(), placed if len(placed) == len(rows) else None)
        if "problem" in answer:
            raise _problem(answer, file, reader, span)
        rows.add(answer["row"])
        columns.update(dict.fromkeys(answer["row"]))
        lines.append(answer["line"])
    raise _fault(file, reader, f"ended after {len(rows):,} rows, or took more than {_MOST_SECONDS // 60} minutes", span)


def _problem(answer: dict[str, Any], file: str, reader: str, span: Span | None) -> Refusal:
    line = answer["line"]
    place = span if line is None else Span(file, max(1, line), 1, max(1, line), 2)
    return _fault(file, reader, f"{shown(answer['problem'])[1:-1]}, after {answer['after']:,} rows", place)


def _fault(file: str, reader: str, words: str, span: Span | None) -> Refusal:
    summary = f"{file}: the row reader `{reader}` {words}"
    help = "fix the file or the package; a reader gets the file's path, and gives a mapping of JSON values for each row"
    return Refusal([diagnostic("FTC485", summary, span, help=help, path="data.source")])
