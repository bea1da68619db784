"""What a careful forger does to a finished run: a document is changed, and every checksum that names it made right.

Pages are written again by ftc's own functions, and the project's ledger is left, cut, chained again or deleted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftc.spec import canonical
from ftc.spec.canonical import file_digest
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.record import RunRecord
from ftc.spec.storage.paths import RunFolder
from ftc.verbs.pages import pages
from ftc.verbs.runs import load_run

LEDGER = Path(".ftc/ledger.ndjson")


def edit(file: Path, pattern: str, new: str) -> None:
    """Replaces the first match of a regular expression, which has to be there."""
    text, count = re.subn(pattern, new, file.read_text(encoding="utf-8"), count=1)
    assert count == 1
    file.write_text(text, encoding="utf-8", newline="\n")


def edit_json(file: Path, path: str, value: Any) -> None:
    """Sets the value at a dotted path, which has to be there; numbers count items of a list."""
    plain = json.loads(file.read_bytes())
    *outer, last = [int(part) if part.lstrip("-").isdecimal() else part for part in path.split(".")]
    place = plain
    for part in outer:
        place = place[part]
    assert isinstance(last, int) or last in place, f"{file.name} has no {path}"
    place[last] = value
    file.write_text(canonical.to_text(plain), encoding="utf-8")


def edit_lines(file: Path, change: Callable[[int, dict[str, Any]], object]) -> None:
    """Changes the objects of a file of JSON lines, each with its number."""
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    for number, line in enumerate(lines):
        change(number, line)
    file.write_bytes(b"".join(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n" for line in lines))


def reseal(run: RunFolder, *, with_ledger: bool = True, **changes: Any) -> None:
    """Makes all checksums of the record right again, and the pages; with `with_ledger` the ledger is deleted too."""
    record = RunRecord.model_validate_json(run.record.read_bytes())
    outputs = {
        name: FileFacts(size=(run.path / name).stat().st_size, sha256=file_digest(run.path / name))
        for name in record.outputs
    }
    forged = record.model_copy(update={"outputs": outputs, **changes}).sealed()
    run.record.write_text(forged.to_text(), encoding="utf-8")
    for name, text in pages(load_run(run.path)).items():
        (run.path / name).write_text(text, encoding="utf-8", newline="\n")
    if with_ledger:
        LEDGER.unlink(missing_ok=True)


def reseal_plan(run: RunFolder, changes: Mapping[str, Any], *, with_ledger: bool = True) -> None:
    """Another plan under the record, everything sealed; with `with_ledger` the ledger is deleted too."""
    forged = load_run(run.path).plan.model_copy(update=dict(changes)).sealed()
    run.plan.write_text(forged.to_text(), encoding="utf-8")
    reseal(run, with_ledger=with_ledger, plan_sha256=forged.sha256)


def cut_ledger() -> None:
    """Leaves away what the ledger says from the run's end on; nothing has to be chained again for that."""
    lines = LEDGER.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["kind"] not in ("run_ended", "pages_written")]
    LEDGER.write_bytes(b"".join(kept))


def rechain(run: RunFolder, *, without: str = "") -> None:
    """The ledger as if it had always said so: chained again, with the record and the pages as they are now.

    Args:
        run: The run.
        without: Kind of entry that is left out.
    """
    kept = [line for line in map(json.loads, LEDGER.read_bytes().splitlines()) if line["kind"] != without]
    previous, texts = "", []
    for serial, line in enumerate(kept):
        line |= {"serial": serial, "previous": previous}
        if line["kind"] == "run_begun":
            line["plan_sha256"] = load_run(run.path).plan.sha256
        if line["kind"] == "run_ended":
            line["record_sha256"] = load_run(run.path).record.sha256
        if line["kind"] == "pages_written":
            line["files_sha256"] = {name: file_digest(run.path / name) for name in line["files_sha256"]}
        text = canonical.to_bytes(line)
        previous = hashlib.sha256(text).hexdigest()
        texts.append(text + b"\n")
    LEDGER.write_bytes(b"".join(texts))
